"""Keras model with trained weights, built from its description in its own graph and session."""

import contextlib
import io
import json
from typing import Any, Dict, Iterator, List, Mapping, Tuple

import h5py
import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.errors import ExportError, OptionChange, refused
from qatviz.export.keras.keras_3 import for_keras_3
from qatviz.export.progress import Cancelled
from qatviz.network.graph import Network
from qatviz.network.keras_import.array_parts import ArrayPart, array_part
from qatviz.network.keras_import.config import MIN_FUSED_EPSILON
from qatviz.network.keras_import.keras_session import isolated_keras
from qatviz.network.keras_import.layer_wrappers import BACKWARD, FORWARD, TIME_DISTRIBUTED
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.layers import BatchNorm, Conv2DTranspose
from qatviz.network.sequences import sequence_layers

#: Functions that descriptions name and Keras does not define.
CUSTOM_OBJECTS = {"relu6": tf.nn.relu6}
#: Attribute of a file that has the model's description.
_DESCRIPTION = "model_config"
#: Values that the import assigns to parameters that the Keras model does not have.
_NEUTRAL = {"weights": 1.0, "gamma": 1.0, "beta": 0.0}


class UnknownDescription(ExportError):
    """TensorFlow 1.15 can't build a model from its description."""


def arrays_for_keras(network: Network, origin: KerasOrigin, arrays: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Return the parameters of a network that its Keras model has, by the network's names.

    Raises
    ------
    ExportError
        If a parameter is missing, or if one without an array in the Keras model has been trained.
    """
    found = {}
    sequences = sequence_layers(network)
    for layer in network.layers:
        for parameter in network.parameter_shapes(layer.name):
            name = f"{layer.name}.{parameter}"
            if name not in arrays:
                raise ExportError(f"layer {layer.name!r}: the state has no values for {name}")
            if name in origin.arrays:
                found[name] = arrays[name]
                if isinstance(layer, Conv2DTranspose) and parameter == "weights":
                    found[name] = arrays[name].swapaxes(-1, -2)  # Keras has [..., filters, in]
            elif name not in origin.frozen and not (arrays[name] == _NEUTRAL.get(parameter)).all():
                raise refused(
                    f"layer {layer.name!r}: its {parameter} was trained, but the Keras model has no array for it",
                    OptionChange("rebuild", True, "which builds a model of the same layers with such an array"),
                )
        on_images = len(network.shapes[layer.name]) == 3 and layer.name not in sequences
        if isinstance(layer, BatchNorm) and on_images and layer.epsilon < MIN_FUSED_EPSILON:
            name = layer.name + ".moving_variance"
            found[name] = found[name] + np.float32(layer.epsilon - MIN_FUSED_EPSILON)
    return found


def keras_file(origin: KerasOrigin, values: Mapping[str, np.ndarray]) -> Tuple[bytes, int]:
    """Return a whole Keras model as an HDF5 file, and the number of its weights that are not in ``values``.

    These belong to layers that have no effect on the network's output; they are initialized as in a new model, seeded.

    Parameters
    ----------
    origin : KerasOrigin
        With a description; if it contains code, the code is run.
    values : dict of str to np.ndarray
        Value of every parameter in ``origin.arrays``; the number of axes of length 1 may differ.

    Raises
    ------
    UnknownDescription
        If TensorFlow 1.15 can't build the model.
    ExportError
        If an array does not fit.
    """
    with isolated_keras() as session, _refusals("can't build the model from its description"):
        tf.set_random_seed(0)
        try:
            model = tf.keras.models.model_from_json(origin.config, custom_objects=CUSTOM_OBJECTS)
        except Exception as error:  # descriptions are untrusted, and layers may raise anything
            reason = " ".join(str(error).split())
            raise UnknownDescription(
                f"Keras can't build the model from its description: {type(error).__name__}: {reason}"
            ) from error
        fed = {}
        parts: Dict[Any, List[Tuple[ArrayPart, np.ndarray]]] = {}
        for name, (path, array) in origin.arrays.items():
            array, part = array_part(array)
            variable = _variable(model, path, array)
            shape = tuple(variable.shape.as_list())
            if part is None:
                fed[variable.initial_value] = _reshaped(name, values[name], variable, shape)
                continue
            shape = (*shape[: part.axis], part.stop - part.start, *shape[part.axis + 1 :])
            parts.setdefault(variable.initial_value, []).append((part, _reshaped(name, values[name], variable, shape)))
        for initial, found in parts.items():
            found.sort(key=lambda one: one[0])
            fed[initial] = np.concatenate([value for _, value in found], found[0][0].axis)
        variables = model.weights
        # Through their initializers: separate assignments would take ten times as long.
        session.run([variable.initializer for variable in variables], fed)
        return _saved(model), len(variables) - len(fed)


@contextlib.contextmanager
def loaded(content: bytes) -> Iterator[Any]:
    """Yield the model of a file, in a graph and session of its own that end with the context."""
    with isolated_keras(), h5py.File(io.BytesIO(content), "r") as file, _refusals("can't load the file"):
        yield tf.keras.models.load_model(file, custom_objects=CUSTOM_OBJECTS, compile=False)


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Raise Keras' own errors as :class:`ExportError`."""
    try:
        yield
    except (Cancelled, ExportError):
        raise
    except Exception as error:  # descriptions are untrusted, and layers may raise anything
        reason = " ".join(str(error).split())
        raise ExportError(f"Keras {what}: {type(error).__name__}: {reason}") from error


def _variable(model: Any, path: Tuple[str, ...], array: str) -> Any:
    layer = model
    for name in path:
        layer = getattr(layer, name) if name in (FORWARD, BACKWARD) else layer.get_layer(name)
    layer = getattr(layer, "layer", layer) if type(layer).__name__ == TIME_DISTRIBUTED else layer
    return getattr(layer if hasattr(layer, array) else layer.cell, array)


def _reshaped(name: str, value: np.ndarray, variable: Any, shape: Tuple[int, ...]) -> np.ndarray:
    # Axes of length 1 may be added or missing, and neighbouring axes may be one.
    ends = [set(np.cumprod([axis for axis in axes if axis != 1]).tolist()) for axes in (shape, value.shape)]
    if value.size != np.prod(shape) or not (ends[0] <= ends[1] or ends[1] <= ends[0]):
        raise ExportError(f"{name}: has the shape {value.shape}; the Keras model's {variable.name} has {shape}")
    return value.reshape(shape)


def _saved(model: Any) -> bytes:
    """Return the model as an HDF5 file, written in memory: HDF5 never ends after a write to a full disk."""
    with h5py.File("model.h5", "w", driver="core", backing_store=False) as file:
        model.save(file, include_optimizer=False, save_format="h5")
        file.attrs[_DESCRIPTION] = json.dumps(for_keras_3(json.loads(file.attrs[_DESCRIPTION]))).encode("utf-8")
        file.flush()
        content: bytes = file.id.get_file_image()
        return content
