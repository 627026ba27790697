"""Text that is safe to print and to write: names and messages from files must not control a terminal."""

import re
import shlex

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


def shell_word(path: str) -> str:
    r"""Return a path as one word of a command for a POSIX shell that can be printed, copied and run.

    >>> print(shell_word("runs/a"), shell_word("my run"), shell_word("-x"), shell_word("a\nb'"))
    runs/a 'my run' ./-x $'a\x0ab\''
    """
    return shell_argument("./" + path if path.startswith("-") else path)


def shell_argument(text: str) -> str:
    r"""Return any argument, such as an option, as one word of a command for a POSIX shell, as `shell_word` does a path.

    >>> print(shell_argument("--set"), shell_argument("*.weights.num_bits=4"))
    --set '*.weights.num_bits=4'
    """
    if one_line(text) == text:
        return shlex.quote(text)
    plain = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(char if one_line(char) == char else _shell_escape(char) for char in plain) + "'"


def _shell_escape(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
