"""Text that is safe to print and to write: names and messages from files must not control a terminal."""

import re

#: Control characters except line feed and tab, line and paragraph separators, and marks that change the direction of
#: text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def escaped(text: str) -> str:
    r"""Return ``text`` with control characters replaced by Python's escape sequences, such as ``\x1b``.

    >>> escaped("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    r"""Return text as one line that can be printed and encoded, such as the name of a file that is not UTF-8.

    >>> print(one_line("a\nb"), one_line("\udcff"))
    a\nb \udcff
    """
    readable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return escaped(readable.replace("\n", "\\n").replace("\t", "\\t"))
