"""What is found out about the model and the data of a new run before it begins, and whether they fit each other."""

from functools import lru_cache
from typing import NamedTuple, Optional, Tuple

from qatviz.errors import NetworkError
from qatviz.network import zoo
from qatviz.network.graph import Network
from qatviz.network.layers import Softmax
from qatviz.number_format import shape_text
from qatviz.presentation.previews import DataLook, example_text

#: What networks of the zoo are shown for until the data is known.
EXAMPLE_SHAPE, EXAMPLE_OUTPUTS = (28, 28, 1), 10


class DataQuestion(NamedTuple):
    """Which data is to be looked at, and for which task (None: what the data says or is)."""

    source: str
    task: Optional[str] = None


class ModelQuestion(NamedTuple):
    """Which model is to be looked at.

    Attributes
    ----------
    path : str
        A file, or ``path.py:function``.
    weights : str or None
        A file with weights for an architecture.
    allow_code : bool
        Whether the user has said that its code may be run.
    data_shape : tuple of int or None
        Of an example of the data, for a model that leaves its input open; None: not known yet.
    """

    path: str
    weights: Optional[str] = None
    allow_code: bool = False
    data_shape: Optional[Tuple[int, ...]] = None


class ModelLook(NamedTuple):
    """What was found.

    Attributes
    ----------
    network : Network or None
        None where the model holds code and nobody has said that it may be run.
    has_weights : bool
    notes : tuple of str
        What differs from the user's model.
    code : str
        What code it holds, a sentence; else an empty text.
    used_shape : tuple of int or None
        The input's shape, where it had to be given because the model leaves it open.
    """

    network: Optional[Network]
    has_weights: bool = False
    notes: Tuple[str, ...] = ()
    code: str = ""
    used_shape: Optional[Tuple[int, ...]] = None


@lru_cache(maxsize=16)
def zoo_network(name: str, input_shape: Tuple[int, ...], outputs: int) -> Network:
    """The network ``name`` of the zoo; :class:`NetworkError` where it can't take such examples."""
    return zoo.build(name, input_shape, outputs)


def shown_zoo_network(name: str, data: Optional[DataLook]) -> Network:
    """As it is for ``data``; for an example where the data is not known yet."""
    shape, outputs = (data.input_shape, data.outputs) if data is not None else (EXAMPLE_SHAPE, EXAMPLE_OUTPUTS)
    return zoo_network(name, tuple(shape), outputs)


def misfit(network: Network, data: DataLook) -> str:
    """Why ``network`` can't learn from ``data``, with what would help; an empty text where it can."""
    takes, shape = tuple(network.input_shape), tuple(data.input_shape)
    output = network.shapes[network.output]
    if takes != shape:
        return (
            f"takes {example_text(takes)} an example, but {data.name} has {example_text(shape)}: choose data of "
            "that size, or a model for it"
        )
    wanted = f"{data.outputs:,} {'numbers to predict' if data.is_regression else 'classes'}"
    if len(output) != 1:
        return (
            f"layer {network.output!r} puts out {shape_text(output)} for each example, but {data.name} has "
            f"{wanted}: expected a single row of numbers"
        )
    if network.num_outputs != data.outputs:
        return (
            f"layer {network.output!r} puts out {network.num_outputs:,} numbers, but {data.name} has {wanted}: "
            f"choose other data, or a model of {data.outputs:,} outputs"
        )
    if data.is_regression and isinstance(network.layer(network.output), Softmax):
        return (
            f"ends in a softmax (layer {network.output!r}), but {data.name} has numbers to predict: expected a "
            "linear end"
        )
    return ""


def zoo_problem(name: str, data: Optional[DataLook]) -> str:
    """Why the network of the zoo can't take the data; an empty text where it can."""
    try:
        shown_zoo_network(name, data)
    except NetworkError as error:
        return str(error)
    return ""
