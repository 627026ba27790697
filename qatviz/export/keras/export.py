"""Export to Keras: the trained float weights in the user's own model, as an ``.h5`` file."""

import json
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.errors import ExportError, NetworkError, OptionChange, refused
from qatviz.export.formats import Options, Written
from qatviz.export.guide.guide import Guide, real_check
from qatviz.export.integers.softmax import softmax_of
from qatviz.export.keras.keras_3 import obstacles
from qatviz.export.keras.model import UnknownDescription, arrays_for_keras, keras_file, loaded
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.proof.graph import BATCH, EvaluationGraph, whole_scores
from qatviz.export.proof.values import Bar, ValueReport, value_report
from qatviz.export.source import ExportSource
from qatviz.inputs import split_examples
from qatviz.network.activations import Activation
from qatviz.network.graph import Network
from qatviz.network.keras_export import keras_description
from qatviz.network.keras_import import InputShape
from qatviz.network.keras_import.config import parse_model
from qatviz.network.keras_import.convert import convert
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.layers import Softmax

#: Expected agreement: batch norm is folded in the evaluation graph, but not in the file.
_BAR = Bar(1e-4)


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write the trained weights of a state of a run, in float, as a whole Keras model.

    Safe on any thread; uses graphs and sessions of its own. The weights of a network that was imported from
    Keras go back into that model; all others, and with the option ``rebuild`` these too, into a functional model of the
    same layers. The proof compares outputs of the file, loaded by Keras, with the evaluation graph in float.

    Raises
    ------
    ExportError
        If the model contains code that is not allowed to run, Keras can't build it, an array is missing, or a file
        can't be written; then none is.
    Cancelled
    """
    progress.at("describing the model", 0.0)
    origin, notes = _origin(source, options)
    progress.at("building the Keras model", 0.05)
    try:
        content, initialized = keras_file(origin, arrays_for_keras(source.network, origin, source.arrays))
    except UnknownDescription:
        if not _describes(origin, source.network):
            raise
        origin = keras_description(source.network)
        notes.append(
            "the imported model is of a later version of Keras than that of TensorFlow 1.15, so a new one is built of "
            "the same layers"
        )
        content, initialized = keras_file(origin, arrays_for_keras(source.network, origin, source.arrays))
    if initialized:
        notes.append(
            f"{initialized} weights of the Keras model have no effect on the network's output, and their values were "
            "not kept: they are initialized again"
        )
    missing = obstacles(json.loads(str(origin.config)))
    if missing:
        notes.append(
            f"Keras 3 does not open the file: {'; '.join(missing)}. With the option rebuild, it opens a model of the "
            "same layers"
        )
    report = _proof(source, origin, content, notes, progress.part(0.3, 0.98))
    progress.at("writing the files", 0.98)
    names = source.network.output_names
    guide = Guide(
        source,
        "Keras model, float",
        _input_texts(source.network),
        ("The output of the Keras model." if len(names) == 1 else f"The Keras model's outputs: {', '.join(names)}.",),
        (),
        None if origin.has_code else real_check(report, "keras", "TensorFlow or Keras"),
    )
    return Written(write_export(path, content, report, source.book, guide=guide), report)


def _input_texts(network: Network) -> Tuple[str, ...]:
    """Return the types and shapes of the inputs, with their names if there are several."""
    texts = [f"{network.input_type(name)} {['batch', *shape]}." for name, shape in network.inputs]
    names = [f"{name}: " for name in network.input_names] if len(texts) > 1 else [""]
    return tuple(name + text for name, text in zip(names, texts))


def keras_nbytes(source: ExportSource, options: Options) -> int:
    """Return the size of an export (bytes).

    Raises
    ------
    ExportError
        As :func:`export` does; also for a model that contains code, which only an export may run.
    """
    origin, _notes = _origin(source, {**options, "allow_code": True})
    if origin.has_code:
        raise ExportError("known after the export, which alone may run the Python code of the Keras model")
    return len(keras_file(origin, arrays_for_keras(source.network, origin, source.arrays))[0])


def _describes(origin: KerasOrigin, network: Network) -> bool:
    """Return whether a description without code is that of a network, though TensorFlow 1.15 can't build it."""
    return _network_of(origin, network) == network


