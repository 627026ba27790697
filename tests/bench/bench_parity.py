"""Agreement of exported files with the evaluation graph, and duration of import and export.

- ``parity/NETWORK/SETTING/FORMAT/RUNTIME``: percentage of logit codes that equal the evaluation graph's, with the
  largest difference in codes and the fraction of equal top-1; the worse of held-out digits and as many random inputs.
  There is no value if the format refuses the setting ("refused", with the reason), the machine lacks the runtime
  ("not_run"), or the runtime does not run the file ("failed"). "reaches" is true if the agreement is at least the one
  known for the runtime in networks of a few layers,
  such as ``few_layers``: conv, max-pool, depthwise, avg-pool, strided conv, two dense. Each network is trained once and
  exported with all settings. ``parity/NETWORK/SETTING/simulator`` is the integer simulator.
- ``parity_more/...``: the same for wider activations, for options of TFLite, and for MobileNetV2, imported from
  tf.keras, with random parameters and the ranges of digits.
- ``parity_layers/...``: the same for networks of layers that the others do not have, in the forms of
  :data:`LAYER_FORMS`.
- ``export_seconds/mobilenetv2/tflite``, ``import_seconds/resnet50``: wall-clock time at 96×96 and 224×224.

LiteRT is that of the Python that QATVIZ_LITERT_PYTHON names, or of the first newer one on PATH that has it; the module
newer_runtimes names the variables of the others. Progress is printed to standard error.
"""

import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS

sys.path += [str(Path(__file__).resolve().parents[1] / name) for name in ("export", "training", "")]

import newer_runtimes
import parity_runtimes
from parity_runtimes import EXAMPLES, NotRun, loaded

FORMS = {**parity_runtimes.FORMS, **parity_runtimes.C_FORMS, **newer_runtimes.FORMS}
MORE_FORMS = {**parity_runtimes.MORE_FORMS, **newer_runtimes.MORE_FORMS}
#: Networks of layers that those of the zoo don't have (``parity_cases.LAYER_NETWORKS``), and the forms in which they
#: are measured, by setting.
LAYER_NETWORKS = ("functions", "products", "transposed", "enlarged", "sequence")
LAYER_FORMS = {
    "8-bit-per-channel": (
        "npz/simulator",
        "c/compiled",
        "onnx/onnxruntime",
        "onnx/newer-onnxruntime",
        "onnx-exact/newer-onnxruntime",
        "tflite/litert",
        "tflite/litert-builtin",
        "tflite/interpreter",
        "tflm/tflite-micro",
        "savedmodel/tensorflow",
        "frozen-exact/tensorflow2",
    ),
    "a16": (
        "npz/simulator",
        "c/compiled",
        "onnx-exact/newer-onnxruntime",
        "tflite-int16/litert",
        "tflite-int16/litert-builtin",
        "tflm-int16/tflite-micro",
    ),
}

#: Training steps; fewer for slow networks.
STEPS = {"few_layers": 300, "mlp": 200, "lenet": 200, "dscnn": 200, "resnet8": 100, "mobilenet": 60}
LAYER_STEPS, LAYER_EXAMPLES = 200, 250
IMPORTED = "mobilenetv2"
SETTINGS = {
    "8-bit-per-tensor": {"preset": "tflite-int8", "weights": {"per_channel": False}},
    "8-bit-per-channel": {"preset": "tflite-int8", "weights": {"per_channel": True}},
    "w4": {"preset": "int4"},
    "w2": {"preset": "tflite-int8", "weights": {"num_bits": 2, "per_channel": True}},
    "a4": {"preset": "tflite-int8", "activations": {"num_bits": 4}},
    "asymmetric-7": {"preset": "uint8-affine", "weights": {"num_bits": 7}},
    "asymmetric-8": {"preset": "uint8-affine"},
    "power-of-two": {"preset": "tflite-int8", "weights": {"power_of_two": True}, "activations": {"power_of_two": True}},
}
MORE_SETTINGS = {
    "asymmetric-8-per-channel": {"preset": "uint8-affine", "weights": {"per_channel": True}},
    "a12": {"preset": "tflite-int8", "activations": {"num_bits": 12}},
    "a16": {"preset": "tflite-int8", "activations": {"num_bits": 16, "symmetric": True}},
}
#: Settings for which an option of a format is measured, if not for all.
_INT4, _INT16 = ("w4", "w2"), ("a12", "a16")
_OPTIONS = {"tflite-int4": _INT4, "tflite-int4-all": _INT4, "tflite-int16": _INT16}
_ONLY = {form: settings for form in MORE_FORMS for name, settings in _OPTIONS.items() if form.startswith(name + "/")}
PARITY, MORE, LAYERS = "parity", "parity_more", "parity_layers"
EXPORT_SECONDS, IMPORT_SECONDS = "export_seconds/mobilenetv2/tflite", "import_seconds/resnet50"


