"""How far exported files agree with what was seen in training, and how long import and export take.

- ``parity_identical/NETWORK/SETTING/FORMAT``: percent of the codes of the logits that are those of the evaluation
  graph, with the largest difference and the share of equal top-1, on held-out digits, as the export's own proof has
  them. The networks of the zoo are trained first; MobileNetV2, imported from tf.keras, has random parameters and the
  ranges of digits. The format "simulator" is the integer simulator, on 1,000 digits and 1,000 random inputs; "tflite"
  has LiteRT's figures too where that is found.
- ``export_seconds/mobilenetv2/tflite``, ``import_seconds/resnet50``: wall-clock time at 96×96 and 224×224.
"""

import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterator, Sequence

import numpy as np

from qatviz.export.formats import FORMATS

sys.path += [str(Path(__file__).resolve().parents[1] / name) for name in ("export", "training")]

#: Steps of training; of networks whose steps take long, fewer.
STEPS = {"mlp": 200, "lenet": 200, "dscnn": 200, "resnet8": 100, "mobilenet": 60}
NETWORKS = tuple(STEPS) + ("mobilenetv2",)
SETTINGS = {
    "8-bit-per-tensor": {"preset": "tflite-int8", "weights": {"per_channel": False}},
    "8-bit-per-channel": {"preset": "tflite-int8", "weights": {"per_channel": True}},
    "w4": {"preset": "int4"},
    "w2": {"preset": "tflite-int8", "weights": {"num_bits": 2, "per_channel": True}},
    "a4": {"preset": "tflite-int8", "activations": {"num_bits": 4}},
    "asymmetric-7": {"preset": "uint8-affine", "weights": {"num_bits": 7}},
    "asymmetric-8": {"preset": "uint8-affine"},
    "a12": {"preset": "tflite-int8", "activations": {"num_bits": 12}},
    "a16": {"preset": "tflite-int8", "activations": {"num_bits": 16, "symmetric": True}},
}
SIMULATOR = "simulator"
#: Formats that hold integers, and their options.
FORMS = {"tflite": ("tflite", {"litert": True}), "tflite-int4": ("tflite", {"int4": True}),
         "tflite-int16": ("tflite", {"int16": True}), "onnx": ("onnx", {}), "onnx-exact": ("onnx", {"exact": True}),
         "c": ("c", {}), "npz": ("npz", {})}
#: What a setting is for, where that is not every format.
_ONLY = {"tflite-int4": ("w4", "w2"), "tflite-int16": ("a12", "a16")}
_WIDE = {"a12": ("tflite-int16", "npz", "c", SIMULATOR), "a16": ("tflite-int16", "npz", "c", SIMULATOR)}
PARITY = "parity_identical"
EXPORT_SECONDS, IMPORT_SECONDS = "export_seconds/mobilenetv2/tflite", "import_seconds/resnet50"
NAMES = tuple(
    "/".join((PARITY, network, setting, form))
    for network in NETWORKS for setting in SETTINGS
    for form in (SIMULATOR,) + tuple(name for name in FORMS if FORMS[name][0] in FORMATS)
    if setting in _ONLY.get(form, SETTINGS) and form in _WIDE.get(setting, (form,))
) + (EXPORT_SECONDS, IMPORT_SECONDS)
EXAMPLES = 1000
#: Of the network that is imported at 32×32 for its parity, and at 96×96 for the time of its export.
SMALL, LARGE = (32, 32, 3), (96, 96, 3)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for name in names:
        kind, *parts = name.split("/")
        if kind == PARITY:
            network, setting, form = parts
            found = _simulated(network, setting) if form == SIMULATOR else _exported(network, setting, form)
            yield {"name": name, "unit": "%", **found}
        else:
            yield {"name": name, "unit": "s", **(_export_seconds() if name == EXPORT_SECONDS else _import_seconds())}


def _exported(network_name: str, setting: str, form: str) -> Dict:
    """What the proof of an export says; without a value where it is refused, or can't be run."""
    from qatviz.export.errors import ExportError

    format_name, options = FORMS[form]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / ("net" + FORMATS[format_name].suffix)
        start = time.perf_counter()
        try:
            report = FORMATS[format_name].export(_source(network_name, setting), path, options).report
        except ExportError as refused:
            return {"value": None, "refused": str(refused)}
    record = report.to_record()
    found = record["outputs"].get("file to evaluation graph")
    about = {"runtime": record["about"]["runtime"], "examples": record["examples"], "outputs": record["outputs"],
             "accuracy": record["accuracy"], "bytes": record["bytes"], "faults": record["faults"],
             "seconds": time.perf_counter() - start}
    if found is None:
        return {"value": None, "not_run": record.get("not_run"), **about}
    return {"value": 100.0 * found["identical"], "largest": found["largest"], "top1": found["top1"], **about}