def _origin(source: ExportSource, options: Options) -> Tuple[KerasOrigin, List[str]]:
    """Return the Keras model to write, and notes on the choice."""
    imported = source.keras
    if imported is None or options["rebuild"]:
        return keras_description(source.network), []
    if imported.config is None:
        return keras_description(source.network), [
            "no description of a Keras model with these layers is known, so a new one is built"
        ]
    if imported.has_code and not options["allow_code"]:
        raise refused(
            "the Keras model contains Python code (Lambda layers), which runs with your permissions when Keras builds "
            "it",
            OptionChange("allow_code", True, "for a model that you trust"),
            OptionChange("rebuild", True, "which builds a model of the same layers without code"),
        )
    return imported, []


def _proof(
    source: ExportSource, origin: KerasOrigin, content: bytes, notes: List[str], progress: Progress
) -> ValueReport:
    held_out, network = source.held_out(), source.network
    images = held_out.images
    progress.at("loading the file", 0.0)
    with loaded(content) as model:
        batches = []
        for start in range(0, len(images), BATCH):
            progress.at("running the file", 0.1 + 0.4 * start / len(images))
            given = list(split_examples(network.inputs, images[start : start + BATCH]).values())
            batch = model.predict_on_batch(given if len(given) > 1 else given[0])
            batches.append(batch if isinstance(batch, list) else [batch])
    progress.at("running the evaluation graph", 0.5)
    with EvaluationGraph(network, source.book, source.arrays, source.step) as graph:
        expected = graph.outputs(images, quantized=False)
        assert held_out.whole is not None
        whole = whole_scores(graph, held_out.whole, False, progress=progress.part(0.6, 1.0))
    expected = [function(values) for function, values in zip(_ends(origin, network), expected)]
    values, *further = [
        {"float": each, "file": np.concatenate(part)} for each, part in zip(expected, map(list, zip(*batches)))
    ]
    about = dict(
        source.metadata,
        format="Keras model, float",
        network=source.network.name,
        runtime=f"tf.keras of TensorFlow {tf.__version__}",
    )
    parameters = sum(value.nbytes for name, value in source.arrays.items() if _is_parameter(source, name))
    return value_report(
        about,
        "float",
        values,
        held_out,
        {"file": len(content), "float32 parameters": parameters},
        _BAR,
        tuple(notes),
        whole,
        dict(zip(network.output_names, [values, *further])) if further else None,
        inputs=network.inputs,
        ids=network.id_counts,
    )


def _ends(origin: KerasOrigin, network: Network) -> List[Callable[[np.ndarray], np.ndarray]]:
    """Return the function that a Keras model applies to each output of the evaluation graph.

    That graph ends with logits; the model may have a softmax there, or a sigmoid that was left to the loss.
    """
    imported = _network_of(origin, network)
    found: List[Callable[[np.ndarray], np.ndarray]] = []
    for index, name in enumerate(network.outputs):
        own = None if imported is None else imported.layer(imported.outputs[index])
        is_left = isinstance(own, Activation) and own.function == "sigmoid" and own.inputs[0] == name
        is_softmax = isinstance(network.layer(name), Softmax)
        found.append(softmax_of if is_softmax else _sigmoid if is_left else np.asarray)
    return found


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits))  # does not overflow


def _network_of(origin: KerasOrigin, network: Network) -> Optional[Network]:
    """Return the network of a description without code, with the input shape of ``network``; None for any other."""
    if origin.has_code or origin.config is None:
        return None
    by_number = {str(index): shape for index, (_, shape) in enumerate(network.inputs)}
    shapes: InputShape = by_number if len(by_number) > 1 else network.input_shape
    try:
        return convert(parse_model(json.loads(str(origin.config))), None, shapes).network
    except (NetworkError, ValueError):
        return None


def _is_parameter(source: ExportSource, name: str) -> bool:
    layer, _, parameter = name.rpartition(".")
    return any(
        known.name == layer and parameter in source.network.parameter_shapes(layer) for known in source.network.layers
    )