def _names() -> List[str]:
    table, more = [], []
    for network in (*STEPS, IMPORTED):
        for setting in (*SETTINGS, *MORE_SETTINGS):
            for form in (*FORMS, *MORE_FORMS):
                is_more = network == IMPORTED or setting in MORE_SETTINGS or form in MORE_FORMS
                if setting in _ONLY.get(form, (setting,)):
                    (more if is_more else table).append("/".join((MORE if is_more else PARITY, network, setting, form)))
    layers = [
        "/".join((LAYERS, network, setting, form))
        for network in LAYER_NETWORKS
        for setting, forms in LAYER_FORMS.items()
        for form in forms
    ]
    return table + more + layers


NAMES = (*_names(), EXPORT_SECONDS, IMPORT_SECONDS)
#: Input shapes of the imported network: for its parity, and for the duration of its export.
SMALL, LARGE = (32, 32, 3), (96, 96, 3)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    for number, name in enumerate(names, 1):
        kind, *parts = name.split("/", 3)
        start = time.perf_counter()
        if kind in (PARITY, MORE, LAYERS):
            most = LAYER_EXAMPLES if kind == LAYERS else EXAMPLES
            figure = {"name": name, "unit": "%", **_agreement(*parts, most)}
        else:
            figure = {"name": name, "unit": "s", **(_export_seconds() if name == EXPORT_SECONDS else _import_seconds())}
        seconds = time.perf_counter() - start
        print(f"{number}/{len(names)}  {name}: {_in_words(figure)}  ({seconds:.1f} s)", file=sys.stderr, flush=True)
        yield figure


def _in_words(figure: Dict) -> str:
    if "identical" in figure:
        return f"{figure['value']:.2f} %, at most {figure['largest']}, top-1 {100 * figure['top1']:.2f} %"
    return f"{next((key for key in ('refused', 'not_run', 'failed') if key in figure), figure['value'])}"


class Case(NamedTuple):
    """A network with one setting: source and integer model; input codes and the evaluation graph's logit codes, by kind
    of input."""

    source: Any
    model: Any
    inputs: Dict[str, np.ndarray]
    expected: Dict[str, np.ndarray]


def _agreement(network_name: str, setting: str, form_name: str, most: int) -> Dict:
    """Return the figure of one form on ``most`` inputs; without a value if it is refused or can't be run."""
    from qatviz.export.proof.parity import Agreement, compare_logits

    form = {**FORMS, **MORE_FORMS, **newer_runtimes.MICRO_FORMS}[form_name]
    case, examples = _case(network_name, setting), min(form.examples, most)
    found, start = {}, time.perf_counter()
    try:
        with loaded(form, case.source, case.model) as file:
            for kind, codes in case.inputs.items():
                codes, expected = codes[:examples], case.expected[kind][:examples]
                batch = form.batch
                logits = [file.run(codes[at : at + batch])[case.model.output] for at in range(0, len(codes), batch)]
                found[kind] = compare_logits(expected, np.concatenate(logits))
    except ExportError as refused:
        return {"value": None, "refused": str(refused)}
    except NotRun as missing:
        return {"value": None, "not_run": str(missing)}
    except AssertionError as failed:  # of a program in another Python
        return {"value": None, "failed": str(failed)}
    least = Agreement(
        min(each.identical for each in found.values()),
        max(each.largest for each in found.values()),
        min(each.top1 for each in found.values()),
    )
    return {
        "value": 100.0 * least.identical,
        **least.to_record(),
        "reaches": least.reaches(file.reached),
        "reached": file.reached.to_record(),
        "runtime": file.runtime,
        "bytes": file.nbytes,
        "examples": examples,
        "inputs": {kind: each.to_record() for kind, each in found.items()},
        "seconds": time.perf_counter() - start,
    }


