"""INT4 weights and int16 activations: files, refusals, and reports without a runtime."""

import json

import numpy as np
import pytest
import tflite
from export_cases import INT8, NETWORK, STATE, noise
from integer_cases import book_of, model_of, network_of
from test_tflite_lowering import everything, images_for, operations

from qatviz.errors import ExportError
from qatviz.export.formats import TFLITE
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.model import IntegerModel
from qatviz.export.proof.parity import compare_layers
from qatviz.export.source import ExportSource
from qatviz.export.tflite import litert as litert_runtime
from qatviz.export.tflite.file import packed_nibbles
from qatviz.export.tflite.files import DESCRIPTION
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflite.metadata import attachment
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.export.tflite.storage import is_matrix_product
from qatviz.export.tflite.vectors import DOUBLE_ROUNDING_OUTPUT, FILE_INPUT, LITERT_OUTPUT
from qatviz.network.layers import Dense

INT4 = {"num_bits": 4, "symmetric": True, "per_channel": True}
#: Operations of a Dense with int16 activations.
PRODUCT = ["RESHAPE", "CONV_2D", "RESHAPE"]
ALL_INT4 = {"int4": True, "int4_all": True}
#: Settings of weights and activations that int16 supports.
INT16 = [
    (INT8, {"num_bits": 16, "symmetric": True}),
    ({"symmetric": True}, {"num_bits": 12}),
    ({"num_bits": 7, "per_channel": True}, {"num_bits": 15}),
    ({"num_bits": 4}, {"num_bits": 9, "narrow_range": True}),
]


def tensors_of(content):
    """Return the tables of a file's tensors by name, and their data."""
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(i) for i in range(graph.TensorsLength())]
    return (
        {tensor.Name().decode(): tensor for tensor in tensors},
        {tensor.Name().decode(): model.Buffers(tensor.Buffer()).DataAsNumpy() for tensor in tensors},
    )


