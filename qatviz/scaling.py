"""Scalings: conversions of stored examples to the values that are fed to a network.

The text of a scaling is its name, or its numbers: ``MEAN/DEVIATION``, or with one of both for each channel (along the
last axis of the examples), ``MEAN,MEAN,MEAN/DEVIATION,DEVIATION,DEVIATION``. That of several inputs has their names,
``NAME=SCALING;NAME=SCALING``.
"""

import math
import re
from typing import Any, Dict, Mapping, NamedTuple, Sequence, Tuple

from qatviz.errors import SettingError

UNSCALED, UNIT, SIGNED = "none", "unit", "signed"
#: Requested scaling by mean and standard deviation of the training examples; a data set has these numbers instead.
STANDARD = "standard"
#: Form of the scalings of several inputs.
SCALING_FORM = "NAME=SCALING;NAME=SCALING"
#: Largest number of channels whose numbers are shown in a formula.
_MOST_IN_FORMULA = 4
#: Largest number of channels of a scaling, and bound of the absolute values of its numbers.
_MOST_CHANNELS, _BOUND = 65536, 1e30
_NUMBERS = re.compile(r"[-+0-9.eE,]+/[-+0-9.eE,]+")
_FORM = "MEAN/DEVIATION with numbers, or one of each for every channel, such as 125,123,114/63,62,67"


class Scaling(NamedTuple):
    """Scaling of examples.

    Attributes
    ----------
    label : str
        Name in the window; empty for one that is stated by numbers.
    formula : str
        Expression for the fed value of a stored value x.
    found : str
        Description of scaled examples, after "examples are".
    help : str
        Explanation for the command line; empty for one that is stated by numbers.
    means, deviations : tuple of float
        Numbers of the equivalent formula (x - mean) / deviation: one for all channels, or one for each.
    """

    label: str
    formula: str
    found: str
    help: str
    means: Tuple[float, ...]
    deviations: Tuple[float, ...]

    def apply(self, stored: Any) -> Any:
        """Return scaled values, of the same dtype, for a floating-point array of stored values ``[..., channels]``."""
        if len(self.means) == 1:
            return (stored - self.means[0]) / self.deviations[0]
        means, deviations = ([stored.dtype.type(number) for number in part] for part in (self.means, self.deviations))
        return (stored - means) / deviations


#: Scalings with names, by these names, as in requests and records.
SCALINGS: Dict[str, Scaling] = {
    UNSCALED: Scaling(
        "Not scaled",
        "x",
        "not scaled",
        "examples are fed as they are: features, or pixels for a network of 0 to 255",
        (0.0,),
        (1.0,),
    ),
    UNIT: Scaling(
        "Pixels: x / 255", "x / 255", "scaled by 1/255", "pixels from 0 to 255 are fed as 0 to 1", (0.0,), (255.0,)
    ),
    SIGNED: Scaling(
        "Pixels: x / 127.5 - 1",
        "x / 127.5 - 1",
        "scaled to -1 to 1",
        "pixels from 0 to 255 are fed as -1 to 1",
        (127.5,),
        (127.5,),
    ),
}
STANDARD_LABEL = "Mean 0, deviation 1"
STANDARD_HELP = (
    "the mean of the training examples is subtracted, and the rest divided by their standard deviation, in each channel"
)
#: Rule for examples without a stated scaling.
SCALING_HELP = "uint8 images are pixels, fed as x / 255; all other examples are fed as they are"
#: Purpose of the option.
SCALING_PURPOSE = "Scaling of the examples before they are fed to the network"


def check_scaling(scaling: Any) -> str:
    """Return ``scaling``; raise a `SettingError` unless it is the text of a scaling, see the module."""
    for each in scalings_by_input(scaling).values() or [scaling]:
        scaling_of(each)
    return str(scaling)


def check_wanted_scaling(scaling: Any) -> str:
    """Return ``scaling``; raise a `SettingError` unless it is `STANDARD`, or the text of a scaling."""
    for each in scalings_by_input(scaling).values() or [scaling]:
        if each != STANDARD:
            scaling_of(each)
    return str(scaling)