def _simulated(network_name: str, setting: str) -> Dict:
    """The integer simulator; the least of digits and random inputs."""
    from parity_cases import digits
    from qatviz.export.integers.lowering import integer_model
    from qatviz.export.proof.parity import codes_of, compare_logits
    from qatviz.export.proof.graph import EvaluationGraph
    from qatviz.export.integers.simulator import simulate

    source = _source(network_name, setting)
    model = integer_model(source.network, source.book, source.arrays, source.step)
    seen = digits(source.network.input_shape, EXAMPLES)
    inputs = {"digits": seen, "random inputs": np.random.RandomState(0).uniform(0, 1, seen.shape).astype(np.float32)}
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        found = {name: compare_logits(codes_of(graph.logits(images), model.logits), simulate(model, images))
                 for name, images in inputs.items()}
    return {"value": 100.0 * min(agreement.identical for agreement in found.values()),
            "largest": max(agreement.largest for agreement in found.values()),
            "top1": min(agreement.top1 for agreement in found.values()),
            "examples": EXAMPLES, "outputs": {name: agreement._asdict() for name, agreement in found.items()}}


def _export_seconds() -> Dict:
    """All of an export: the integers, the file, the evaluation graph, the proof, the files on disk."""
    from qatviz.export.source import ExportSource
    from qatviz.training.settings_book import SettingsBook

    network, plan, state = _mobilenet_v2(LARGE)
    source = ExportSource(network, SettingsBook.from_preset(plan, "tflite-int8"), state, _digits_data(LARGE))
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        report = FORMATS["tflite"].export(source, Path(directory) / "net.tflite").report
        return {"value": time.perf_counter() - start, "examples": report.examples,
                "outputs": report.to_record()["outputs"], "faults": report.faults}


def _import_seconds() -> Dict:
    import tensorflow.compat.v1 as tf
    from qatviz.network.keras_import import import_model

    with tf.Graph().as_default(), tf.Session().as_default():
        model = tf.keras.applications.ResNet50(weights=None)
        start = time.perf_counter()
        layers = len(import_model(model).network.layers)
        return {"value": time.perf_counter() - start, "layers": layers}


def _source(network_name: str, setting: str):
    """A network's state with other settings."""
    from live_graph import dataset
    from qatviz.export.source import ExportSource
    from qatviz.training.settings_book import SettingsBook

    imported = network_name == "mobilenetv2"
    network, plan, state = _mobilenet_v2(SMALL) if imported else _trained(network_name)
    data = _digits_data(SMALL) if imported else dataset()
    return ExportSource(network, SettingsBook.from_preset(plan, **SETTINGS[setting]), state, data)


@lru_cache(maxsize=1)
def _trained(name: str):
    """A network of the zoo, its plan, and its state after training."""
    from parity_cases import Trained

    with Trained(name, STEPS[name]) as trained:
        return trained.network, trained.plan, trained.state


@lru_cache(maxsize=1)
def _mobilenet_v2(shape: tuple):
    """MobileNetV2 as tf.keras has it, its plan, and random parameters with the ranges of digits."""
    import tensorflow.compat.v1 as tf
    from parity_cases import Calibrated
    from qatviz.network.keras_import import import_model

    with tf.Graph().as_default(), tf.Session().as_default():
        model = tf.keras.applications.MobileNetV2(weights=None, input_shape=shape, classes=10)
        network = import_model(model).network
    calibrated = Calibrated(network)
    return network, calibrated.plan, calibrated.state


@lru_cache(maxsize=1)
def _digits_data(shape: tuple):
    """The digits as a data set of another shape."""
    from live_graph import dataset
    from parity_cases import digits
    from qatviz.data import from_arrays

    data = dataset()
    images = np.round(digits(shape, EXAMPLES) * 255).astype(np.uint8)
    held_out = (images, data.y_test[:EXAMPLES])
    return from_arrays("digits", "digits of another shape", held_out, held_out)
