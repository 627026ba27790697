"""The formats that a run can be exported to: what they are called, what they take, and where they are written.

No TensorFlow: who shows or checks what is possible does without. A format's module is imported when it writes; it has
``export(source, path, options, progress) -> Written``.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from qatviz.errors import ExportError
from qatviz.export import limits
from qatviz.export.encodings import limits as encodings_limits
from qatviz.export.limits import Limits
from qatviz.export.onnx import limits as onnx_limits
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.export.tflite import limits as tflite_limits

Options = Dict[str, Any]


class Option(NamedTuple):
    """A choice that a format offers.

    Attributes
    ----------
    name : str
        As the writer takes it; with ``-`` for ``_`` the option of the command line.
    label, help : str
        For a dialog; a sentence on what it does.
    default : bool or str
        A bool is a switch.
    choices : tuple of str
        Of an option that is no switch.
    """

    name: str
    label: str
    help: str
    default: Union[bool, str] = False
    choices: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes
    ----------
    name, title, about : str
        For the command line; for people; a sentence on what it is for.
    suffix : str
        Of the file's name; empty: it is a directory.
    module : str
        Who writes it, in `qatviz.export`.
    options : tuple of Option
    limits : Limits
        Finds the reasons why the format can't hold a network with given settings, quickly and without TensorFlow.
        Reasons that depend on the arrays (such as ranges that were never observed) come up in the export itself.
    """

    name: str
    title: str
    about: str
    suffix: str
    module: str
    options: Tuple[Option, ...] = ()
    limits: Limits = limits.none

    def with_defaults(self, given: Optional[Mapping[str, Any]] = None) -> Options:
        """All options with their values: the given ones, defaults else.

        Raises
        ------
        ExportError
            For an option that there is not, or a value that is not allowed.
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

    def export(
        self,
        source: ExportSource,
        path: Union[str, Path],
        options: Optional[Mapping[str, Any]] = None,
        progress: Progress = Progress(),
    ) -> "Written":
        """Write it, with its proof; any thread, beside a training run.

        Raises
        ------
        ExportError
            If the format can't hold it, or a file can't be written; then none is.
        Cancelled
        """
        values = self.with_defaults(options)
        refusals = self.limits(source.network, source.book, source.step, values)
        if refusals:
            raise ExportError.refused(*refusals)
        writer = importlib.import_module("qatviz.export." + self.module)
        return writer.export(source, Path(path), values, progress)


class Written(NamedTuple):
    """The files, the export first, and the proof: with ``to_text()``, ``to_record()``, ``faults``, ``as_expected``."""

    paths: List[Path]
    report: Any


TFLITE = Format(
    "tflite",
    "TensorFlow Lite",
    "Integers for phones and microcontrollers: int8, or uint8 where asymmetric 8-bit weights ask for it",
    ".tflite",
    "tflite.export",
    (
        Option("softmax", "Put out probabilities", "Put out probabilities, in steps of 1/256, instead of logits"),
        Option(
            "plain_codes",
            "Keep codes of few bits as they are",
            "Codes of fewer than 8 bits are not multiplied to "
            "fill 8: smaller once compressed, less exact in runtimes that round twice",
        ),
        Option(
            "int4",
            "Weights of up to 4 bits as INT4",
            "Weights of up to 4 bits are INT4 tensors, two a byte: half the "
            "size, less exact, and for LiteRT, not for older runtimes",
        ),
        Option(
            "int16",
            "Activations of more than 8 bits as int16",
            "Activations may have 9 to 16 bits, as int16: for LiteRT, not for older runtimes",
        ),
        Option(
            "double_rounding",
            "For kernels that round twice",
            "Scales and biases are off by what such kernels add: "
            "more exact in TensorFlow 1.15, TFLite Micro and CMSIS-NN as they are built by default, less in LiteRT",
        ),
        Option("litert", "Prove it in LiteRT too", "Run it in LiteRT too, if a newer Python here has ai-edge-litert"),
    ),
    tflite_limits.tflite,
)

_FORM = Option(
    "form",
    "Form",
    "With the rounding that was trained (fake-quant); the same with sums in double "
    "precision, so that deep networks have every code too (exact, for TensorFlow alone); or not rounded "
    "(float)",
    "fake-quant",
    ("fake-quant", "exact", "float"),
)

SAVEDMODEL = Format(
    "savedmodel",
    "TensorFlow SavedModel",
    "An inference graph for TensorFlow, Serving and converters: a directory "
    "with constants, fake-quant operations and a signature",
    "",
    "graphs.savedmodel",
    (_FORM,),
)

FROZEN = Format(
    "frozen",
    "TensorFlow frozen graph",
    "The same graph as one file, for converters and viewers that take a GraphDef",
    ".pb",
    "graphs.frozen",
    (_FORM,),
)

C = Format(
    "c",
    "C source",
    "C99 for microcontrollers: the integers, and a reference runtime that computes them without "
    "allocation; a directory",
    "",
    "c.export",
    (
        Option(
            "pack_int4",
            "Pack 4-bit weights",
            "Weights of up to 4 bits are stored two in a byte: half the memory, but the runtime has to unpack them",
        ),
    ),
    limits.integer,
)

KERAS = Format(
    "keras",
    "Keras model",
    "The trained weights, in float, back in your own Keras model, or in one of the same layers",
    ".h5",
    "keras.export",
    (
        Option(
            "rebuild", "Build the model anew", "Write a Keras model of the network's layers, not the one it came from"
        ),
        Option(
            "allow_code",
            "Allow the model's code to run",
            "Build the imported model although it holds Python code, which runs with your rights",
        ),
    ),
)

TFLITE_FAKE_QUANT = Format(
    "tflite-fakequant",
    "TensorFlow Lite, simulated",
    "A float file that simulates the rounding with FAKE_QUANT "
    "operations: takes any setting and runs everywhere, but is no smaller or faster than float",
    ".tflite",
    "fake_quant.export",
    (Option("softmax", "Put out probabilities", "Put out probabilities instead of logits"),),
)

ONNX = Format(
    "onnx",
    "ONNX",
    "For onnxruntime and compilers that read ONNX: 8-bit codes between QuantizeLinear and "
    "DequantizeLinear; what has more bits is rounded in float",
    ".onnx",
    "onnx.export",
    (
        Option("softmax", "Put out probabilities", "Put out probabilities instead of logits"),
        Option(
            "layout",
            "Order of image axes",
            "Whether it takes images with their channels last (nhwc), as here, or first (nchw)",
            onnx_limits.NHWC,
            (onnx_limits.NHWC, onnx_limits.NCHW),
        ),
        Option(
            "storage",
            "Type of codes",
            "uint8 never saturates in onnxruntime, on any processor; int8 is what some accelerators ask for",
            onnx_limits.UINT8,
            (onnx_limits.UINT8, onnx_limits.INT8),
        ),
        Option(
            "exact",
            "Every code, in deep networks too",
            "Sums come from integer operators and are multiplied in "
            "double precision: every code is that of the app, but it is slower, and compilers may not know the form",
        ),
    ),
    onnx_limits.onnx,
)

NPZ = Format(
    "npz",
    "NumPy arrays and JSON",
    "All integers, for programs of your own: arrays of codes, biases and multipliers, "
    "and a description of the layers beside them",
    ".npz",
    "npz.export",
    (),
    limits.integer,
)

ENCODINGS = Format(
    "encodings",
    "AIMET encodings",
    "Scales and offsets of all tensors, for tools that quantize a float model "
    "themselves (AIMET, Qualcomm's); tensors in float are held too",
    ".encodings",
    "encodings.export",
    (
        Option(
            "encodings_version",
            "Version",
            "The version of the form: 1.0.0; 2.0.0, in the words of ONNX' "
            "QuantizeLinear; 0.6.1, deprecated, with the ends of ranges",
            encodings_limits.LISTS,
            encodings_limits.VERSIONS,
        ),
    ),
    encodings_limits.encodings,
)

FORMATS: Dict[str, Format] = {
    form.name: form for form in (TFLITE, SAVEDMODEL, FROZEN, C, KERAS, TFLITE_FAKE_QUANT, ONNX, NPZ, ENCODINGS)
}


def format_named(name: str) -> Format:
    """The format of this name; :class:`ExportError` that lists them if there is none."""
    if name not in FORMATS:
        raise ExportError(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