@lru_cache(maxsize=1)
def _case(network_name: str, setting: str) -> Case:
    from parity_cases import digits

    from qatviz.export.integers.lowering import integer_model
    from qatviz.export.integers.simulator import quantize_input
    from qatviz.export.proof.graph import EvaluationGraph
    from qatviz.export.proof.parity import codes_of

    source = _source(network_name, setting)
    model = integer_model(source.network, source.book, source.arrays, source.step)
    digits_ = digits(source.network.input_shape, EXAMPLES)
    images = {
        "digits": digits_,
        "random inputs": np.random.RandomState(0).uniform(0, 1, digits_.shape).astype(np.float32),
    }
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        expected = {kind: codes_of(graph.logits(each), model.logits) for kind, each in images.items()}
    return Case(source, model, {kind: quantize_input(model, each) for kind, each in images.items()}, expected)


def _export_seconds() -> Dict:
    """Measure a whole export: integers, file, evaluation graph, proof, and writing to disk."""
    from qatviz.export.source import ExportSource
    from qatviz.protocol.settings_book import SettingsBook

    network, plan, state = _mobilenet_v2(LARGE)
    source = ExportSource(network, SettingsBook.from_preset(plan, "tflite-int8"), state, _digits_data(LARGE))
    with tempfile.TemporaryDirectory() as directory:
        start = time.perf_counter()
        report = FORMATS["tflite"].export(source, Path(directory) / "net.tflite").report
        return {
            "value": time.perf_counter() - start,
            "examples": report.examples,
            "outputs": report.to_record()["outputs"],
            "faults": report.faults,
        }


def _import_seconds() -> Dict:
    import tensorflow.compat.v1 as tf

    from qatviz.network.keras_import import import_model

    with tf.Graph().as_default(), tf.Session().as_default():
        model = tf.keras.applications.ResNet50(weights=None)
        start = time.perf_counter()
        layers = len(import_model(model).network.layers)
        return {"value": time.perf_counter() - start, "layers": layers}


def _source(network_name: str, setting: str):
    """Return a network's state with the given settings."""
    from live_graph import dataset

    from qatviz.export.source import ExportSource
    from qatviz.protocol.settings_book import SettingsBook

    imported = network_name == IMPORTED
    network, plan, state = _mobilenet_v2(SMALL) if imported else _trained(network_name)
    data = _digits_data(SMALL) if imported else dataset()
    return ExportSource(network, SettingsBook.from_preset(plan, **{**SETTINGS, **MORE_SETTINGS}[setting]), state, data)


@lru_cache(maxsize=1)
def _trained(name: str):
    """Return a network of the zoo, its plan, and its state after training."""
    from parity_cases import Trained

    with Trained(name, STEPS.get(name, LAYER_STEPS)) as trained:
        return trained.network, trained.plan, trained.state


@lru_cache(maxsize=1)
def _mobilenet_v2(shape: tuple):
    """Return MobileNetV2 of tf.keras, its plan, and random parameters with the ranges of digits."""
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
    """Return the digits as a data set of another shape."""
    from live_graph import dataset
    from parity_cases import digits

    from qatviz.data import from_arrays

    data = dataset()
    images = np.round(digits(shape, EXAMPLES) * 255).astype(np.uint8)
    held_out = (images, data.y_test[:EXAMPLES])
    return from_arrays("digits", "digits of another shape", held_out, held_out)
