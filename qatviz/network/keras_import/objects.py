"""Import of tf.keras models in memory.

TensorFlow is imported inside functions, because the import from files does not need it.
"""

import json
from dataclasses import replace
from typing import Any, Dict, Iterator, Optional, Set, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.call_names import CallNames
from qatviz.network.keras_import.config import (
    LAMBDA,
    NESTED,
    SEQUENTIAL,
    check_arguments,
    parse_model,
    subclassed,
)
from qatviz.network.keras_import.conversions import ACTIVATIONS
from qatviz.network.keras_import.convert import ImportedModel, InputShape, Weights, convert
from qatviz.network.keras_import.kinds import KINDS
from qatviz.network.keras_import.layer_wrappers import BACKWARD, BIDIRECTIONAL, FORWARD, TIME_DISTRIBUTED
from qatviz.network.keras_import.records import Path, layer_name, layer_records

_ARRAYS = (
    "kernel",
    "recurrent_kernel",
    "bias",
    "depthwise_kernel",
    "embeddings",
    "pointwise_kernel",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "alpha",
)


def import_model(model: Any, input_shape: Optional[InputShape] = None) -> ImportedModel:
    """Import a tf.keras model with its current weights.

    Parameters
    ----------
    model : tf.keras.Model
        Sequential or functional model; may contain nested models.
    input_shape : tuple of int, or mapping of str to tuple of int, optional
        Shape of one example, or shapes of several inputs by name; required if the model does not fix it.

    Returns
    -------
    ImportedModel
        ``network, parameters, notes, origin``. In float, the network computes the same as ``model.predict``. Layers
        keep their names, except for those listed in `notes`.

    Raises
    ------
    NetworkError
        If the model is of another type, or one of its layers cannot be imported; the message names the layer, its type,
        the reason and what is supported.

    Notes
    -----
    Must be called in the thread and with the default graph in which the model was created: the weights are in their
    session.
    """
    import tensorflow.compat.v1 as tf

    if not isinstance(model, tf.keras.Model):
        raise NetworkError(f"the model's class is {_class_name(model)}; allowed: tf.keras.Model")
    if not model.built:
        raise NetworkError(
            f"model {model.name!r}: it is not built and has neither shapes nor weights; call its build method, or give "
            "its first layer an input_shape"
        )
    operations: Dict[Path, str] = {}
    known_activations = _known_activations()
    for path, layer in _layers(model, ()):
        _check_class(layer, path)
        if type(layer).__name__ in KINDS:
            _check_activation(layer, path, known_activations)
    _check_shared(model)
    for path, node in _calls(model, ()):
        kind = type(node.outbound_layer).__name__
        # Arguments that are not data are missing from the description.
        check_arguments(node.arguments, f"layer {path[-1]!r} ({kind})")
        if kind == LAMBDA:
            operation = operations.setdefault(path, _operation(node))
            if operation != _operation(node):
                raise NetworkError(
                    f"layer {path[-1]!r} ({LAMBDA}): its calls are different operations, {operation} and "
                    f"{_operation(node)}; allowed: the same in every call"
                )
    not_fused = {path for path, layer in _layers(model, ()) if getattr(layer, "fused", None) is False}
    record = json.loads(_description(model))
    for path, layer in _layers(model, ()):
        if type(layer).__name__ in SEQUENTIAL:
            _add_repeated(_record_at(record, path), layer, path)
    config = json.dumps(record)
    _add_missing(record, (), operations, not_fused)
    spec = parse_model(record)
    tensors = model.inputs or [None] * len(spec.inputs)
    inputs = [
        each if each.shape is not None or tensor is None else each._replace(shape=tuple(tensor.shape.as_list()[1:]))
        for each, tensor in zip(spec.inputs, tensors)
    ]
    spec = spec._replace(inputs=tuple(inputs))
    imported = convert(spec, _arrays(model), input_shape)
    return imported._replace(origin=replace(imported.origin, config=config, has_code=bool(operations)))


def _class_name(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__name__}"


