"""Conversion of a parsed Keras model to a network."""

from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import INPUT, Shape
from qatviz.network.graph import Network
from qatviz.network.inputs import NetworkInput
from qatviz.network.keras_import.config import LayerSpec, ModelSpec
from qatviz.network.keras_import.draft import Draft, KerasLayer, with_list
from qatviz.network.keras_import.inputs import InputSpec
from qatviz.network.keras_import.kinds import KINDS, MIXED_DTYPES, dtype_name, in_form, unsupported_reasons
from qatviz.network.keras_import.layer_wrappers import without_wrappers
from qatviz.network.keras_import.names import Names, valid_name
from qatviz.network.keras_import.operations import as_layer
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.keras_import.records import Path
from qatviz.network.keras_import.spelled_functions import with_functions
from qatviz.network.layers import Concat, Permute, Reshape, Slice

Weights = Dict[Path, Dict[str, np.ndarray]]
"""Arrays of each layer by Keras' names for them, such as "kernel"."""
InputShape = Union[Shape, Mapping[str, Shape]]
"""Shape of one example; of several inputs, their shapes by name or index."""


#: What becomes of the calls of a layer, by whether it has weights.
_REPEATED = {
    False: "each call is a layer of its own",
    True: "each call is a layer, with the weights of the first",
}


#: Layers whose arrays are constants of the input's scaling, not weights: each call has its own.
_CONSTANTS = ("Normalization",)


class UnknownInputShape(NetworkError):
    """A model's input shape has unknown axes, and no input shape was given."""


class ImportedModel(NamedTuple):
    """Keras model converted to a network.

    Attributes
    ----------
    network : Network
    parameters : dict of str to numpy.ndarray
        float32 arrays by ``layer.parameter``, the names of `qatviz.training.parameters.initial_parameters`; empty if
        only the architecture was imported.
    notes : tuple of str
        Differences from the Keras model, one sentence each: layers that are renamed, added, omitted, called repeatedly
        or not trained, and settings of the training that are ignored.
    origin : KerasOrigin
        Description of the Keras model and the array of each parameter in it, for an export to Keras.
    scaled_inputs : tuple of str
        Names of the inputs that the model scales itself (Rescaling, Normalization, preprocess_input): pixels must not
        be scaled before it.
    """

    network: Network
    parameters: Dict[str, np.ndarray]
    notes: Tuple[str, ...]
    origin: KerasOrigin
    scaled_inputs: Tuple[str, ...] = ()


def in_known_shape(
    load: Callable[[Optional[InputShape]], ImportedModel], data_shape: Optional[InputShape]
) -> Tuple[ImportedModel, Optional[InputShape]]:
    """Load a model in its own input shape, or in that of the data if its own has unknown axes.

    Parameters
    ----------
    load : callable
        Function of the input shape, which is None for the model's own.
    data_shape : tuple of int, or mapping of str to tuple of int, optional
        Shape of one example, or of each input, if it is known.

    Returns
    -------
    tuple of ImportedModel, and of the shape or None
        The model, and the shape if it is that of the data.

    Raises
    ------
    UnknownInputShape
        If the model's shape has unknown axes and that of the data is not known.
    """
    try:
        return load(None), None
    except UnknownInputShape:
        if data_shape is None:
            raise
        shape: InputShape = data_shape if isinstance(data_shape, Mapping) else tuple(data_shape)
        return load(shape), shape


