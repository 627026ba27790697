"""Runtime of ONNX files: onnxruntime, an extra, from integer codes to integer codes.

The onnxruntime of this Python supports operator sets up to 15. Files of later ones run in a current one under a newer
Python: see :mod:`qatviz.export.newer_python`.
"""

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import dequantize_input
from qatviz.export.newer_python import NewerProcess, NewerPython, Package, find
from qatviz.export.onnx.file import missing
from qatviz.export.onnx.layout import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from qatviz.export.onnx.limits import NCHW
from qatviz.export.onnx.lowering import OnnxModel
from qatviz.export.proof.parity import codes_of
from qatviz.inputs import packed_examples, split_examples

#: Names and shapes of the inputs of a file, in TensorFlow's order of axes.
Inputs = Sequence[Tuple[str, Tuple[int, ...]]]

_NEWER = Package("onnxruntime", "onnxruntime", "QATVIZ_ONNXRUNTIME_PYTHON")
#: Program for :class:`qatviz.export.newer_python.NewerProcess`; its argument is the level of optimizations.
_PROGRAM = """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, sys.argv[2])
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
sources = [(each.name, each.shape[1:]) for each in session.get_inputs()]
types = [np.int32 if "int32" in each.type else np.float32 for each in session.get_inputs()]
def run(given):
    if len(sources) == 1:
        return session.run(None, {sources[0][0]: given.astype(types[0], copy=False)})
    parts = np.split(given, np.cumsum([int(np.prod(shape)) for _, shape in sources])[:-1], axis=1)
    parts = [part.astype(dtype) for part, dtype in zip(parts, types)]
    return session.run(None, {name: part.reshape([-1, *shape]) for (name, shape), part in zip(sources, parts)})
"""
#: Lowest of onnxruntime's severities that is logged; errors are also raised as exceptions.
_FATAL = 4


class OnnxSession:
    """Session of a file on one thread of the processor. One thread at a time.

    Parameters
    ----------
    content : bytes
    fuse : bool
        True for all of onnxruntime's optimizations; False for those only that do not fuse operations to integer ones.
    newer : NewerPython, optional
        Run the file in this Python's onnxruntime, in a process that ends with :meth:`close`.

    Raises
    ------
    ExportError
        If the package ``onnxruntime`` is missing, or refuses the file.
    """

    def __init__(self, content: bytes, fuse: bool = True, newer: Optional[NewerPython] = None):
        level = "ORT_ENABLE_ALL" if fuse else "ORT_ENABLE_BASIC"
        self._process = None
        if newer is not None:
            self._process = NewerProcess(runtime_name(newer), newer.python, _PROGRAM, content, [level])
            return
        onnxruntime = onnxruntime_package()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = _FATAL
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        self._session = _call(onnxruntime.InferenceSession, content, options, providers=["CPUExecutionProvider"])
        self._inputs = [(each.name, tuple(each.shape[1:])) for each in self._session.get_inputs()]
        types = [np.int32 if "int32" in each.type else np.float32 for each in self._session.get_inputs()]
        self._types = dict(zip((name for name, _ in self._inputs), types))

    def run(self, images: np.ndarray, layout: str, channels_last: bool, inputs: Inputs = ()) -> List[np.ndarray]:
        """Return the outputs for float32 ``images``, both ``[n] + shape`` in TensorFlow's order; ids are converted.

        ``layout`` is that of the file's inputs; ``channels_last`` states that of its outputs. Of several ``inputs``,
        ``images`` are rows (:mod:`qatviz.inputs`).
        """
        parts: Iterable[np.ndarray] = split_examples(inputs, images).values() if len(inputs) > 1 else [images]
        if layout == NCHW:
            parts = [part.transpose(TO_CHANNELS_FIRST) if part.ndim == 4 else part for part in parts]
        images = packed_examples([np.ascontiguousarray(part) for part in parts])
        found: List[np.ndarray]
        if self._process is not None:
            found = self._process.run(images)
        else:
            given = split_examples(self._inputs, images)
            found = _call(
                self._session.run,
                None,
                {name: part.astype(self._types[name], copy=False) for name, part in given.items()},
            )
        turned = not channels_last
        return [values.transpose(TO_CHANNELS_LAST) if turned and values.ndim == 4 else values for values in found]

    def close(self) -> None:
        """End the process of a newer Python, if there is one."""
        if self._process is not None:
            self._process.__exit__()


class OnnxRunner:
    """Runner of a file of codes. One thread at a time; use as a context manager.

    A file of uint8 codes is run with all of onnxruntime's optimizations, that is, in integers. Others are run without
    those that fuse operations to integer ones, that is, in float; see :class:`qatviz.export.onnx.lowering.OnnxModel`.

    Raises
    ------
    ExportError
        If the package ``onnxruntime`` is missing, or refuses the file.
    """

    def __init__(self, model: IntegerModel, file: OnnxModel, newer: Optional[NewerPython] = None):
        self._model, self._file = model, file
        self._session = OnnxSession(file.content, file.fuse, newer)

    def __enter__(self) -> "OnnxRunner":
        return self

    def __exit__(self, *_: Any) -> None:
        self._session.close()

    def run(self, codes: np.ndarray) -> Dict[str, np.ndarray]:
        """Return int32 codes of the outputs, by name, for the integer model's codes of the input, ``[n] + shape``."""
        return self.run_images(dequantize_input(self._model, codes))

    def run_images(self, images: np.ndarray) -> Dict[str, np.ndarray]:
        """Return int32 codes of the outputs for float32 images, ``[n] + shape`` in TensorFlow's order."""
        found = self._session.run(images, self._file.layout, self._file.channels_last, self._file.inputs)
        return {name: self._codes(name, values) for name, values in zip(self._file.outputs, found)}

    def _codes(self, name: str, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind == "f":
            return codes_of(values, self._model.tensor(name))
        return values.astype(np.int32) - self._file.storage.offset


def onnxruntime_package() -> Any:
    """Return the package ``onnxruntime``; raise :class:`ExportError` that says how to install it if it is missing."""
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime", error) from error
    return onnxruntime


def find_newer() -> Union[NewerPython, str]:
    """Return a newer Python with onnxruntime, or the reason why there is none."""
    return find(_NEWER)


def runtime_name(newer: Optional[NewerPython] = None) -> str:
    """Return the name of the runtime in the proof."""
    if newer is not None:
        return f"onnxruntime {newer.version}"
    return f"onnxruntime {onnxruntime_package().__version__}"


def runtime_notes(file: OnnxModel) -> List[str]:
    """Return notes on how the proof was run."""
    return [] if file.fuse else ["onnxruntime was run with graph optimizations up to ORT_ENABLE_BASIC"]


def _call(call: Any, *arguments: Any, **named: Any) -> Any:
    """Return the call's result; raise the runtime's own errors as :class:`ExportError`."""
    try:
        return call(*arguments, **named)
    except Exception as error:  # onnxruntime's exceptions have no common base class
        raise ExportError(f"{runtime_name()}: refuses the file: {' '.join(str(error).split())}") from error
