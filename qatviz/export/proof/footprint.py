"""Sizes of compiled sources."""

from typing import Any, Dict, NamedTuple, Optional


class Footprint(NamedTuple):
    """Sizes of a network's code in one compiler (bytes), without the C library.

    Attributes
    ----------
    compiler, flags : str
        Name with version; options.
    code, constants, static_memory : int
        Machine code; read-only data; variables of static storage.
    stack : int or None
        Depth of the deepest call; None if the compiler does not report it.
    """

    compiler: str
    flags: str
    code: int
    constants: int
    static_memory: int
    stack: Optional[int]

    def in_words(self) -> str:
        """Return a line such as ``code 2,110 bytes, constants 900 bytes, …, compiled by gcc 12.2.0 with -Os``."""
        stack = "of unknown depth" if self.stack is None else f"{self.stack:,} bytes"
        return (
            f"code {self.code:,} bytes, constants {self.constants:,} bytes, static memory {self.static_memory:,} "
            f"bytes, stack {stack}, compiled by {self.compiler} with {self.flags}"
        )

    def to_record(self) -> Dict[str, Any]:
        """Return a JSON-able dict."""
        return dict(self._asdict())