def convert(spec: ModelSpec, weights: Optional[Weights], input_shape: Optional[InputShape] = None) -> ImportedModel:
    """Convert a parsed Keras model to a network.

    Parameters
    ----------
    spec : ModelSpec
    weights : dict or None
        None converts the architecture only.
    input_shape : tuple of int, or mapping of str to tuple of int, optional
        Shape of one example, or of each input; required if the model has unknown axes.

    Raises
    ------
    UnknownInputShape
        If the shape of an input has unknown axes.
    NetworkError
        If layers cannot be converted; the message names each layer, its type, the reasons and the nearest alternative.
    """
    spec = with_functions(spec._replace(layers=supported_layers(spec.layers)))
    calls = _LayerCalls(spec)
    named = spec.inputs if len(spec.inputs) > 1 else ()
    names = Names([*(each.path for each in named), *(layer.path for layer in spec.layers)])
    draft = Draft(_network_inputs(spec, names, input_shape), names, calls.are_paired)
    refusals = _Refusals()
    outputs = {given.path: own.name for given, own in zip(spec.inputs, draft.inputs)}
    for given in spec.inputs:
        draft.consumer_counts[outputs[given.path]] = calls.count_consumers(given.path)
    for layer in spec.layers:
        arrays = None if weights is None else weights.get(layer.layer, {})
        keras_layer = KerasLayer(layer, names.by_path[layer.path], arrays)
        kind = KINDS[layer.kind]
        if not all(path in outputs for path in layer.inputs):  # a layer before it is refused
            continue
        draft.begin_call(layer.layer, _has_weights(layer))
        try:
            inputs = in_form(kind.form, draft, keras_layer.name, [outputs[path] for path in layer.inputs])
            output = kind.convert(draft, keras_layer, inputs)
        except NetworkError as error:
            refusals.add(layer, [str(error)])
            continue
        outputs[layer.path] = output
        if output in inputs:  # an omitted layer: its consumers become consumers of its input
            draft.consumer_counts[output] = draft.consumer_counts.get(output, 0) - 1
        draft.consumer_counts[output] = draft.consumer_counts.get(output, 0) + calls.count_uses(layer.path)
    refusals.check()
    ends = draft.move_softmaxes_last([draft.as_plain(outputs[path]) for path in spec.outputs])
    network, parameters = draft.build(valid_name(spec.name), ends)
    notes = draft.notes + _training_notes(spec)
    for have_weights, what in _REPEATED.items():
        repeated = [", ".join(repr(names.by_path[path]) for path in paths) for paths in calls.repeated(have_weights)]
        if repeated:
            notes.insert(0, with_list(f"called more than once; {what}", [f"({call})" for call in repeated]))
    if names.changes:
        sentence = "renamed, since names must be unique and consist of letters, digits, '_', '-' and '/'"
        notes.insert(0, with_list(sentence, names.changes, len(names.changes)))
    origin = KerasOrigin(None, draft.origins, frozen=_frozen_parameters(spec, draft))
    scaled = tuple(each.name for each in draft.inputs if _is_scaled(draft, each.name))
    return ImportedModel(network, parameters, tuple(notes), origin, scaled)


def _is_scaled(draft: Draft, name: str) -> bool:
    """Return whether a layer scales the input `name` itself, or a part or a rearrangement of it."""
    unscaled = {name}
    for layer in draft.layers:
        if unscaled.intersection(layer.inputs):
            if layer.name in draft.scalings:
                return True
            if layer.name in draft.rearranged or isinstance(layer, (Reshape, Slice, Concat, Permute)):
                unscaled.add(layer.name)
    return False


def supported_layers(layers: Iterable[LayerSpec]) -> Tuple[LayerSpec, ...]:
    """Return layers, with operations and wrappers replaced by the layers that compute the same.

    Raises
    ------
    NetworkError
        About all layers whose type or settings would not be imported exactly.
    """
    refusals, found = _Refusals(), []
    for layer in without_wrappers(layers):
        try:
            found.append(as_layer(layer))
            refusals.add(layer, unsupported_reasons(found[-1]))
        except NetworkError as error:
            refusals.add(layer, [str(error)])
    refusals.check()
    return tuple(found)


class _Refusals:
    """Reasons why layers of a model cannot be imported, collected so that the user learns of all of them at once."""

    def __init__(self) -> None:
        self._layers: Dict[Tuple[str, str], List[str]] = {}

    def add(self, layer: LayerSpec, reasons: Sequence[str]) -> None:
        """Add a layer with its reasons, if there are any."""
        if reasons:
            self._layers.setdefault((layer.kind, "; ".join(reasons)), []).append(repr(layer.path[-1]))

    def check(self) -> None:
        """Raise a `NetworkError` about all layers added so far, if any; those with the same reason share it."""
        found = [
            f"{with_list('layers' if len(names) > 1 else 'layer', names, separator=' ')} ({kind}): {reason}"
            for (kind, reason), names in self._layers.items()
        ]
        if found:
            count = sum(map(len, self._layers.values()))
            raise NetworkError(f"{count} layers cannot be imported: {'; '.join(found)}" if len(found) > 1 else found[0])


