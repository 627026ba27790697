"""Lines that the texts of reports on proofs have in common."""

from typing import Any, List, Mapping, Sequence


def title_line(about: Mapping[str, Any]) -> str:
    """Return a line with the format, the network and the runtime."""
    return "{format} of {network}, run in {runtime}".format(**about)


def size_in_words(nbytes: Mapping[str, int]) -> str:
    """Return a line with the sizes of a file and of its parameters in float."""
    return f"size: {nbytes['file']:,} bytes; its parameters in float: {nbytes['float32 parameters']:,} bytes"


def closing_lines(notes: Sequence[str], faults: Sequence[str] = (), shortfall: str = "") -> List[str]:
    """Return the lines with the notes and the faults.

    ``shortfall`` explains an agreement that is lower than expected, if it is; only faults explain that of a wrong file.
    """
    noted = [*notes, shortfall] if shortfall and not faults else notes
    return [*("note: " + note for note in noted), *("WRONG: " + fault for fault in faults)]
