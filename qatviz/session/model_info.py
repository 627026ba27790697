"""What is known of the model and the data of a new run before it begins, and whether they fit each other."""

from functools import lru_cache
from typing import NamedTuple, Optional, Tuple

from qatviz.errors import NetworkError
from qatviz.network import zoo
from qatviz.network.graph import Network
from qatviz.network.layers import Softmax
from qatviz.number_format import shape_text
from qatviz.presentation.previews import DataInfo, example_text

#: The examples that a network of the zoo is shown for until the data is known.
EXAMPLE_SHAPE, EXAMPLE_OUTPUTS = (28, 28, 1), 10


class DataQuestion(NamedTuple):
    """The data to be inspected, and the task it is for; None: as the data says or is."""

    source: str
    task: Optional[str] = None


class ModelQuestion(NamedTuple):
    """The model to be inspected.

    Attributes
    ----------
    path : str
        A file, or ``path.py:function``.
    weights : str or None
        A file with weights for an architecture.
    allow_code : bool
        Whether the user has allowed its Python code to be run.
    data_shape : tuple of int or None
        Shape of one example of the data, for a model that leaves its input shape open; None: not known yet.
    """

    path: str
    weights: Optional[str] = None
    allow_code: bool = False
    data_shape: Optional[Tuple[int, ...]] = None


class ModelInfo(NamedTuple):
    """The result of inspecting a model.

    Attributes
    ----------
    network : Network or None
        None where the model holds code that the user has not allowed to be run.
    has_weights : bool
    notes : tuple of str
        Differences from the user's model.
    code : str
        A sentence on the code it holds; empty where there is none, or it was run.
    used_shape : tuple of int or None
        The input shape that was taken from the data, because the model leaves its own open.
    """

    network: Optional[Network]
    has_weights: bool = False
    notes: Tuple[str, ...] = ()
    code: str = ""
    used_shape: Optional[Tuple[int, ...]] = None


@lru_cache(maxsize=16)
def zoo_network(name: str, input_shape: Tuple[int, ...], outputs: int) -> Network:
    """Return the network ``name`` of the zoo.

    Raises
    ------
    NetworkError
        Where it can't take such examples.
    """
    return zoo.build(name, input_shape, outputs)


def zoo_network_for(name: str, data: Optional[DataInfo]) -> Network:
    """Return a network of the zoo for ``data``; for usual examples where the data is not known yet."""
    shape, outputs = (data.input_shape, data.outputs) if data is not None else (EXAMPLE_SHAPE, EXAMPLE_OUTPUTS)
    return zoo_network(name, tuple(shape), outputs)


def zoo_problem(name: str, data: Optional[DataInfo]) -> str:
    """Return why a network of the zoo can't take the data; empty where it can."""
    try:
        zoo_network_for(name, data)
    except NetworkError as error:
        return str(error)
    return ""


def misfit(network: Network, data: DataInfo) -> str:
    """Return why ``network`` can't learn from ``data``, and what would help; empty where it can."""
    takes, shape = tuple(network.input_shape), tuple(data.input_shape)
    output = network.shapes[network.output]
    if takes != shape:
        return (
            f"takes {example_text(takes)} per example, but {data.name} has {example_text(shape)}: choose data of that "
            "size, or a model for it"
        )
    wanted = f"{data.outputs:,} {'numbers to predict' if data.is_regression else 'classes'}"
    if len(output) != 1:
        return (
            f"layer {network.output!r} outputs {shape_text(output)} for each example, but {data.name} has {wanted}: "
            "expected a single row of numbers"
        )
    if network.num_outputs != data.outputs:
        return (
            f"layer {network.output!r} outputs {network.num_outputs:,} numbers, but {data.name} has {wanted}: choose "
            f"other data, or a model with {data.outputs:,} outputs"
        )
    if data.is_regression and isinstance(network.layer(network.output), Softmax):
        return (
            f"ends in a softmax (layer {network.output!r}), but {data.name} has numbers to predict: expected a model "
            "that ends without one"
        )
    return ""
