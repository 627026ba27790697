"""Expected agreement of runtimes with an export's golden vectors, and its statement in a README."""

from typing import List, NamedTuple, Optional, Tuple

#: Largest expected difference in a proof by values, relative to the largest value.
LARGEST_RELATIVE = 0.25
#: Units of differences: see :attr:`Check.unit`. With the last, they are stated relative to the largest value.
CODE, QUANTIZATION_STEP, PROBABILITY, RELATIVE = "code", "quantization step", "probability", "relative"
#: Package that a check program needs which computes the integers itself.
NUMPY = "NumPy"


class Expected(NamedTuple):
    """Golden output that a runtime may reproduce.

    Attributes
    ----------
    key : str
        Name of the golden vector.
    meaning : str
        Phrase that names its origin, such as "the integers of the network".
    identical, largest : float
        Smallest fraction of equal values, and largest difference, in units of :attr:`Check.step`.
    """

    key: str
    meaning: str
    identical: float
    largest: float


class Check(NamedTuple):
    """Content of ``check.py``: the program that runs the file, and the expected outputs.

    Attributes
    ----------
    runner : str
        Name of the template that runs the file.
    runtime : str
        Name of the package that runs the file; :data:`NUMPY` if the program itself does.
    given : str
        Key of the golden vector of the input.
    expected : tuple of Expected
        Alternatives: the program succeeds if the output agrees with one of them.
    step : float, optional
        Unit of differences: values that differ by at most half of it are equal. None for codes, where it is 1.
    values : tuple of (str, str)
        Names and values of further fields of the template.
    unit : str
        What ``step`` is, for the README; :data:`CODE` if it is None.
    """

    runner: str
    runtime: str
    given: str
    expected: Tuple[Expected, ...]
    step: Optional[float] = None
    values: Tuple[Tuple[str, str], ...] = ()
    unit: str = CODE

    @property
    def needs(self) -> str:
        """Packages that the program needs."""
        return self.runtime if self.runtime == NUMPY else f"{NUMPY} and {self.runtime}"


def expected_lines(check: Check, is_single: bool) -> List[str]:
    """Return the expected agreement of runtimes; without amounts in the units of one output if there are several."""
    # The meaning of codes names the kernels that compute them.
    where = "" if check.step is None else f" in {check.runtime}"
    return [
        f"- expected{where} for `{expected.key}` ({expected.meaning}): at least {100 * expected.identical:.4g} % of "
        f"the values {_within(check, expected, is_single)}"
        for expected in check.expected
    ]


def _within(check: Check, expected: Expected, is_single: bool) -> str:
    """Return the difference of values that count as equal, and the largest expected difference, with their units."""
    if check.step is None:
        return f"equal, differences of at most {_counted(expected.largest, CODE)}"
    if check.unit == RELATIVE:
        # Without an amount for several outputs, as each has its own largest value.
        close = f"{0.5 / (expected.largest + 0.5) * LARGEST_RELATIVE:.3g} times the largest absolute value"
        most = f"{LARGEST_RELATIVE:g} times it"
        if is_single:
            close = f"{check.step / 2:.3g}, which is {close}"
            most = f"{(expected.largest + 0.5) * check.step:.3g}, which is {most}"
        return f"within {close}, differences of at most {most}"
    if check.unit == PROBABILITY and is_single:
        largest = expected.largest * check.step
        return f"within {check.step / 2:.3g}, differences of at most {largest:.3g}, both as probabilities"
    most_steps = f"differences of at most {_counted(expected.largest, QUANTIZATION_STEP)} of the logits"
    return f"equal, {most_steps}" + (f", each {check.step:.3g}" if is_single else "")


def _counted(number: float, unit: str) -> str:
    return f"{number:.3g} {unit}{'' if number == 1 else 's'}"
