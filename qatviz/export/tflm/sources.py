"""Sources of a folder for TFLite Micro: the model as an array, its operators, golden vectors and a test application."""

import textwrap
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import numpy as np
import tflite

from qatviz.export.c.arrays import C_TYPES, array
from qatviz.export.templates import filled
from qatviz.export.tflite.file import ITEM_BYTES
from qatviz.export.tflite.written import TfliteModel
from qatviz.export.tflm.runtime import ARENA_UNIT

#: Methods of MicroMutableOpResolver that register the operators.
_METHODS = {
    "ADD": "AddAdd",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "BATCH_MATMUL": "AddBatchMatMul",
    "CAST": "AddCast",
    "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "ELU": "AddElu",
    "FULLY_CONNECTED": "AddFullyConnected",
    "GATHER": "AddGather",
    "LEAKY_RELU": "AddLeakyRelu",
    "LOGISTIC": "AddLogistic",
    "MAXIMUM": "AddMaximum",
    "MAX_POOL_2D": "AddMaxPool2D",
    "MINIMUM": "AddMinimum",
    "MUL": "AddMul",
    "PAD": "AddPad",
    "QUANTIZE": "AddQuantize",
    "RESHAPE": "AddReshape",
    "RESIZE_BILINEAR": "AddResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "AddResizeNearestNeighbor",
    "SOFTMAX": "AddSoftmax",
    "STRIDED_SLICE": "AddStridedSlice",
    "SUB": "AddSub",
    "TANH": "AddTanh",
    "TRANSPOSE": "AddTranspose",
    "TRANSPOSE_CONV": "AddTransposeConv",
}
#: Upper bounds of TFLite Micro's own data in an arena (bytes, with pointers of 64 bits): in every arena, for each
#: operation, for each tensor, for each channel with a scale of its own.
_FIXED, _PER_OPERATION, _PER_TENSOR, _PER_CHANNEL = 4096, 512, 128, 8
#: Length of a line of comment.
_WIDTH = 110
_TEMPLATES = Path(__file__).resolve().parent / "application"


class Arena(NamedTuple):
    """Size of an arena (bytes), and its origin as a phrase."""

    nbytes: int
    origin: str


class GoldenCodes(NamedTuple):
    """Golden vectors of a file in its own types.

    Attributes
    ----------
    given : np.ndarray
        Inputs, ``[n] + shape``.
    once : np.ndarray
        Outputs ``[n] + shape`` of kernels that round each result once (TFLITE_SINGLE_ROUNDING).
    default : np.ndarray or None
        Outputs of TFLite Micro's kernels as they are built by default; None if they are not known.
    origin : str
        Where ``default`` is from, or why it is not known, as a phrase.
    tolerance : int
        Largest difference of ``once`` from kernels.
    """

    given: np.ndarray
    once: np.ndarray
    default: Optional[np.ndarray]
    origin: str
    tolerance: int = 0


def operators(content: bytes) -> List[str]:
    """Return the names of the operators of a file, each once, sorted."""
    model = tflite.Model.GetRootAsModel(content, 0)
    codes = {_operator_code(model.OperatorCodes(index)) for index in range(model.OperatorCodesLength())}
    names = {getattr(tflite.BuiltinOperator, name): name for name in _METHODS}
    return sorted(names[code] for code in codes)


def arena_bound(content: bytes) -> int:
    """Return a size of the arena (bytes) that is enough for TFLite Micro's reference kernels.

    It is an upper bound: the sizes of all computed tensors, although those that are not in use at the same time share
    memory, of the INT4 weights, which are unpacked in the arena, and of TFLite Micro's own data.
    """
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    found = _FIXED + _PER_OPERATION * graph.OperatorsLength()
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        is_constant = model.Buffers(tensor.Buffer()).DataLength() > 0
        quantization = tensor.Quantization()
        found += _PER_TENSOR + _PER_CHANNEL * (quantization.ScaleLength() if quantization is not None else 0)
        if not is_constant or tensor.Type() == tflite.TensorType.INT4:
            nbytes = ITEM_BYTES[tensor.Type()] * int(np.prod(tensor.ShapeAsNumpy(), dtype=np.int64))
            found += _rounded_up(nbytes)
    return _rounded_up(found)


def application(name: str, file: TfliteModel, arena: Arena, golden: GoldenCodes) -> Dict[str, bytes]:
    """Return the files of the folder by name; ``name`` is the beginning of the names of model and golden vectors."""
    added = [_METHODS[operator] for operator in operators(file.content)]
    values = {
        "name": name,
        "space": name + "_tflm",  # never a keyword of C++
        "PREFIX": name.upper(),
        "code": C_TYPES[file.dtype.name],
        "input_code": C_TYPES["int32"] if file.ids else "Code",
        "model_bytes": len(file.content),
        "arena": arena.nbytes,
        "arena_origin": "\n// ".join(textwrap.wrap(arena.origin, _WIDTH)),
        "operator_count": len(added),
        "registrations": "\n".join(f"  TF_LITE_ENSURE_STATUS(operators.{method}());" for method in added),
        "count": len(golden.given),
        "input_codes": golden.given[0].size,
        "output_codes": golden.once[0].size,
        "default_origin": "\n// ".join(textwrap.wrap(f"Otherwise, {golden.origin}.", _WIDTH)),
        "least": 0 if golden.default is None else golden.default.size,
        "least_once": golden.once.size,
        "tolerance": golden.tolerance,
    }
    sources = {
        "CMakeLists.txt": filled(_template("CMakeLists.txt"), values),
        "main.cc": filled(_template("main.cc"), values),
        f"{name}_model.h": filled(_template("model.h"), values),
        f"{name}_golden.h": filled(_template("golden.h"), values),
        f"{name}_model.cc": _unit(name, "model", _model_array(file.content)),
        f"{name}_golden.cc": _unit(name, "golden", _golden_arrays(golden)),
    }
    found = {path: text.encode("ascii") for path, text in sources.items()}
    return {f"{name}.tflite": file.content, **found}


def _operator_code(code: Any) -> int:
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


def _rounded_up(nbytes: int) -> int:
    return -(-nbytes // ARENA_UNIT) * ARENA_UNIT


def _unit(name: str, header: str, text: str) -> str:
    """Return a source file with the definitions of a header."""
    return f'#include "{name}_{header}.h"\n\nnamespace {name}_tflm {{\n\n{text}\n\n}}  // namespace {name}_tflm\n'


def _model_array(content: bytes) -> str:
    # TFLite Micro reads tensors in place, where the file aligns them.
    return array("kModel", np.frombuffer(content, np.uint8), "alignas(16) const ")


def _golden_arrays(golden: GoldenCodes) -> str:
    default = golden.once if golden.default is None else golden.default
    rows = [codes.reshape(len(codes), -1) for codes in (golden.given, golden.once, default)]
    given, once, other = (
        array(name, codes, "const ", None if codes.dtype == np.int32 else "Code")  # ids are int32
        for name, codes in zip(("kGoldenInput", "kGoldenOutput", "kGoldenOutput"), rows)
    )
    if np.array_equal(default, golden.once):
        return f"{given}\n\n{once}"
    return f"{given}\n\n#if TFLITE_SINGLE_ROUNDING\n{once}\n#else\n{other}\n#endif"


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="ascii")
