"""Inputs of a network: their names and shapes."""

from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple

from qatviz.errors import NetworkError
from qatviz.inputs import row_length
from qatviz.network import checks
from qatviz.network.checks import INPUT, Shape


class NetworkInput(NamedTuple):
    """Input of a network: its name, "input" if it is the only one, and the shape of one example."""

    name: str
    shape: Shape


def checked_inputs(where: str, given: Any, inputs: Sequence[NetworkInput] = ()) -> Tuple[NetworkInput, ...]:
    """Return the inputs of a network.

    Parameters
    ----------
    where : str
        Beginning of messages, such as ``"network 'tiny': "``.
    given : tuple of int, or mapping of str to tuple of int
        Shape of the only input; or shapes of several by name, in order.
    inputs : sequence of NetworkInput
        Several inputs, which replace ``given``.

    Raises
    ------
    NetworkError
        If a shape or a name is not valid, or several inputs have the same name.
    """
    if len(inputs) < 2 and not isinstance(given, Mapping):
        return (NetworkInput(INPUT, checks.shape(where + INPUT + "_shape", given)),)
    pairs: List[Tuple[Any, Any]] = list(given.items()) if isinstance(given, Mapping) else list(inputs)
    found = tuple(
        NetworkInput(checks.layer_name(where + "name of an input", name), checks.shape(f"{where}input {name!r}", shape))
        for name, shape in pairs
    )
    names = [each.name for each in found]
    if len(found) < 2 or len(set(names)) < len(names):
        raise checks.invalid_value(where + "inputs", names, "two or more with different names, or the shape of one")
    row = row_length(found)
    if row > checks.LARGEST_AXIS:
        raise checks.invalid_value(where + "values of all inputs", row, f"at most {checks.LARGEST_AXIS}")
    return found


def check_all_used(where: str, inputs: Sequence[NetworkInput], consumers: Mapping[str, Sequence[str]]) -> None:
    """Raise a `NetworkError` if one of several inputs has no consumers."""
    unused = [each.name for each in inputs if not consumers[each.name]]
    if unused and len(inputs) > 1:
        raise NetworkError(f"{where}no layer uses the inputs {', '.join(map(repr, unused))}; allowed: inputs in use")


def input_text(name: str) -> str:
    """Return the words for an input in messages, with its name if there are several."""
    return "the network's input" if name == INPUT else f"the network's input {name!r}"
