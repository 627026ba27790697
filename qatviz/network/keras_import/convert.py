"""From the flat description of a Keras model to a network."""

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import INPUT, Shape
from qatviz.network.graph import Network
from qatviz.network.keras_import.config import INPUT_PATH, ModelSpec, Path
from qatviz.network.keras_import.draft import Draft, listed
from qatviz.network.keras_import.keras_layer import KerasLayer
from qatviz.network.keras_import.kinds import KINDS, check_settings
from qatviz.network.keras_import.names import Names, spelled
from qatviz.network.keras_import.origin import KerasOrigin

Weights = Dict[Path, Dict[str, np.ndarray]]
"""The arrays of each layer by Keras' names for them, such as "kernel"."""


class OpenShape(NetworkError):
    """The model leaves the shape of its input open, and none was given."""


class ImportedModel(NamedTuple):
    """A Keras model as a network.

    Attributes
    ----------
    network : Network
    parameters : dict of str to numpy.ndarray
        float32 arrays by ``layer.parameter``, as `qatviz.training.parameters.initial_parameters` names them; empty
        for an architecture without weights.
    notes : tuple of str
        What differs from what the user wrote, one sentence each: names changed, layers put in or left out, and what
        of the training (regularizers, frozen layers) was not taken over.
    origin : KerasOrigin
        The way back for trained weights: Keras' description of the model, and whose array each parameter is.
    """

    network: Network
    parameters: Dict[str, np.ndarray]
    notes: Tuple[str, ...]
    origin: KerasOrigin


def convert(spec: ModelSpec, weights: Optional[Weights], input_shape: Optional[Shape] = None) -> ImportedModel:
    """The network of a model.

    Parameters
    ----------
    weights : dict or None
        None: of the architecture alone.
    input_shape : tuple of int, optional
        Where the model leaves it open; without the batch.

    Raises
    ------
    NetworkError
        When a layer cannot be imported; the message names it, its type, the reason and what is supported.
    """
    for layer in spec.layers:
        check_settings(layer)
    names = Names(layer.path for layer in spec.layers)
    draft = Draft(_known_shape(spec, input_shape), names)
    outputs = {INPUT_PATH: INPUT}
    draft.readers[INPUT] = _reader_count(spec, INPUT_PATH)
    for layer in spec.layers:
        own = None if weights is None else weights.get(layer.path, {})
        keras_layer = KerasLayer(layer, names.of[layer.path], own)
        inputs = [outputs[path] for path in layer.inputs]
        try:
            output = KINDS[layer.kind].convert(draft, keras_layer, inputs)
        except NetworkError as error:
            raise NetworkError(f"Keras layer {layer.path[-1]!r} ({layer.kind}): {error}") from error
        outputs[layer.path] = output
        if output in inputs:  # left out: what reads it, reads its source
            draft.readers[output] -= 1
        draft.readers[output] = draft.readers.get(output, 0) + _reader_count(spec, layer.path)
    network, parameters = draft.finished(spelled(spec.name))
    notes = draft.notes + _of_training(spec)
    if names.changes:
        notes.insert(
            0,
            listed(
                "renamed, as names are unique and of letters, digits, '_', '-' and '/'",
                names.changes,
                len(names.changes),
            ),
        )
    return ImportedModel(network, parameters, tuple(notes), KerasOrigin(None, draft.origins))


def _reader_count(spec: ModelSpec, path: Path) -> int:
    return sum(path in layer.inputs for layer in spec.layers)


def _known_shape(spec: ModelSpec, given: Optional[Shape]) -> Shape:
    where = f"model {spec.name!r}: input_shape"
    declared = spec.input_shape
    if given is None and (declared is None or None in declared):
        raise OpenShape(str(checks.refuse(where, declared, "a shape without open axes; give one as input_shape")))
    shape = checks.shape(where, declared if given is None else given)
    if declared is not None and (
        len(declared) != len(shape) or any(axis not in (None, own) for axis, own in zip(declared, shape))
    ):
        raise checks.refuse(where, shape, f"what fits the model's own {declared}")
    return shape


def _of_training(spec: ModelSpec) -> List[str]:
    """What the model's description says on training that a network does not hold."""
    frozen = [
        repr(layer.path[-1])
        for layer in spec.layers
        if layer.config.get("trainable") is False and KINDS[layer.kind].weights
    ]
    regularized = [
        repr(layer.path[-1])
        for layer in spec.layers
        if any(
            value is not None and key.endswith(("_regularizer", "_constraint")) for key, value in layer.config.items()
        )
    ]
    return [
        listed(sentence, layers)
        for sentence, layers in (
            ("not trainable in Keras; here every layer is trained", frozen),
            ("regularizers and constraints are not taken over", regularized),
        )
        if layers
    ]
