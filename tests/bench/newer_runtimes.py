"""Runtimes of exported files that need a newer Python than TensorFlow 1.15, for the parity table.

Each is run by a program of its own, in the Python that a variable names, or in the first one on PATH that has the
package: TFLite Micro (QATVIZ_TFLM_PYTHON), a current onnxruntime (QATVIZ_ONNXRUNTIME_PYTHON), OpenVINO
(QATVIZ_OPENVINO_PYTHON), IREE (QATVIZ_IREE_PYTHON), ONNX's reference evaluator (QATVIZ_ONNX_PYTHON), TensorFlow 2 with
Keras 3 (QATVIZ_TENSORFLOW2_PYTHON).
"""

import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Tuple

import newer_python
import newer_tensorflow
import numpy as np
from parity_runtimes import (
    EXAMPLES,
    FEW_EXAMPLES,
    Form,
    Loaded,
    NotRun,
    litert_kernels,
    onnx_file,
    packed_graph,
    tflite_file,
)

from qatviz.export.integers.simulator import dequantize
from qatviz.export.proof.parity import ROUNDED_ONCE, Agreement, codes_of
from qatviz.export.tflite import litert
from qatviz.export.tflite.files import tflm_files
from qatviz.export.tflite.runtime import reached as reached_with_double_rounding
from qatviz.export.tflm import runtime as tflm

#: Examples for evaluators that interpret each operation.
_SLOW_EXAMPLES = 20
#: Agreement of runtimes that compute in float, whose sums are not exact.
_FLOAT = Agreement(0.9, 1, 0.995)

_TFLITE_MICRO = """
import sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=1 << 24)
found = []
for example in np.load("given.npy"):
    interpreter.set_input(example[None], 0)
    interpreter.invoke()
    found.append(np.array(interpreter.get_output(0))[0])
np.save("found.npy", np.stack(found))
"""
_ONNXRUNTIME = """
import sys
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, sys.argv[2])
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
np.save("found.npy", session.run(None, {session.get_inputs()[0].name: np.load("given.npy")})[0])
"""
_OPENVINO = """
import sys
import numpy as np
import openvino
model = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
np.save("found.npy", model(np.load("given.npy"))[0])
"""
_IREE = """
import sys
import numpy as np
import onnx
import iree.compiler, iree.runtime
import iree.compiler.tools.import_onnx.__main__ as importer
given = np.load("given.npy")
model = onnx.version_converter.convert_version(onnx.load(sys.argv[1]), 17)
model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = len(given)
onnx.save(model, "fixed.onnx")
importer.main(importer.parse_arguments(["fixed.onnx", "-o", "model.mlir"]))
options = {"input_type": "onnx", "extra_args": ["--iree-llvmcpu-target-cpu=host"]}
code = iree.compiler.compile_file("model.mlir", target_backends=["llvm-cpu"], **options)
module = iree.runtime.load_vm_flatbuffer(code, driver="local-sync")
name = next(name for name in module.vm_module.function_names if not name.startswith("__") and "$" not in name)
np.save("found.npy", np.asarray(module[name](given)))
"""
_REFERENCE = """
import sys
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
model = onnx.version_converter.convert_version(onnx.load(sys.argv[1]), 21)
evaluator = ReferenceEvaluator(model)
np.save("found.npy", evaluator.run(None, {evaluator.input_names[0]: np.load("given.npy")})[0])
"""


class _Program(NamedTuple):
    """Program that runs a file on ``given.npy``.

    Attributes
    ----------
    name, text : str
        Display name of the runtime; text of the program.
    package, module : str
        Package whose version is that of the runtime; another module that the program needs.
    variable : str
        Environment variable that names its Python.
    """

    name: str
    text: str
    package: str
    variable: str
    module: str = "sys"

    def found(self) -> newer_python.Newer:
        newer = newer_python.find(self.variable, self.package)
        if newer is None or subprocess.run([newer.python, "-c", "import " + self.module], check=False).returncode != 0:
            raise NotRun(f"there is no newer Python for {self.name}; {self.variable} can name one")
        return newer


_MICRO = _Program("TFLite Micro", _TFLITE_MICRO, "tflite_micro", tflm.VARIABLE)
_ORT = _Program("onnxruntime", _ONNXRUNTIME, "onnxruntime", "QATVIZ_ONNXRUNTIME_PYTHON")
_VINO = _Program("OpenVINO", _OPENVINO, "openvino", "QATVIZ_OPENVINO_PYTHON")
_IREE_CPU = _Program("IREE, imported by onnx", _IREE, "onnx", "QATVIZ_IREE_PYTHON", "iree.compiler")
_ONNX = _Program("onnx.reference, opset 21", _REFERENCE, "onnx", "QATVIZ_ONNX_PYTHON")


def _run(program: _Program, newer: Any, content: bytes, given: np.ndarray, *arguments: str) -> np.ndarray:
    """Return the output of a file for ``given``."""
    with tempfile.TemporaryDirectory(prefix="qatviz-parity-") as name:
        directory = Path(name)
        (directory / "file").write_bytes(content)
        np.save(str(directory / "given.npy"), given)
        newer_python.run(newer, program.text, directory, "file", *arguments)
        return np.load(str(directory / "found.npy"))


