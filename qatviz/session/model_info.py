"""Questions and answers of the inspection of a new run's model and data, and the check that they match."""

from functools import lru_cache
from typing import Mapping, NamedTuple, Optional, Tuple

from qatviz.data.dataset import equal_up_to_unit_axis, is_regression_by_network
from qatviz.data.heads import outputs_of_targets
from qatviz.data.notes import BY_NETWORK
from qatviz.data.several import names_in_network
from qatviz.data_options import DataOptions
from qatviz.errors import DataError, NetworkError
from qatviz.network import zoo
from qatviz.network.graph import Network
from qatviz.network.keras_import import InputShape
from qatviz.number_format import shape_text
from qatviz.presentation.previews import DataInfo, TargetInfo, example_text, inputs_text
from qatviz.protocol.run_spec import output_mismatch
from qatviz.task import REGRESSION

#: Input shape and number of outputs assumed for a network of the zoo until the data is known.
EXAMPLE_SHAPE, EXAMPLE_OUTPUTS = (28, 28, 1), 10


class DataQuestion(NamedTuple):
    """Data to inspect, its task and its scaling (None: inferred from the data), and how it is read.

    ``tasks`` are pairs of an output and its task, for targets of several outputs.
    """

    source: str
    task: Optional[str] = None
    scaling: Optional[str] = None
    options: DataOptions = DataOptions()
    tasks: Tuple[Tuple[str, str], ...] = ()


class ModelQuestion(NamedTuple):
    """Model to inspect.

    Attributes
    ----------
    path : str
        Path of a file, or ``path.py:function``.
    weights : str or None
        Path of a file with weights for an architecture.
    allow_code : bool
        True if the user has allowed the model's Python code to be run.
    data_shape : tuple of int, mapping of str to tuple of int, or None
        Shape of one example of the data, or of each input, for a model whose input shape has unknown axes; None: not
        known yet.
    """

    path: str
    weights: Optional[str] = None
    allow_code: bool = False
    data_shape: Optional[InputShape] = None


class ModelInfo(NamedTuple):
    """Result of inspecting a model.

    Attributes
    ----------
    network : Network or None
        None if the model contains code that the user has not allowed to be run.
    has_weights : bool
    notes : tuple of str
        Differences from the user's model.
    code : str
        Description of code that was not run; empty if there is none.
    used_shape : tuple of int, mapping of str to tuple of int, or None
        Input shape from the data, if that of the model has unknown axes.
    """

    network: Optional[Network]
    has_weights: bool = False
    notes: Tuple[str, ...] = ()
    code: str = ""
    used_shape: Optional[InputShape] = None


@lru_cache(maxsize=16)
def zoo_network(name: str, input_shape: Tuple[int, ...], outputs: int) -> Network:
    """Return the network ``name`` of the zoo.

    Raises
    ------
    NetworkError
        If it does not support such examples.
    """
    return zoo.build(name, input_shape, outputs)


def zoo_network_for(name: str, data: Optional[DataInfo]) -> Network:
    """Return a network of the zoo for ``data``; for typical examples while the data is not known."""
    shape, outputs = (data.input_shape, data.outputs) if data is not None else (EXAMPLE_SHAPE, EXAMPLE_OUTPUTS)
    return zoo_network(name, tuple(shape), outputs)


def zoo_problem(name: str, data: Optional[DataInfo]) -> str:
    """Return the reason why a network of the zoo does not support the data; empty if it does."""
    try:
        zoo_network_for(name, data)
    except NetworkError as error:
        return str(error)
    return ""


def used_shape_text(model: ModelInfo) -> str:
    """Return the shape of the data that a model without a fixed one got, as text."""
    shape = model.used_shape or ()
    return inputs_text(tuple(shape.items()), ()) if isinstance(shape, Mapping) else shape_text(shape)


def fit_note(network: Network, data: DataInfo) -> str:
    """Return a note on a network that fits the data: what it decides about the data, if anything."""
    decides = any(_decides(head, shape) for head, shape in zip(data.all_heads, network.output_shapes))
    return "Fits the data" + (f": {BY_NETWORK}" if decides and not data.heads else "")


def _input_mismatch(network: Network, data: DataInfo) -> str:
    """Return the reason why the inputs of ``network`` are not those of ``data``; empty if they are."""
    takes, has = dict(network.inputs), dict(data.named_shapes)
    known = names_in_network(list(has), network.input_names)
    if known is not None and all(equal_up_to_unit_axis(takes[known[name]], shape) for name, shape in has.items()):
        return ""
    return (
        f"takes {inputs_text(network.inputs, network.input_shape)} per example, but {data.name} has "
        f"{inputs_text(data.named_shapes, data.input_shape)}: choose data with these inputs, or a model for it"
    )


def mismatch_reason(network: Network, data: DataInfo) -> str:
    """Return the reason why ``network`` can't be trained on ``data``, with remedies; empty if it can."""
    takes, shape = tuple(network.input_shape), tuple(data.input_shape)
    if len(network.inputs) > 1 or data.inputs:
        reason = _input_mismatch(network, data)
        if reason:
            return reason
    elif not equal_up_to_unit_axis(takes, shape):
        return (
            f"takes {example_text(takes)} per example, but {data.name} has {example_text(shape)}: choose data of that "
            "size, or a model for it"
        )
    names = network.output_names
    try:
        known = outputs_of_targets(data.name, [head.output for head in data.all_heads], names)
    except DataError as error:
        return str(error)
    heads = {known[head.output]: head for head in data.all_heads}
    for output, name, found in zip(network.outputs, names, network.output_shapes):
        head = heads[name]
        wanted = ((1,), REGRESSION) if _decides(head, found) else (head.output_shape, head.task)
        if head.assumed.numbered and not data.heads and len(found) == 1 and found > wanted[0]:
            wanted = (tuple(found), head.task)  # the data lacks examples of some classes
        reason = output_mismatch(network, data.name, *wanted, output)
        if reason:
            return f"output {name!r}: {reason}" if len(names) > 1 else reason
    return ""


def _decides(head: TargetInfo, shape: Tuple[int, ...]) -> bool:
    """Return whether a network with an output of this shape decides that labels are numbers to predict."""
    return is_regression_by_network(head.task, head.assumed, head.output_shape[-1], shape[-1])