def _layers(model: Any, path: Path) -> Iterator[Tuple[Path, Any]]:
    """Yield the model and all layers and models in it, with their paths."""
    yield path, model
    for layer in getattr(model, "layers", ()) if _is_model(model) else ():
        yield from _layers(layer, (*path, layer.name))
    kind = type(model).__name__
    for name in (FORWARD, BACKWARD) if kind == BIDIRECTIONAL else ():
        yield from _layers(getattr(model, name), (*path, name))
    if kind == TIME_DISTRIBUTED:
        yield from _layers(model.layer, path)


def _is_model(layer: Any) -> bool:
    return hasattr(layer, "_is_graph_network")


def _calls(model: Any, path: Path) -> Iterator[Tuple[Path, Any]]:
    """Yield the calls of all layers of functional models; the layers of a Sequential are called without arguments."""
    for nodes in model._nodes_by_depth.values() if model._is_graph_network else ():
        for node in nodes:
            yield (*path, node.outbound_layer.name), node
    for layer in model.layers:
        if _is_model(layer):
            yield from _calls(layer, (*path, layer.name))


def _check_class(layer: Any, path: Path) -> None:
    """Refuse classes that are not Keras'; in the description, they would look like Keras' classes of the same name."""
    where = f"layer {path[-1] if path else layer.name!r} ({type(layer).__name__})"
    is_keras_class = type(layer).__module__.split(".")[0] in ("tensorflow", "tensorflow_core")
    if _is_model(layer):
        if not is_keras_class or type(layer).__name__ not in NESTED:
            raise subclassed(where, _class_name(layer))
        if not layer._is_graph_network and type(layer).__name__ == "Model":
            raise NetworkError(f"{where}: it is not a functional model; supported: {', '.join(NESTED)}")
    elif not is_keras_class:
        raise NetworkError(
            f"{where}: its class is {_class_name(layer)}, whose code cannot be imported; supported: Keras' own classes"
        )


def _check_shared(model: Any) -> None:
    """Refuse layers that are shared between models; within one model, `parse_model` finds them."""
    seen: Dict[int, Path] = {}
    for path, layer in _layers(model, ()):
        first = seen.setdefault(id(layer), path)
        if first != path and layer.weights:
            raise NetworkError(
                f"layer {path[-1]!r} ({type(layer).__name__}): it is in the model as {'/'.join(first)!r} and as "
                f"{'/'.join(path)!r}, so that its weights are shared, which Keras' description does not say; allowed: "
                "layers with weights that are in one model, which may be called more than once"
            )


def _check_activation(layer: Any, path: Path, known_activations: Tuple[Any, ...]) -> None:
    """Refuse functions that are not Keras'; in the description, they would look like Keras' of the same name."""
    for key in ("activation", "recurrent_activation"):
        activation = getattr(layer, key, None)
        if activation is not None and not any(activation is known for known in known_activations):
            raise NetworkError(
                f"layer {path[-1]!r} ({type(layer).__name__}): {key} is "
                f"{getattr(activation, '__name__', repr(activation))}; supported: {', '.join(ACTIVATIONS)}"
            )


def _known_activations() -> Tuple[Any, ...]:
    import tensorflow as tf

    keras = tf.keras.activations
    names = ("sigmoid", "tanh", "elu", "selu", "softplus", "softsign")
    return (
        keras.linear,
        keras.hard_sigmoid,
        keras.exponential,
        keras.relu,
        keras.softmax,
        *(getattr(module, name) for name in names for module in (keras, tf.nn)),
        tf.nn.leaky_relu,
        tf.nn.relu,
        tf.nn.relu6,
        tf.nn.swish,
        tf.compat.v1.nn.softmax,
        tf.compat.v2.nn.softmax,
    )


def _operation(node: Any) -> str:
    """Return the type of the TensorFlow operation in a call of a Lambda layer, such as "Relu".

    For several operations, it is no type but a text for messages with the last two.
    """
    import tensorflow.compat.v1 as tf

    inputs = [_origin(tensor) for tensor in tf.nest.flatten(node.input_tensors)]
    output = _origin(tf.nest.flatten(node.output_tensors)[0])
    if any(output is tensor for tensor in inputs):
        return "Identity"
    read = [_origin(tensor) for tensor in output.op.inputs]
    if len(read) == len(inputs) and all(any(tensor is own for own in inputs) for tensor in read):
        return str(output.op.type)
    return " of ".join([output.op.type] + [tensor.op.type for tensor in read])