class _LayerCalls:
    """Calls of each layer of a model, whose types are supported."""

    def __init__(self, spec: ModelSpec):
        self._spec = spec
        self._by_layer: Dict[Path, List[LayerSpec]] = {}
        for layer in spec.layers:
            self._by_layer.setdefault(layer.layer, []).append(layer)

    def count_consumers(self, path: Path) -> int:
        """Return the number of layers that have the output of a call as an input."""
        return sum(path in layer.inputs for layer in self._spec.layers)

    def count_uses(self, path: Path) -> int:
        """Return the number of layers and outputs of the model that use the output of a call."""
        return self.count_consumers(path) + self._spec.outputs.count(path)

    def repeated(self, have_weights: bool) -> List[List[Path]]:
        """Return the paths of the calls of each layer, with or without weights, that is called more than once."""
        return [
            [call.path for call in calls]
            for calls in self._by_layer.values()
            if len(calls) > 1 and _has_weights(calls[0]) == have_weights
        ]

    def are_paired(self, source: Path, norm: Path) -> bool:
        """Return whether each call of a layer is followed by a call of a batch norm, its only consumer, and vice versa.

        The batch norm can be folded then, because the folded weights are the same for all calls.
        """
        before, after = self._by_layer.get(source, []), self._by_layer.get(norm, [])
        if len(before) == len(after) == 1:
            return True
        return sorted(call.path for call in before) == sorted(call.inputs[0] for call in after) and all(
            self.count_uses(call.path) == 1 for call in before
        )


def _has_weights(layer: LayerSpec) -> bool:
    """Return whether a layer, whose type is supported, has weights that its calls share."""
    return KINDS[layer.kind].array_names is not None and layer.kind not in _CONSTANTS


def _network_inputs(spec: ModelSpec, names: Names, given: Optional[InputShape]) -> List[NetworkInput]:
    """Return the inputs with their names in the network and their shapes, those that are `given` by name or index."""
    if len(spec.inputs) == 1:
        shape = _only_shape(spec, given)
        return [NetworkInput(INPUT, _checked_input_shape(spec, spec.inputs[0], shape, "input_shape"))]
    shapes: Mapping[Any, Shape] = given if isinstance(given, Mapping) else {}
    found = []
    for index, each in enumerate(spec.inputs):
        shape = shapes.get(each.name, shapes.get(str(index)))
        checked = _checked_input_shape(spec, each, shape, f"input_shape[{each.name!r}]")
        found.append(NetworkInput(names.by_path[each.path], checked))
    return found


def _only_shape(spec: ModelSpec, given: Optional[InputShape]) -> Optional[Shape]:
    """Return the shape that is `given` for the only input."""
    if not isinstance(given, Mapping):
        return given
    raise checks.invalid_value(f"model {spec.name!r}: input_shape", dict(given), "the shape of its only input")


def _checked_input_shape(spec: ModelSpec, own: InputSpec, given: Optional[Shape], name: str) -> Shape:
    """Return the shape of an input; `given` must agree with the axes that the model fixes."""
    where = f"model {spec.name!r}: {name}"
    declared = own.shape
    if given is None and (declared is None or None in declared):
        allowed = f"a shape without unknown axes; pass it as {name}"
        raise UnknownInputShape(str(checks.invalid_value(where, declared, allowed)))
    shape = checks.shape(where, declared if given is None else given)
    if declared is not None and len(declared) == len(shape) - 1 and shape[-1] == 1:
        shape = shape[:-1]  # the data has an axis for its only channel, the model has none
    if declared is not None and (
        len(declared) != len(shape) or any(axis not in (None, own) for axis, own in zip(declared, shape))
    ):
        raise checks.invalid_value(where, shape, f"a shape that agrees with the model's {declared}")
    return shape


def _frozen_parameters(spec: ModelSpec, draft: Draft) -> FrozenSet[str]:
    """Return the parameters that are not trainable in Keras: of layers, and constants."""
    frozen = {layer.layer for layer in spec.layers if layer.config.get("trainable") is False}
    own = (name for name, (path, _) in draft.origins.items() if path in frozen)
    return frozenset([*own, *draft.constants])


def _training_notes(spec: ModelSpec) -> List[str]:
    """Return notes on settings of the training that a network does not have."""
    frozen = [
        repr(layer.path[-1])
        for layer in spec.layers
        if layer.config.get("trainable") is False and KINDS[layer.kind].array_names
    ]
    regularized = [
        repr(layer.path[-1])
        for layer in spec.layers
        if any(
            value is not None and key.endswith(("_regularizer", "_constraint")) for key, value in layer.config.items()
        )
    ]
    mixed = [repr(layer.path[-1]) for layer in spec.layers if dtype_name(layer.config.get("dtype")) in MIXED_DTYPES]
    notes = (
        ("of mixed precision in Keras, but computed in float32 here", mixed),
        (
            "not trainable in Keras, and not trained here unless the setting trainable of their weights is switched on",
            frozen,
        ),
        ("regularizers and constraints are ignored", regularized),
    )
    return [with_list(sentence, layers) for sentence, layers in notes if layers]
