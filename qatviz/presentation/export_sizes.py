"""Size of an export before it is written, and what weights of few bits save in it, for window and terminal."""

from enum import Enum
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from qatviz.number_format import bytes_text, names_text


class WeightStorage(Enum):
    """Form in which a format stores weights."""

    #: Codes in 8 or 16 bits each, unless an option packs those of up to 4 bits.
    CODES = "codes"
    #: Codes in a compressed archive.
    COMPRESSED = "compressed"
    FLOAT32 = "float32"
    #: The format has no weights.
    NONE = "none"


class Packing(NamedTuple):
    """Options with which a format stores weights of up to 4 bits in half a byte.

    Attributes
    ----------
    label : str
        Label of the option that packs the weights.
    options : dict
        This option, and those that it requires.
    nbytes : int
        Size of the export with them (bytes).
    """

    label: str
    options: Mapping[str, Any]
    nbytes: int


class ExportSize(NamedTuple):
    """Size of an export that is not written yet.

    Attributes
    ----------
    nbytes : int
        Size with the given options (bytes).
    storage : WeightStorage
    plain : int
        Size without packing (bytes).
    packings : tuple of Packing
        Options that pack weights and that the format supports for the network; empty if no weights have up to 4 bits.
    chosen : str
        Label of the packing in the given options; empty without one.
    few, odd : tuple of str
        Layers with weights of up to 4 bits, and of 5 to 7 bits.
    below_four : bool
        True if some weights have 2 or 3 bits.
    elsewhere : tuple of str
        Display names of the other formats that can pack weights.
    """

    nbytes: int
    storage: WeightStorage
    plain: int
    packings: Tuple[Packing, ...] = ()
    chosen: str = ""
    few: Tuple[str, ...] = ()
    odd: Tuple[str, ...] = ()
    below_four: bool = False
    elsewhere: Tuple[str, ...] = ()

    @property
    def lines(self) -> List[str]:
        """Lines with the size, and those without packing and with others: ``About 47 kB``, ``33 kB with “Pack …”``."""
        found = [f"About {bytes_text(self.nbytes)}"]
        found += [f"{bytes_text(self.plain)} without packing"] if self.few and self.chosen else []
        return found + [f"{bytes_text(packing.nbytes)} with “{packing.label}”" for packing in self.unchosen]

    @property
    def unchosen(self) -> List[Packing]:
        """The other ways to pack weights."""
        return [packing for packing in self.packings if packing.label != self.chosen]

    @property
    def notes(self) -> List[str]:
        """Sentences on the bytes that weights of few bits save."""
        if self.storage is WeightStorage.CODES:
            return self._few_notes() + self._odd_notes()
        layers = (*self.few, *self.odd)
        if not layers or self.storage is WeightStorage.NONE:
            return []
        weights = f"Weights of fewer than 8 bits ({names_text(layers)})"
        if self.storage is WeightStorage.COMPRESSED:
            return [f"{weights} make the file smaller, because it is compressed; as arrays, they take 8 bits."]
        return [f"{weights} save nothing, because this format stores float32. {self._elsewhere}"]

    def _few_notes(self) -> List[str]:
        if not self.few:
            return []
        if not self.chosen:
            weights = f"Weights of up to 4 bits ({names_text(self.few)})"
            return [f"{weights} are stored in 8 bits here, which saves nothing. {self._advice}"]
        if self.nbytes >= self.plain:
            return [f"“{self.chosen}” saves nothing with these settings. {self._advice}"]
        return ["Weights of 2 or 3 bits take 4 bits each."] if self.below_four else []

    def _odd_notes(self) -> List[str]:
        return [f"Weights of 5 to 7 bits ({names_text(self.odd)}) take 8 bits each."] if self.odd else []

    @property
    def _advice(self) -> str:
        saving = [packing for packing in self.packings if packing.nbytes < self.plain]
        if not saving:
            return self._elsewhere
        return f"“{min(saving, key=lambda packing: packing.nbytes).label}” stores two per byte."

    @property
    def _elsewhere(self) -> str:
        *others, last = self.elsewhere
        return f"{', '.join(others)} and {last} can store two weights of up to 4 bits per byte."


class FormatSize(NamedTuple):
    """Display name of a format, and the size of an export, or the reason why the format doesn't support the state."""

    title: str
    size: Optional[ExportSize]
    refused: str = ""