def scalings_by_input(scaling: Any) -> Dict[str, str]:
    """Return the scalings of several inputs by name; none if it is a scaling without names.

    >>> scalings_by_input("left=unit;right=127/60"), scalings_by_input("unit")
    ({'left': 'unit', 'right': '127/60'}, {})
    """
    if not isinstance(scaling, str) or "=" not in scaling:
        return {}
    pairs = [part.split("=", 1) for part in scaling.split(";")]
    names = [pair[0].strip() for pair in pairs]
    if any(len(pair) < 2 for pair in pairs) or len(set(names)) < len(names) or "" in names:
        raise SettingError.of_field("scaling", f"is {scaling!r}: expected {SCALING_FORM}, each input once")
    return {name: pair[1].strip() for name, pair in zip(names, pairs)}


def joined_scalings(scalings: Mapping[str, str]) -> str:
    """Return the scalings of several inputs as one text, the inverse of :func:`scalings_by_input`."""
    return ";".join(f"{name}={scaling}" for name, scaling in scalings.items())


def formula_text(scaling: str) -> str:
    """Return the formula of a scaling, or those of several inputs.

    >>> formula_text("unit"), formula_text("left=unit;right=none")
    ('x / 255', 'left: x / 255; right: x')
    """
    several = scalings_by_input(scaling)
    if not several:
        return scaling_of(scaling).formula
    return "; ".join(f"{name}: {scaling_of(each).formula}" for name, each in several.items())


def found_text(scaling: str) -> str:
    """Return the description of scaled examples for notes, or those of several inputs."""
    several = scalings_by_input(scaling)
    if not several:
        return scaling_of(scaling).found
    return "; ".join(f"{name}: {scaling_of(each).found}" for name, each in several.items())


def scaling_of(scaling: Any) -> Scaling:
    """Return the scaling for its text, a name or numbers; raise a `SettingError` if there is none."""
    if isinstance(scaling, str):
        if scaling in SCALINGS:
            return SCALINGS[scaling]
        if _NUMBERS.fullmatch(scaling):
            return _with_numbers(scaling)
    allowed = f"{', '.join(SCALINGS)}, {STANDARD} or {_FORM}"
    raise SettingError.of_field("scaling", f"is {scaling!r}: expected one of {allowed}")


def text_of(means: Sequence[float], deviations: Sequence[float]) -> str:
    """Return the text of the scaling with these numbers, of which there is one for all channels or one for each.

    >>> text_of([127.5], [63.75])
    '127.5/63.75'
    """
    return "/".join(",".join(f"{number:.9g}" for number in numbers) for numbers in (means, deviations))


def _with_numbers(scaling: str) -> Scaling:
    """Return the scaling for its numbers as text."""
    try:
        means, deviations = (tuple(map(float, part.split(","))) for part in scaling.split("/"))
    except ValueError:
        raise SettingError.of_field("scaling", f"is {scaling!r}: expected {_FORM}") from None
    if len(means) != len(deviations) or len(means) > _MOST_CHANNELS:
        raise SettingError.of_field(
            "scaling",
            f"has {len(means):,} means and {len(deviations):,} deviations: expected the same number of both, up to "
            f"{_MOST_CHANNELS:,}",
        )
    for number, least in [(mean, -math.inf) for mean in means] + [(deviation, 0.0) for deviation in deviations]:
        if not (number > least and abs(number) < _BOUND):
            raise SettingError.of_field(
                "scaling",
                f"has the number {number:g}: expected means and deviations below {_BOUND:g}, deviations above 0",
            )
    if len(means) == 1:
        formula = f"(x - {means[0]:g}) / {deviations[0]:g}"
    elif len(means) <= _MOST_IN_FORMULA:
        listed = [f"({', '.join(f'{number:g}' for number in numbers)})" for numbers in (means, deviations)]
        formula = f"(x - {listed[0]}) / {listed[1]}"
    else:
        formula = f"(x - mean) / deviation, with numbers for each of {len(means):,} channels"
    return Scaling("", formula, f"scaled as {formula}", "", means, deviations)
