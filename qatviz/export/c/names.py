"""Names of a network as C identifiers, comments, strings and file names."""

import re
from typing import Iterable, Set

#: Largest length of a stem: with a number and a suffix, it is within the 63 significant characters that C99 guarantees.
_LENGTH = 40
#: Names of headers of the standard library and of Arduino, which one of the network would hide on an include path.
_HEADERS = """arduino assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype"""
#: Names of the other files of an export, and those that Windows reserves for devices.
_TAKEN_FILES = {
    *_HEADERS.split(),
    "main",
    "golden",
    "qatviz_nn",
    "qatviz_nn_cmsis",
    "qatviz_nn_cortex_m",
    "qatviz_nn_vectors",
    "qatviz_softmax",
    "makefile",
    "readme",
    "parity",
    "con",
    "prn",
    "aux",
    "nul",
}


def stem(name: str) -> str:
    """Return the beginning of a layer's identifiers; never a whole identifier, so that it hides no keyword or function.

    >>> stem("block-1/conv"), stem("_a"), stem("3x3")
    ('block_1_conv', 'layer_a', 'layer_3x3')
    """
    found = re.sub(r"[^A-Za-z0-9]+", "_", name)[:_LENGTH].strip("_") or "layer"
    # Names that begin with an underscore are reserved; those that begin with a digit are invalid.
    return found if found[0].isalpha() and name[:1] != "_" else "layer_" + found


def unique_stems(names: Iterable[str], suffixes: Iterable[str]) -> Iterable[str]:
    """Yield a stem for each of the names, in order, so that no two identifiers are equal once suffixes are appended.

    >>> list(unique_stems(["a/b", "a_b", "a_b_op", "c"], ["_op", "_op_op"]))
    ['a_b', 'a_b_2', 'a_b_op_2', 'c']
    """
    taken: Set[str] = set()
    suffixes = tuple(suffixes)
    for name in names:
        first = found = stem(name)
        number = 1
        while taken & {found + suffix for suffix in suffixes}:
            number += 1
            found = f"{first}_{number}"
        taken.update(found + suffix for suffix in suffixes)
        yield found


def file_stem(name: str) -> str:
    """Return the stem of a network's file names.

    >>> file_stem("lenet"), file_stem("main")
    ('lenet', 'main_model')
    """
    found = stem(name)
    is_device = re.fullmatch(r"(com|lpt)\d", found.lower())
    return found + "_model" if found.lower() in _TAKEN_FILES or is_device else found


def comment(text: str) -> str:
    r"""Return text for a comment: ASCII on one line that can't end the comment and has no trigraphs.

    >>> comment("a */ b??/"), comment("x\\ny")
    ('a * / b? ?/', 'x<U+000A>y')
    """
    plain = "".join(char if " " <= char <= "~" else f"<U+{ord(char):04X}>" for char in text)
    plain = plain.replace("\\", "<U+005C>")
    for two in ("*/", "/*", "??"):
        while two in plain:
            plain = plain.replace(two, two[0] + " " + two[1])
    return plain


def string(text: str) -> str:
    r"""Return a string literal of the text's UTF-8.

    >>> string('a"b'), string("relu/1")
    ('"a\\\\042b"', '"relu/1"')
    """
    plain = "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or chr(byte) in "_-./ " else f"\\{byte:03o}"
        for byte in text.encode("utf-8", "replace")
    )
    return f'"{plain}"'
