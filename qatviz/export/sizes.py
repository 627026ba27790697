"""Sizes of exports, computed without writing or running them.

A format's own code makes its file in memory, from a state of the run. A size is thus that of weights, biases, scales,
names and everything else in the file, and the one that the export's proof would state; proof and README are not
included. TensorFlow is imported only for the formats that it writes itself, once their sizes are computed.
"""

from typing import Callable, Dict

from qatviz.errors import ExportError, TensorFlowMissing, require_tensorflow
from qatviz.export.c.calls import plan
from qatviz.export.encodings.tensors import encoded_tensors
from qatviz.export.encodings.torch_format import files_of
from qatviz.export.fake_quant import lowering as fake_quant
from qatviz.export.fake_quant.model import FakeQuantModel, fake_quant_model
from qatviz.export.fake_quant.state import PartlyQuantizedState
from qatviz.export.formats import Format, Options
from qatviz.export.integers.lowering import exported_model
from qatviz.export.npz.format import to_files
from qatviz.export.onnx.description import onnx_file
from qatviz.export.onnx_float import lowering as onnx_float
from qatviz.export.source import ExportSource
from qatviz.export.tflite.files import Files, file_attachment, tflm_files

#: Function from the options of a format to the size of its export (bytes).
Sizer = Callable[[Options], int]


def sizer(form: Format, source: ExportSource) -> Sizer:
    """Return the function from options to the size of a state's export (bytes).

    The size of C is that of its constants; of a format with two files, it is that of both. Any thread may call it.

    Raises
    ------
    ExportError
        If the format doesn't support the network in this state; the returned function raises it, too.
    """
    return _SIZERS[form.name](source)


def _tflite(source: ExportSource) -> Sizer:
    model = exported_model(source)
    return lambda options: len(Files(model, options, file_attachment(source, options)).shipped.content)


def _tflm(source: ExportSource) -> Sizer:
    model = exported_model(source)
    return lambda options: len(tflm_files(model, options).shipped.content)


def _c(source: ExportSource) -> Sizer:
    model = exported_model(source)
    return lambda options: plan(model, options["pack_int4"], options["softmax"]).constants


def _onnx(source: ExportSource) -> Sizer:
    model = exported_model(source)
    return lambda options: len(onnx_file(model, source, options).content)


def _npz(source: ExportSource) -> Sizer:
    nbytes = sum(map(len, to_files(exported_model(source))))
    return lambda options: nbytes


def _encodings(source: ExportSource) -> Sizer:
    state = PartlyQuantizedState(source.network, source.book, source.arrays, source.step)
    tensors, _notes = encoded_tensors(state)

    def nbytes(options: Options) -> int:
        content, beside = files_of(tensors, state.plan, options["encodings_version"])
        return len(content) + sum(map(len, beside.values()))

    return nbytes


def _simulated(source: ExportSource, quantized: bool = True) -> FakeQuantModel:
    return fake_quant_model(source.network, source.book, source.arrays, source.step, quantized, source.metadata)


def _tflite_fake_quant(source: ExportSource) -> Sizer:
    model = _simulated(source)
    return lambda options: len(fake_quant.shipped_file(model, source, options).content)


def _onnx_float(source: ExportSource) -> Sizer:
    model = _simulated(source, False)
    return lambda options: len(onnx_float.shipped_file(model, source, options).content)


def _require_tensorflow() -> None:
    """Raise ExportError if TensorFlow, which writes the format, is not installed."""
    try:
        require_tensorflow("computing the size")
    except TensorFlowMissing as error:
        raise ExportError(str(error)) from error


def _savedmodel(source: ExportSource) -> Sizer:
    _require_tensorflow()
    from qatviz.export.graphs.export import graph_nbytes
    from qatviz.export.graphs.savedmodel import packed

    return lambda options: graph_nbytes(source, options, packed)


def _frozen(source: ExportSource) -> Sizer:
    _require_tensorflow()
    from qatviz.export.graphs.export import graph_nbytes
    from qatviz.export.graphs.frozen import packed

    return lambda options: graph_nbytes(source, options, packed)


def _keras(source: ExportSource) -> Sizer:
    _require_tensorflow()
    from qatviz.export.keras.export import keras_nbytes

    return lambda options: keras_nbytes(source, options)


_SIZERS: Dict[str, Callable[[ExportSource], Sizer]] = {
    "tflite": _tflite,
    "tflm": _tflm,
    "savedmodel": _savedmodel,
    "frozen": _frozen,
    "c": _c,
    "keras": _keras,
    "tflite-fakequant": _tflite_fake_quant,
    "onnx": _onnx,
    "onnx-float": _onnx_float,
    "npz": _npz,
    "encodings": _encodings,
}
