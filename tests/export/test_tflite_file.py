"""The file format: read back by the schema's own readers."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tflite

from qatviz.errors import ExportError
from qatviz.export.tflite.file import Quantization, TfliteFile
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.export.tflite.written import TfliteModel

GRID = Quantization(np.float32([0.5]), np.int64([-3]))


def maximum(constant, name="MAXIMUM", version=2):
    """Return a file that computes the maximum of its input, int8 ``[1, 3]``, and a constant."""
    file = TfliteFile("a test")
    source = file.add_tensor("source", (1, 3), np.int8, GRID)
    limit = file.add_constant("limit", constant, GRID)
    result = file.add_tensor("result", (1, 3), np.int8, GRID)
    file.add_operation(name, version, [source, limit], [result], ("MaximumMinimumOptions", {}))
    return file.finish([source], [result])


def read(content):
    model = tflite.Model.GetRootAsModel(content, 0)
    return model, model.Subgraphs(0)


def test_all_contents_can_be_read_back():
    content = maximum(np.int8([5]))
    assert tflite.Model.ModelBufferHasIdentifier(content, 0)
    model, graph = read(content)
    assert (model.Version(), model.Description(), model.SubgraphsLength()) == (3, b"a test", 1)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    assert [tensor.Name() for tensor in tensors] == [b"source", b"limit", b"result"]
    assert [tensor.ShapeAsNumpy().tolist() for tensor in tensors] == [[1, 3], [1], [1, 3]]
    for tensor in tensors:
        assert tensor.Type() == tflite.TensorType.INT8
        assert tensor.Quantization().ScaleAsNumpy().tolist() == [0.5]
        assert tensor.Quantization().ZeroPointAsNumpy().tolist() == [-3]
    assert (graph.InputsAsNumpy().tolist(), graph.OutputsAsNumpy().tolist()) == ([0], [2])
    operation = graph.Operators(0)
    assert (operation.InputsAsNumpy().tolist(), operation.OutputsAsNumpy().tolist()) == ([0, 1], [2])
    assert operation.BuiltinOptionsType() == tflite.BuiltinOptions.MaximumMinimumOptions


def test_tensors_without_data_are_on_the_first_buffer_which_is_empty():
    model, graph = read(maximum(np.int8([5])))
    assert [graph.Tensors(i).Buffer() for i in range(3)] == [0, 1, 0]
    assert model.Buffers(0).DataLength() == 0
    assert model.Buffers(1).DataAsNumpy().view(np.int8).tolist() == [5]


@pytest.mark.parametrize("length", range(1, 40, 7))
def test_data_begins_at_multiples_of_sixteen_bytes(length):
    file = TfliteFile("x" * length)
    marks = [np.full(length + i, 100 + i, np.uint8) for i in range(5)]
    constants = [file.add_constant("c" * i, mark) for i, mark in enumerate(marks)]
    content = file.finish(constants[:1], constants[-1:])
    model, _ = read(content)
    for i, mark in enumerate(marks):
        table = model.Buffers(i + 1)._tab
        start = table.Vector(table.Offset(4))
        assert content[start : start + len(mark)] == mark.tobytes() and start % 16 == 0


@pytest.mark.parametrize(
    "values", [np.int32([[1, -2], [3, 2**30]]), np.arange(6, dtype=np.uint8).reshape(2, 3).T, np.float32([1.5, -0.0])]
)
def test_data_is_little_endian_in_the_order_of_the_axes(values):
    file = TfliteFile("")
    index = file.add_constant("c", values)
    model, graph = read(file.finish([index], [index]))
    found = model.Buffers(graph.Tensors(0).Buffer()).DataAsNumpy().tobytes()
    assert found == np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
    assert graph.Tensors(0).ShapeAsNumpy().tolist() == list(values.shape)


@pytest.mark.parametrize("name, old", [("MAXIMUM", tflite.BuiltinOperator.MAXIMUM), ("BROADCAST_TO", 127)])
def test_operator_codes_are_in_both_fields(name, old):
    model, _ = read(maximum(np.int8([5]), name, 2))
    code = model.OperatorCodes(0)
    assert code.BuiltinCode() == getattr(tflite.BuiltinOperator, name)
    assert (code.DeprecatedBuiltinCode(), code.Version()) == (old, 2)


def test_the_interpreter_runs_the_file():
    interpreter = tf.lite.Interpreter(model_content=maximum(np.int8([5])))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.int8([[4, 5, 100]]))
    interpreter.invoke()
    assert interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tolist() == [[5, 5, 100]]


@pytest.mark.parametrize("content", [b"", b"no such file", maximum(np.int8([5]), version=99)])
def test_errors_of_the_interpreter_are_export_errors(content):
    with pytest.raises(ExportError, match="TensorFlow 1.15.* refuses the file: "):
        TfliteRunner(TfliteModel(content, np.dtype(np.int8), {"input": 0, "result": 0})).run(np.zeros((1, 3), np.int32))
