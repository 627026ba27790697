"""Scalings: the conversions of stored examples to the values that are fed to a network."""

from typing import Any, Dict, NamedTuple

from qatviz.errors import SettingError

UNSCALED, UNIT, SIGNED = "none", "unit", "signed"


class Scaling(NamedTuple):
    """Scaling of examples.

    Attributes
    ----------
    label : str
        Name in the window.
    formula : str
        Fed value for a stored value x.
    found : str
        Description of scaled examples, for notes.
    help : str
    mean, deviation : float
        Numbers of the same formula as normalizations are stated: (x - mean) / deviation.
    """

    label: str
    formula: str
    found: str
    help: str
    mean: float
    deviation: float

    def apply(self, stored: Any) -> Any:
        """Return the array to which an array of stored values is scaled, of the same dtype."""
        return (stored - self.mean) / self.deviation


#: Scalings by name, as in requests and records.
SCALINGS: Dict[str, Scaling] = {
    UNSCALED: Scaling(
        "Not scaled",
        "x",
        "not scaled",
        "examples are fed as they are: features, or pixels for a network of 0 to 255",
        0.0,
        1.0,
    ),
    UNIT: Scaling(
        "Pixels: x / 255", "x / 255", "scaled by 1/255", "pixels from 0 to 255 are fed as 0 to 1", 0.0, 255.0
    ),
    SIGNED: Scaling(
        "Pixels: x / 127.5 - 1",
        "x / 127.5 - 1",
        "scaled to -1 to 1",
        "pixels from 0 to 255 are fed as -1 to 1",
        127.5,
        127.5,
    ),
}
#: Rule for examples without a stated scaling.
SCALING_HELP = "uint8 images are pixels, fed as x / 255; all other examples are fed as they are"
SCALING_PURPOSE = "Scaling of the examples before they are fed to the network"


def check_scaling(scaling: Any) -> str:
    """Return ``scaling``; raise a `SettingError` if it is not one of `SCALINGS`."""
    if not isinstance(scaling, str) or scaling not in SCALINGS:
        raise SettingError.of_field("scaling", f"is {scaling!r}: expected one of {', '.join(SCALINGS)}")
    return scaling