def _origin(tensor: Any) -> Any:
    """Return the tensor of which ``tensor`` is a copy by Identity operations."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _description(model: Any) -> str:
    """Return the model's description as JSON; raise a `NetworkError` if it contains an object without a description."""
    try:
        description: str = model.to_json()
        return description
    except (NotImplementedError, TypeError, ValueError) as error:
        raise NetworkError(
            f"model {model.name!r}: model.to_json() failed ({type(error).__name__}: {error}); allowed: models "
            "that Keras can describe"
        ) from error


def _add_missing(record: Dict[str, Any], path: Path, operations: Dict[Path, str], not_fused: Set[Path]) -> None:
    """Add to a model's description what Keras omits.

    The code of a Lambda layer is replaced by its operation; batch norms that are not computed by
    tf.nn.fused_batch_norm are marked.
    """
    for layer in layer_records(record):
        own = (*path, layer_name(layer))
        if own in operations:
            layer.update(
                {"class_name": "TensorFlowOpLayer", "config": {"name": own[-1], "node_def": {"op": operations[own]}}}
            )
        elif layer["class_name"] in NESTED:
            _add_missing(layer, own, operations, not_fused)
        elif own in not_fused:
            layer["config"]["fused"] = False


def _record_at(record: Dict[str, Any], path: Path) -> Dict[str, Any]:
    """Return the description of a nested model."""
    for name in path:
        record = next(layer for layer in layer_records(record) if layer_name(layer) == name)
    return record


def _add_repeated(record: Dict[str, Any], model: Any, path: Path) -> None:
    """Add the layers that a Sequential calls again to its description, in which Keras lists them once.

    As they have no weights, separate layers with other names compute the same.
    """
    if not model._is_graph_network:
        return
    nodes = [node for _, nodes in sorted(model._nodes_by_depth.items(), reverse=True) for node in nodes]
    called = [node.outbound_layer for node in nodes if type(node.outbound_layer).__name__ != "InputLayer"]
    counts = {layer.name: called.count(layer) for layer in called}
    for layer in called:
        if counts[layer.name] > 1 and layer.weights:
            raise NetworkError(
                f"layer {'/'.join((*path, layer.name))!r} ({type(layer).__name__}): the Sequential {model.name!r} "
                f"calls it {counts[layer.name]} times, but Keras describes and saves it once; allowed: layers with "
                "weights that a Sequential calls once; nearest: the same layers in a functional model"
            )
    if max(counts.values(), default=1) > 1:
        layers = layer_records(record)
        records = {layer_name(layer): layer for layer in layers}
        names = CallNames(records)
        inputs = [layer for layer in layers if layer["class_name"] == "InputLayer"]
        layers[:] = inputs + [_renamed(records[layer.name], names.next(layer.name)) for layer in called]


def _renamed(record: Dict[str, Any], name: str) -> Dict[str, Any]:
    return dict(record, config=dict(record["config"], name=name))


def _arrays(model: Any) -> Weights:
    """Return all arrays of the model by layer and Keras' name, fetched in a single run of the session."""
    import tensorflow.compat.v1 as tf

    variables = [
        (path, key, getattr(holder, key))
        for path, layer in _layers(model, ())
        for holder in (layer, getattr(layer, "cell", None))  # a recurrent layer has them in its cell
        for key in _ARRAYS
        if hasattr(getattr(holder, key, None), "initializer")  # the alpha of a LeakyReLU is no variable
    ]
    try:
        values = tf.keras.backend.batch_get_value([variable for _, _, variable in variables])
    except tf.errors.FailedPreconditionError as error:
        raise NetworkError(
            f"model {model.name!r}: its weights have no values in this thread's session; import it in the thread where "
            "it was created"
        ) from error
    weights: Weights = {}
    for (path, key, _), value in zip(variables, values):
        weights.setdefault(path, {})[key] = value
    return weights
