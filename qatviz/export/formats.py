"""Registry of the formats that a run can be exported to: names, options, limits and the module that writes each.

It imports no TensorFlow, so that formats can be listed and checked without it. The module of a format is imported when
an export is written, by its function ``export(source, path, options, progress) -> Written``.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple, Union

from qatviz.errors import ExportError, Refusal, require_tensorflow
from qatviz.export import limits
from qatviz.export.c import limits as c_limits
from qatviz.export.encodings import limits as encodings_limits
from qatviz.export.limits import Limits
from qatviz.export.onnx import limits as onnx_limits
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.export.tflite import limits as tflite_limits
from qatviz.network.graph import Network
from qatviz.presentation.export_sizes import WeightStorage
from qatviz.protocol.settings_book import SettingsBook
from qatviz.tensorflow_presence import EXPORTING

Options = Dict[str, Any]


class Option(NamedTuple):
    """Option of a format.

    Attributes
    ----------
    name : str
        Name in the API; with ``-`` for ``_``, the option of the command line.
    label, help : str
        Label in a dialog; effect of the option, in one sentence.
    default : bool or str
        Default value; a bool for a switch.
    choices : tuple of str
        Allowed values of an option that is not a switch.
    is_consent : bool
        True for a switch with which the user consents to something, such as running code: a dialog asks each time.
    """

    name: str
    label: str
    help: str
    default: Union[bool, str] = False
    choices: Tuple[str, ...] = ()
    is_consent: bool = False


@dataclass(frozen=True)
class Format:
    """Export format.

    Attributes
    ----------
    name, title, about : str
        Name on the command line; display name; purpose of the format, in one sentence.
    suffix : str
        Suffix of the file; empty if the export is a directory.
    module : str
        Module in `qatviz.export` that writes the format.
    options : tuple of Option
    limits : Limits
        Function that returns the refusals of a network with its settings, quickly and without TensorFlow. Refusals that
        depend on arrays (such as ranges that were never observed) are raised by the export.
    weights : WeightStorage
    packings : tuple of dict
        Options with which weights of up to 4 bits are stored two per byte, the widely supported ones first; the last
        option of each decides.
    reserved_names : set of str
        Names in a file that no input can have.
    """

    name: str
    title: str
    about: str
    suffix: str
    module: str
    options: Tuple[Option, ...] = ()
    limits: Limits = limits.none
    weights: WeightStorage = WeightStorage.CODES
    packings: Tuple[Mapping[str, Union[bool, str]], ...] = ()
    reserved_names: FrozenSet[str] = frozenset()

    @property
    def consents(self) -> FrozenSet[str]:
        """Names of the options with which the user consents to something."""
        return frozenset(option.name for option in self.options if option.is_consent)

    def with_defaults(self, given: Optional[Mapping[str, Any]] = None) -> Options:
        """Return the values of all options: the given ones, and defaults for the others.

        Raises
        ------
        ExportError
            For an unknown option, or a value that is not allowed.
        """
        values = {option.name: option.default for option in self.options}
        for name, value in (given or {}).items():
            option = next((option for option in self.options if option.name == name), None)
            if option is None:
                raise ExportError(
                    f"{self.name}: there is no option {name!r}; there "
                    f"{'are ' + ', '.join(values) if values else 'is none'}"
                )
            allowed = option.choices or (False, True)
            if value not in allowed:
                raise ExportError(
                    f"{self.name}: option {name} is {value!r}; expected one of {', '.join(map(str, allowed))}"
                )
            values[name] = value
        return values

    def refusals(
        self, network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]
    ) -> List[Refusal]:
        """Return the reasons why the format does not support a network; see :data:`qatviz.export.limits.Limits`."""
        refusals = self.limits(network, book, step, options) + limits.softmax_of_one(network, options)
        refusals += limits.softmax_of_several(network, options)
        refusals += limits.reserved_inputs(network, self.reserved_names)
        return refusals

    def export(
        self,
        source: ExportSource,
        path: Union[str, Path],
        options: Optional[Mapping[str, Any]] = None,
        progress: Progress = Progress(),
    ) -> "Written":
        """Write an export with its proof. Safe on any thread, also while training runs.

        Raises
        ------
        ExportError
            If the format does not support the network or its settings, or a file can't be written; then none is.
        Cancelled
        """
        require_tensorflow(EXPORTING)
        values = self.with_defaults(options)
        refusals = self.refusals(source.network, source.book, source.step, values)
        refusals += limits.softmax_of_labels(source.dataset.task, values)
        if refusals:
            raise ExportError.refused(*refusals)
        writer = importlib.import_module("qatviz.export." + self.module)
        written: Written = writer.export(source, Path(path), values, progress)
        return written


class Written(NamedTuple):
    """Paths of the files, the export first, and the report of the proof.

    The report has ``to_text()``, ``to_record()``, ``faults`` and ``as_expected``.
    """

    paths: List[Path]
    report: Any


TFLITE = Format(
    "tflite",
    "TensorFlow Lite",
    "Integers for phones and microcontrollers: int8, or uint8 if asymmetric 8-bit weights require it",
    ".tflite",
    "tflite.export",
    (
        Option(
            "softmax",
            "Append softmax (output probabilities)",
            "The output is probabilities, with a resolution of 1/256, instead of logits",
        ),
        Option(
            "plain_codes",
            "Don't widen low-bit codes to int8",
            "Codes of fewer than 8 bits are not multiplied to fill 8 bits: the file compresses better, but is less "
            "exact in runtimes that round twice",
        ),
        Option(
            "int4",
            "Weights of up to 4 bits as INT4",
            "Weights of up to 4 bits of Dense layers and 1×1 convolutions are INT4 tensors, two codes per byte: half "
            "the size; only for LiteRT and partly TFLite Micro, not for older runtimes",
        ),
        Option(
            "int4_all",
            "INT4 in all layers, for TFLite Micro, too",
            "With int4: all weights of up to 4 bits are INT4 tensors, in operations that TFLite Micro has, too; "
            "LiteRT's kernels for these round twice, so that many codes differ",
        ),
        Option(
            "int16",
            "Activations of more than 8 bits as int16",
            "Activations may have 9 to 16 bits, as int16; only for LiteRT and TFLite Micro, not for older runtimes",
        ),
        Option(
            "double_rounding",
            "Compensate double rounding (TF 1.15, TFLite Micro, CMSIS-NN)",
            "Scales and biases compensate for the second rounding: per layer, on the same inputs, more exact in "
            "TensorFlow 1.15, TFLite Micro and CMSIS-NN as they are built by default, less exact in LiteRT",
        ),
        Option(
            "litert",
            "Run the proof in LiteRT too",
            "Run the file in LiteRT too, if a newer Python on this machine has the package ai-edge-litert",
        ),
    ),
    tflite_limits.tflite,
    packings=({"int4": True}, {"int4": True, "int4_all": True}),
)

_TFLITE_OPTIONS = {option.name: option for option in TFLITE.options}

TFLM = Format(
    "tflm",
    "TensorFlow Lite Micro",
    "The TFLite file for microcontrollers: a directory with the model as an array, its operators, the size of its "
    "arena, golden vectors and a test application",
    "",
    "tflm.export",
    (
        _TFLITE_OPTIONS["softmax"],
        _TFLITE_OPTIONS["plain_codes"],
        Option(
            "int4",
            "Weights of up to 4 bits as INT4",
            "Weights of up to 4 bits (in tflite, of Dense layers and 1×1 convolutions) are INT4 tensors, two codes per "
            "byte: half the size, but TFLite Micro unpacks them in the arena",
        ),
        _TFLITE_OPTIONS["int16"],
        _TFLITE_OPTIONS["double_rounding"],
    ),
    tflite_limits.tflm,
    packings=({"int4": True},),
)

_SOFTMAX = Option("softmax", "Append softmax (output probabilities)", "The output is probabilities instead of logits")
_LAYOUT = Option(
    "layout",
    "Image layout",
    "Layout of the input images: channels last (nhwc), as in training, or channels first (nchw)",
    onnx_limits.NHWC,
    (onnx_limits.NHWC, onnx_limits.NCHW),
)
_OPSET = Option(
    "opset",
    "Operator set",
    "13 runs in all runtimes from 2021 on, 21 in those from 2024 on: there, codes are INT4 for weights of up to 4 bits "
    "and INT16 for activations of more than 8 bits",
    onnx_limits.OPSET_13,
    onnx_limits.OPSETS,
)
_FORM = Option(
    "form",
    "Form",
    "Rounded as in training (fake-quant); the same with double-precision accumulators, so that with up to 8 bits the "
    "codes of a deep network are exact too (exact; only for TensorFlow itself); for TensorFlow 1.15's converter TOCO, "
    "in whose integer files average pools round ties up (toco); or not rounded (float)",
    "fake-quant",
    ("fake-quant", "exact", "toco", "float"),
)

#: Names of the nodes that a graph has for any network.
_NODES = frozenset(("about", "class", "labels", "logits", "network", "probabilities"))

SAVEDMODEL = Format(
    "savedmodel",
    "TensorFlow SavedModel",
    "An inference graph for TensorFlow, TensorFlow Serving and converters: a directory with constants, fake-quant "
    "operations and a signature",
    "",
    "graphs.savedmodel",
    (_FORM,),
    weights=WeightStorage.FLOAT32,
    reserved_names=_NODES,
)

FROZEN = Format(
    "frozen",
    "TensorFlow frozen graph",
    "The same graph as a single file, for converters and viewers that read a GraphDef",
    ".pb",
    "graphs.frozen",
    (_FORM,),
    weights=WeightStorage.FLOAT32,
    reserved_names=_NODES,
)

C = Format(
    "c",
    "C source",
    "C99 for microcontrollers: a directory with the integers and a reference runtime that allocates no memory",
    "",
    "c.export",
    (
        Option(
            "pack_int4",
            "Pack 4-bit weights",
            "Weights of up to 4 bits are stored two codes per byte: half the memory, but the runtime has to unpack "
            "them",
        ),
        Option(
            "softmax",
            "Append softmax (output probabilities)",
            "The output is probabilities, with a resolution of 1/256, instead of logits: LiteRT's softmax, in float32",
        ),
        Option(
            "library",
            "As a library (CMake, Arduino, Zephyr)",
            "The folder is a library for CMake, the Arduino IDE and Zephyr, with a test and an example sketch; all its "
            "functions begin with the network's name, so that a program can contain several",
        ),
    ),
    c_limits.c,
    packings=({"pack_int4": True},),
)

KERAS = Format(
    "keras",
    "Keras model",
    "The trained float weights in your own Keras model, or in a new one of the same layers",
    ".h5",
    "keras.export",
    (
        Option(
            "rebuild",
            "Build a new model",
            "Write a new Keras model of the network's layers instead of the model that was imported",
        ),
        Option(
            "allow_code",
            "Allow the model's code to run",
            "Build the imported model although it contains Python code, which runs with your permissions",
            is_consent=True,
        ),
    ),
    weights=WeightStorage.FLOAT32,
)

TFLITE_FAKE_QUANT = Format(
    "tflite-fakequant",
    "TensorFlow Lite, simulated",
    "A float file that simulates the rounding with FAKE_QUANT operations: supports all settings and runs everywhere, "
    "but is no smaller or faster than float",
    ".tflite",
    "fake_quant.export",
    (_SOFTMAX,),
    limits.simulated,
    weights=WeightStorage.FLOAT32,
)

ONNX = Format(
    "onnx",
    "ONNX",
    "For onnxruntime and compilers that read ONNX: 8-bit codes between QuantizeLinear and DequantizeLinear; tensors of "
    "more bits are rounded in float",
    ".onnx",
    "onnx.export",
    (
        _SOFTMAX,
        _LAYOUT,
        Option(
            "storage",
            "Type of codes",
            "uint8 does not saturate in onnxruntime on any processor; some accelerators require int8",
            onnx_limits.UINT8,
            (onnx_limits.UINT8, onnx_limits.INT8),
        ),
        _OPSET,
        Option(
            "exact",
            "Exact codes in deep networks too",
            "Integer operators compute accumulators, which are requantized in double precision: with weights of up to "
            "8 bits, every code equals that of the evaluation graph, but the file is slower, and compilers may not "
            "support its operators",
        ),
    ),
    onnx_limits.onnx,
    packings=({"opset": onnx_limits.OPSET_21},),
)

ONNX_FLOAT = Format(
    "onnx-float",
    "ONNX, float",
    "The trained network in float with a Relu for each activation, for tools that quantize or convert it themselves "
    "(AIMET, with the export to encodings; onnx2tf)",
    ".onnx",
    "onnx_float.export",
    (_SOFTMAX, _LAYOUT, _OPSET),
    onnx_limits.onnx_float,
    weights=WeightStorage.FLOAT32,
)

NPZ = Format(
    "npz",
    "NumPy arrays and JSON",
    "All integers, for your own programs: arrays of codes, biases and multipliers, and a description of the layers",
    ".npz",
    "npz.export",
    (),
    limits.integer,
    WeightStorage.COMPRESSED,
)

ENCODINGS = Format(
    "encodings",
    "AIMET encodings",
    "Scales and offsets of all tensors, for tools that quantize a float model themselves (AIMET, Qualcomm's); tensors "
    "may be in float",
    ".encodings",
    "encodings.export",
    (
        Option(
            "encodings_version",
            "Version",
            "Version of the file format: 1.0.0; 2.0.0, in terms of ONNX's QuantizeLinear; 0.6.1, deprecated, with the "
            "ends of ranges",
            encodings_limits.LISTS,
            encodings_limits.VERSIONS,
        ),
    ),
    encodings_limits.encodings,
    weights=WeightStorage.NONE,
)

FORMATS: Dict[str, Format] = {
    form.name: form
    for form in (TFLITE, TFLM, SAVEDMODEL, FROZEN, C, KERAS, TFLITE_FAKE_QUANT, ONNX, ONNX_FLOAT, NPZ, ENCODINGS)
}


def format_named(name: str) -> Format:
    """Return the format of this name; raise :class:`ExportError`, which lists the formats, if there is none."""
    if name not in FORMATS:
        raise ExportError(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