def versions_of(content):
    names = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    model = tflite.Model.GetRootAsModel(content, 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    return {(names[code.BuiltinCode()], code.Version()) for code in codes}


def unpacked(data, size):
    nibbles = np.stack([data & 15, data >> 4], axis=1).reshape(-1)[:size].astype(np.int8)
    return np.where(nibbles > 7, nibbles - 16, nibbles)


# INT4


@pytest.mark.parametrize("size", range(6))
def test_nibbles_are_packed_low_one_first(size):
    codes = np.random.RandomState(size).randint(-8, 8, size)
    packed = packed_nibbles(codes)
    assert packed.dtype == np.uint8 and len(packed) == (size + 1) // 2
    np.testing.assert_array_equal(unpacked(packed, size), codes)
    assert size % 2 == 0 or packed[-1] >> 4 == 0


@pytest.mark.parametrize("multiplied", [1, 7])
@pytest.mark.parametrize(
    "weights",
    [
        INT4,
        {"num_bits": 4, "symmetric": True},
        {"num_bits": 3},
        {"num_bits": 2, "symmetric": True, "narrow_range": True, "per_channel": True},
    ],
)
def test_int4_weights_equal_the_models(weights, multiplied):
    model = model_of(everything(), weights)
    file = tflite_model(model, multiply_codes=multiplied > 1, **ALL_INT4)
    tensors, data = tensors_of(file.content)
    assert file.int4 and file.only_litert and file.dtype == np.int8
    for op in model.ops:
        if op.weights is None:
            continue
        tensor = tensors[op.weights.name]
        assert tensor.Type() == tflite.TensorType.INT4
        assert not tensor.Quantization().ZeroPointAsNumpy().any()
        codes = unpacked(data[op.weights.name], op.weights.codes.size).reshape(tensor.ShapeAsNumpy())
        axis = {"Conv2D": (1, 2, 3, 0), "DepthwiseConv2D": (1, 2, 3, 0), "Dense": (1, 0)}[op.kind]
        if codes.ndim == 4 and op.kind == "Dense":
            codes = codes[:, 0, 0]
        found = codes.transpose(axis).reshape(op.weights.codes.shape)
        factors = found[op.weights.centred != 0] / op.weights.centred[op.weights.centred != 0]
        assert factors.min() >= 1 and factors.max() <= multiplied and not (factors % 1).any()
        assert (factors == multiplied).all() or weights["num_bits"] > 2
        assert not found[op.weights.centred == 0].any()
    plain, packed = len(tflite_model(model).content), len(file.content)
    count = sum(op.weights.codes.size for op in model.ops if op.weights is not None)
    assert plain - packed > 0.4 * count


def test_operations_with_int4_have_the_version_that_introduced_it():
    per_channel = versions_of(tflite_model(model_of(everything(), INT4), **ALL_INT4).content)
    model = model_of(everything(), {"num_bits": 4, "symmetric": True})
    per_tensor = versions_of(tflite_model(model, **ALL_INT4).content)
    # Means, whose weights are int8, are depthwise convolutions too.
    assert {("CONV_2D", 7), ("DEPTHWISE_CONV_2D", 7), ("DEPTHWISE_CONV_2D", 3)} <= per_channel & per_tensor
    assert ("CONV_2D", 3) not in per_channel | per_tensor and ("FULLY_CONNECTED", 10) in per_tensor
    once = versions_of(tflite_model(model_of(everything(), INT4), int4=True).content)
    assert ("FULLY_CONNECTED", 12) in once and ("CONV_2D", 7) not in once


def test_four_bit_weights_that_need_a_zero_point_stay_int8_and_are_noted():
    net = network_of((4,), (Dense, "hidden", {"units": 3}), (Dense, "logits", {"units": 2}))
    model = model_of(
        net,
        {"num_bits": 4},
        hidden__weights=np.linspace(0.1, 1, 12).reshape(4, 3),
        logits__weights=np.linspace(-1, 0.9, 6).reshape(3, 2),
    )
    file = tflite_model(model, **ALL_INT4)
    tensors, _ = tensors_of(file.content)
    assert tensors["hidden.weights"].Type() == tflite.TensorType.INT8
    assert tensors["logits.weights"].Type() == tflite.TensorType.INT4
    assert [note for note in file.notes if note.startswith("hidden.weights: 4 bits with a zero point")]
    assert "hidden.weights.symmetric=on" in " ".join(file.notes)


@pytest.mark.parametrize("per_channel", [False, True])
def test_only_operations_that_litert_rounds_once_have_int4_weights(per_channel):
    model = model_of(everything(), {"num_bits": 4, "symmetric": True, "per_channel": per_channel})
    file, every = tflite_model(model, int4=True), tflite_model(model, **ALL_INT4)
    tensors, _ = tensors_of(file.content)
    weighted = [op for op in model.ops if op.weights is not None]
    found = {op.name for op in weighted if tensors[op.weights.name].Type() == tflite.TensorType.INT4}
    assert found == {op.name for op in weighted if is_matrix_product(op) and op.weights.codes.shape[-2] % 2 == 0}
    assert 0 < len(found) < len(weighted)
    (kept,) = [note for note in file.notes if "kept as int8" in note]
    assert "int4_all" in kept and next(op.name for op in weighted if op.name not in found) in kept
    assert every.rounded_twice and not file.rounded_twice
    assert "rounds results twice" in " ".join(every.notes) and "rounds results twice" not in " ".join(file.notes)


def test_the_code_minus_eight_is_noted():
    model = model_of(everything(), INT4)
    lowest = {op.name for op in model.ops if op.weights is not None and op.weights.centred.min() == -8}
    notes = [note for note in tflite_model(model, **ALL_INT4).notes if "has the code -8" in note]
    assert len(notes) == len(lowest) > 0 and not [note for note in tflite_model(model).notes if "-8" in note]


def test_an_option_without_effect_is_noted():
    model = model_of(everything(), INT8)
    plain, options = tflite_model(model), tflite_model(model, int4=True, int16=True)
    assert plain.content == options.content and not options.only_litert
    told = set(options.notes) - set(plain.notes)
    assert len(told) == 2 and "no tensor is INT4" in " ".join(told) and "without the option int16" in " ".join(told)


# int16


@pytest.mark.parametrize("weights, activations", INT16)
def test_activations_are_int16_without_a_zero_point(weights, activations):
    model = model_of(everything(), weights, activations)
    file = tflite_model(model, int16=True)
    tensors, data = tensors_of(file.content)
    assert file.dtype == np.int16 and file.only_litert and not file.int4
    for tensor in model.tensors:
        found = tensors[tensor.name]
        assert found.Type() == tflite.TensorType.INT16
        assert found.Quantization().ZeroPointAsNumpy().tolist() == [0]
        assert found.Quantization().ScaleAsNumpy().tolist() == [tensor.scale]
    for op in model.ops:
        if op.weights is not None:
            assert tensors[op.weights.name].Type() == tflite.TensorType.INT8
            bias = op.name + ".bias"
            assert tensors[bias].Type() == tflite.TensorType.INT64
            np.testing.assert_array_equal(data[bias].view(np.int64), op.weights.bias)


@pytest.mark.parametrize("weights, activations", INT16)
def test_codes_are_converted_to_the_files_and_back(weights, activations):
    model = model_of(everything(), weights, activations)
    file = tflite_model(model, outputs=[op.output for op in model.ops], int16=True)
    source = model.tensor("input")
    stored = file.to_file(np.array(source.bounds))
    assert stored.dtype == np.int16
    np.testing.assert_array_equal(stored.astype(int), np.array(source.bounds) - source.zero_point)
    ends = [np.array(tensor.bounds) - tensor.zero_point for tensor in map(model.tensor, file.outputs)]
    for name, found in file.from_file([end.astype(np.int16) for end in ends]).items():
        assert found.tolist() == list(model.tensor(name).bounds)


def test_operations_with_int16_have_the_version_that_introduced_it():
    """Like in TensorFlow's ``op_version.cc``."""
    found = versions_of(tflite_model(model_of(everything(), *INT16[1]), softmax=True, int16=True).content)
    assert found == {
        ("CONV_2D", 4),
        ("DEPTHWISE_CONV_2D", 5),
        ("MAX_POOL_2D", 3),
        ("AVERAGE_POOL_2D", 3),
        ("ADD", 3),
        ("CONCATENATION", 3),
        ("PAD", 3),
        ("MINIMUM", 4),
        ("MAXIMUM", 4),
        ("SOFTMAX", 3),
        ("RESHAPE", 1),
        ("STRIDED_SLICE", 1),
        ("TRANSPOSE", 5),
        ("RESIZE_NEAREST_NEIGHBOR", 4),
    }


def test_clamps_are_written_only_where_int16_does_not_saturate():
    net = network_of((4,), (Dense, "logits", {"units": 2}))
    whole = model_of(net, {"symmetric": True}, {"num_bits": 16, "symmetric": True})
    assert operations(tflite_model(whole, int16=True).content) == PRODUCT
    shifted = model_of(net, {"symmetric": True}, {"num_bits": 15})
    clamps = ["MAXIMUM", "MINIMUM"]
    assert operations(tflite_model(shifted, int16=True).content) == [*clamps, *PRODUCT, *clamps]


# Refusals


@pytest.mark.parametrize(
    "weights, activations, options, possible",
    [
        (INT8, {"num_bits": 9}, {}, [{"activations": {"num_bits": 8}}, {"options": {"int16": True}}]),
        (
            INT8,
            {"num_bits": 16},
            {"int16": True},
            [{"activations": {"num_bits": 16, "symmetric": True}}, {"activations": {"num_bits": 15}}],
        ),
        ({}, {"num_bits": 12}, {"int16": True}, [{"weights": {"symmetric": True}}, {"weights": {"num_bits": 7}}]),
        (
            {"num_bits": 9, "symmetric": True},
            {"num_bits": 12},
            {"int16": True},
            [{"weights": {"num_bits": 8, "symmetric": True}}],
        ),
        (INT4, {"num_bits": 12}, {"int16": True, "int4": True}, [{"activations": {}}, {"options": {"int16": True}}]),
        (
            INT4,
            {},
            {"int4": True, "double_rounding": True},
            [{"options": {"int4": True}}, {"options": {"double_rounding": True}}],
        ),
        (
            INT8,
            {"num_bits": 12},
            {"int16": True, "double_rounding": True},
            [{"options": {"int16": True}}, {"activations": {"num_bits": 8}}],
        ),
    ],
)
def test_settings_beyond_the_types_are_refused_with_working_remedies(weights, activations, options, possible):
    def refused(weights, activations, options):
        book = book_of(NETWORK, weights, activations)
        told = TFLITE.limits(NETWORK, book, None, TFLITE.with_defaults(options))
        try:
            tflite_model(integer_model(NETWORK, book, STATE), **options)
        except ExportError as error:
            assert error.refusals == tuple(told), "before anything is computed and after: the same reasons"
        else:
            assert not told
        return told

    reasons = refused(weights, activations, options)
    assert reasons and all("possible with" in str(reason) for reason in reasons)
    for way in possible:
        assert not refused(
            *(
                way.get(name, given)
                for name, given in (("weights", weights), ("activations", activations), ("options", options))
            )
        )


def test_int4_with_weights_that_require_uint8_is_refused():
    arrays = dict(STATE, **{"conv.weights": np.abs(STATE["conv.weights"])})
    book, _ = book_of(NETWORK).change([("logits.weights.num_bits", 4), ("logits.weights.symmetric", True)])
    told = TFLITE.limits(NETWORK, book, None, TFLITE.with_defaults({"int4": True}))
    assert len(told) == 1 and str(told[0]).startswith(
        "logits.weights: can't be INT4 with uint8 activations, which conv.weights"
    )
    model = integer_model(NETWORK, book, arrays)
    with pytest.raises(ExportError, match="can't be INT4 with uint8") as refused:
        tflite_model(model, int4=True)
    assert refused.value.refusals == tuple(told)
    assert tflite_model(model).dtype == np.uint8
    book, _ = book.change([("conv.weights.symmetric", True)])
    assert tflite_model(integer_model(NETWORK, book, arrays), int4=True).int4


def test_multipliers_below_those_of_int16_kernels_are_refused():
    net = network_of((64,), (Dense, "logits", {"units": 2}))
    model = model_of(
        net,
        {"symmetric": True},
        {"num_bits": 16, "symmetric": True},
        ranges={"logits.activations": (-1e10, 1e10)},
        logits__weights=np.ones((64, 2)),
        logits__bias=[1e6, 0.0],
    )
    assert isinstance(model, IntegerModel) and model.ops[0].requantization.real.min() < 2.0**-32
    with pytest.raises(
        ExportError, match="layer 'logits': its requantization multiplier is .* narrower range of its out"
    ):
        tflite_model(model, int16=True)


# Where there is no LiteRT


@pytest.fixture
def no_litert(monkeypatch):
    monkeypatch.setenv(litert_runtime.VARIABLE, "/nowhere/python")


@pytest.mark.parametrize("weights, activations, option", [(INT4, {}, "int4"), (*INT16[0], "int16")])
def test_a_file_without_a_runtime_is_written_and_marked_as_not_run(weights, activations, option, no_litert, tmp_path):
    source = ExportSource(NETWORK, book_of(NETWORK, weights, activations), STATE, noise())
    written = TFLITE.export(source, tmp_path / "net.tflite", {option: True})
    attached = attachment(source, "logits", DESCRIPTION)
    model = integer_model(NETWORK, source.book, STATE)
    assert written.paths[0].read_bytes() == tflite_model(model, **{option: True}, attached=attached).content
    text = (tmp_path / "net.tflite.parity.txt").read_text()
    assert "NOT RUN: there is no LiteRT: QATVIZ_LITERT_PYTHON is '/nowhere/python'" in text.splitlines()[0]
    assert "file" not in text.split("accuracy on ")[1].splitlines()[0]
    record = json.loads((tmp_path / "net.tflite.parity.json").read_text())
    assert record["not_run"].startswith("there is no LiteRT") and record["layers"] == [] and record["faults"] == []
    assert list(record["outputs"]) == ["simulator to evaluation graph"] and "file" not in record["accuracy"]
    assert written.report.as_expected and not written.report.faults
    with np.load(str(tmp_path / "net.tflite.golden.npz")) as golden:
        assert "simulator_output" in golden and "file_output" not in golden
        assert {FILE_INPUT, LITERT_OUTPUT} < set(golden)
        assert (DOUBLE_ROUNDING_OUTPUT in golden) == (option == "int4")


def test_a_missing_litert_is_noted_if_another_runtime_proves_the_file(no_litert, tmp_path):
    source = ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, noise())
    report = TFLITE.export(source, tmp_path / "net.tflite", {"litert": True}).report
    assert "not run in LiteRT: there is no LiteRT" in report.notes[-1] and len(report.layers) == 4


@pytest.mark.parametrize("everywhere", [False, True])
def test_codes_of_int4_tensors_can_be_stored_as_int8_for_older_runtimes(everywhere):
    """Golden vectors of kernels that round twice are from such a file."""
    model = model_of(everything(), INT4)
    made = [
        tflite_model(model, int4=True, int4_all=everywhere, packed_int4=packed, outputs=[op.output for op in model.ops])
        for packed in (True, False)
    ]
    assert made[0].int4 and not made[1].int4 and not made[1].only_litert
    kinds = [{name: tensor.Type() for name, tensor in tensors_of(file.content)[0].items()} for file in made]
    int4 = [name for name, kind in kinds[0].items() if kind == tflite.TensorType.INT4]
    assert len(int4) >= 2 and all(kinds[1][name] == tflite.TensorType.INT8 for name in int4)
    for layer in compare_layers(model, TfliteRunner(made[1]).run, images_for(model)):
        assert layer.unexplained == 0 and layer.own.largest <= 1 and layer.own.identical >= 0.75, layer