@contextmanager
def _micro(source, model, options):
    newer = _MICRO.found()
    file = tflm_files(model, options).shipped if "litert" not in options else tflite_file(model, options)
    if file.dtype == np.uint8:
        raise NotRun("TFLite Micro has no kernels for uint8")

    def run(codes):
        return file.from_file([_run(_MICRO, newer, file.content, file.to_file(codes))])

    yield Loaded(f"{_MICRO.name} {newer.version}", run, reached_with_double_rounding(model), len(file.content))


def _onnx(program: _Program, *arguments: str, reached: Agreement = ROUNDED_ONCE) -> Callable:
    @contextmanager
    def load(source, model, options) -> Iterator[Loaded]:
        file, newer = onnx_file(model, options), program.found()

        def run(codes):
            images = dequantize(model.tensor(model.input), codes)
            return {model.output: codes_of(_run(program, newer, file.content, images, *arguments), model.logits)}

        yield Loaded(f"{program.name} {newer.version}", run, reached, len(file.content))

    return load


def _tensorflow2(kind: str) -> Callable:
    @contextmanager
    def load(source, model, options) -> Iterator[Loaded]:
        newer = newer_tensorflow.find()
        if newer is None:
            raise NotRun(newer_tensorflow.MISSING)
        packed, output = packed_graph(source, options, kind)
        with tempfile.TemporaryDirectory(prefix="qatviz-parity-") as name:
            directory = Path(name)
            path = _written(packed.content, directory / "graph")
            tensor = "logits" if path.is_dir() else "logits:0"

            def run(codes):
                images = dequantize(model.tensor(model.input), codes)
                found = newer_tensorflow.run_graph(newer, directory, path, images, [tensor])[tensor]
                return {model.output: codes_of(found, model.logits)}

            yield Loaded(f"TensorFlow {newer.version}", run, output, packed.nbytes)

    return load


def _written(content: Any, path: Path) -> Path:
    """Write a file, or the files of a directory by their paths in it; return its path."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return path
    for name, part in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(part)
    return path


#: Each batch starts a process.
_MICRO_FORM: Tuple[Callable, int, int] = (_micro, FEW_EXAMPLES, EXAMPLES)
_ALL, _NONE = "ORT_ENABLE_ALL", "ORT_DISABLE_ALL"
#: Forms by name.
FORMS = {
    "tflite/litert-builtin": Form("tflite", {}, litert_kernels(litert.BUILTIN)),
    "tflite/tflite-micro": Form("tflite", {}, *_MICRO_FORM),
    "tflite-double-rounding/tflite-micro": Form("tflite", {"double_rounding": True}, *_MICRO_FORM),
    "onnx/newer-onnxruntime": Form("onnx", {}, _onnx(_ORT, _ALL), EXAMPLES, EXAMPLES),
    "onnx/newer-onnxruntime-unoptimized": Form("onnx", {}, _onnx(_ORT, _NONE), EXAMPLES, EXAMPLES),
    "onnx-exact/newer-onnxruntime": Form("onnx", {"exact": True}, _onnx(_ORT, _ALL), EXAMPLES, EXAMPLES),
    "onnx/openvino": Form("onnx", {}, _onnx(_VINO, reached=_FLOAT), EXAMPLES, EXAMPLES),
    "onnx-int8/openvino": Form("onnx", {"storage": "int8"}, _onnx(_VINO, reached=_FLOAT), EXAMPLES, EXAMPLES),
    "onnx/iree": Form("onnx", {}, _onnx(_IREE_CPU, reached=_FLOAT), _SLOW_EXAMPLES),
    "onnx/reference": Form("onnx", {}, _onnx(_ONNX), _SLOW_EXAMPLES),
    "savedmodel/tensorflow2": Form("savedmodel", {}, _tensorflow2("savedmodel"), EXAMPLES, EXAMPLES),
    "frozen/tensorflow2": Form("frozen", {}, _tensorflow2("frozen"), EXAMPLES, EXAMPLES),
    "frozen-exact/tensorflow2": Form("frozen", {"form": "exact"}, _tensorflow2("frozen"), EXAMPLES, EXAMPLES),
}
#: Forms with options of TFLite.
MORE_FORMS = {
    "tflite-int4-all/tflite-micro": Form("tflite", {"int4": True, "int4_all": True}, *_MICRO_FORM),
    "tflite-int16/tflite-micro": Form("tflite", {"int16": True}, *_MICRO_FORM),
    "tflite-int16/litert-builtin": Form("tflite", {"int16": True}, litert_kernels(litert.BUILTIN)),
}
#: Forms of the format for TFLite Micro.
MICRO_FORMS = {
    "tflm/tflite-micro": Form("tflm", {}, *_MICRO_FORM),
    "tflm-int16/tflite-micro": Form("tflm", {"int16": True}, *_MICRO_FORM),
}
