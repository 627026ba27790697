"""The export as a whole: the proof detects faults, and either all files are written or none."""

import json
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from export_cases import INT8, NETWORK, STATE, export_as, proof_record
from integer_cases import book_of, model_of, network_of, state_of
from parity_cases import run_logits

import qatviz.export.source as source_module
from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.formats import TFLITE
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import run_codes, run_op
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.proof.parity import Agreement, compare_layers, compare_logits, same_top1
from qatviz.export.proof.report import Exported, prove
from qatviz.export.proof.scores import WholeScores, scores_in_words
from qatviz.export.source import ExportSource
from qatviz.export.tflite.runtime import Interpreter, TfliteRunner
from qatviz.export.tflite.vectors import DOUBLE_ROUNDING_OUTPUT, FILE_INPUT, LITERT_OUTPUT
from qatviz.export.tflite.written import TfliteModel
from qatviz.metric import ACCURACY
from qatviz.network.layers import AveragePool, Dense, Flatten
from qatviz.number_format import share_text


@pytest.fixture(scope="module")
def graph():
    with EvaluationGraph(NETWORK, book_of(NETWORK, INT8), STATE) as made:
        yield made


export = partial(export_as, "tflite")


def names(directory):
    return sorted(os.listdir(str(directory)))


# Agreement


def test_agreement_of_logits():
    expected = np.array([[1, 5, 3], [7, 7, 0], [-4, 0, 2]])
    found = np.array([[1, 4, 4], [6, 7, 0], [2, 0, -4]])
    agreement = compare_logits(expected, found)
    assert agreement == (4 / 9, 6, 2 / 3)
    assert same_top1(expected, found).tolist() == [True, True, False]


def test_percentages_have_enough_digits_for_the_bars():
    told = [share_text(share) for share in (0.0, 0.985, 0.995, 0.9997, 0.99999, 1 - 1e-12, 1.0)]
    assert told == ["0.00 %", "98.50 %", "99.50 %", "99.97 %", "99.99 %", "99.99 %", "100.00 %"]
    assert Agreement(0.995, 1, 0.999).in_words() == "99.50 % identical, 1 as the largest difference, 99.90 % top-1"
    scores = {"float": 0.99999, "file": 1.0}
    in_words = "held-out examples: float 99.99 %, file 100.00 %"
    assert scores_in_words(ACCURACY, scores, 1200) == f"accuracy on 1,200 {in_words}"
    assert (
        scores_in_words(ACCURACY, scores, 1200, WholeScores(5000, 5000, {})) == f"accuracy on 1,200 of 5,000 {in_words}"
    )
    assert scores_in_words(ACCURACY, scores, 1200, WholeScores(1200, 1200, {})) == f"accuracy on all 1,200 {in_words}"


# The proof


def proof_of(run, graph, dataset):
    model = integer_model(NETWORK, book_of(NETWORK, INT8), STATE, metadata={"step": 7})
    images = dataset.x_test[:20].astype(np.float32) / np.float32(255)
    exported = Exported(
        "a format",
        "a runtime",
        lambda codes: run(model, codes),
        lambda codes: run(model, codes),
        123,
        Agreement(0.9, 1, 1.0),
    )
    return prove(model, exported, graph, images, dataset.y_test[:20])


def perfect(model, codes):
    return run_codes(model, codes, [op.output for op in model.ops])


def wrong_by(amount, layer):
    """Return a runtime with wrong codes in one layer."""

    def run(model, codes):
        found = perfect(model, codes)
        return dict(found, **{layer: found[layer] + amount})

    return run


def test_all_codes_of_a_perfect_file_are_identical(graph, dataset):
    report = proof_of(perfect, graph, dataset)
    assert report.outputs["file to simulator"] == (1.0, 0, 1.0)
    assert not report.faults and "WRONG" not in report.to_text()
    assert all(layer.own == layer.whole == (1.0, 0, None) for layer in report.layers)
    assert report.scores["file"] == report.scores["simulator"]


@pytest.mark.parametrize("amount", [1, 2, -3])
@pytest.mark.parametrize("layer", ["relu", "pool", "means", "logits"])
def test_an_operation_with_wrong_results_is_a_fault(layer, amount, graph, dataset):
    report = proof_of(wrong_by(amount, layer), graph, dataset)
    assert any(fault.startswith(f"layer {layer!r}") for fault in report.faults)
    assert f"WRONG: layer {layer!r}" in report.to_text() and report.to_record()["faults"] == report.faults
    assert {entry.layer: entry.own.largest for entry in report.layers}[layer] == abs(amount)


@pytest.mark.parametrize(
    "found, as_expected",
    [((0.9, 1, 1.0), True), ((0.89, 1, 1.0), False), ((0.95, 2, 1.0), False), ((0.95, 1, 0.99), False)],
)
def test_agreement_below_the_runtimes_known_one_is_noted(found, as_expected, graph, dataset):
    report = replace(proof_of(perfect, graph, dataset), outputs={"file to evaluation graph": Agreement(*found)})
    assert report.as_expected == report.to_record()["as_expected"] == as_expected
    assert ("reaches 90.00 % identical" in report.to_text()) != as_expected


def test_the_report_names_its_comparisons(graph, dataset):
    report = proof_of(perfect, graph, dataset)
    record = json.loads(json.dumps(report.to_record(), allow_nan=False))
    assert record["about"] == {
        "step": 7,
        "format": "a format",
        "runtime": "a runtime",
        "network": "chain",
        "input": record["about"]["input"],
    }
    assert (record["examples"], record["layer_examples"]) == (20, 5)
    assert record["bytes"] == {"file": 123, "float32 parameters": 4 * (9 * 8 + 8 + 8 * 4 + 4)}
    assert [layer["layer"] for layer in record["layers"]] == ["relu", "pool", "means", "logits"]
    text = report.to_text()
    for words in ("a format of chain, run in a runtime", "file to evaluation graph", "100.00 %", "123 bytes"):
        assert words in text


def test_less_than_all_is_never_shown_as_100_percent(graph, dataset):
    def run(model, codes):
        found = perfect(model, codes)
        found["pool"] = found["pool"].copy()
        found["pool"][0, 0, 0, 0] += 1
        return found

    report = proof_of(run, graph, dataset)
    line = next(line for line in report.to_text().splitlines() if line.startswith("pool"))
    assert "100.00 %" not in line and line.split()[-2:] != ["%", "0"]


# The files


def test_an_export_is_a_file_with_proof_and_golden_vectors(tmp_path, dataset):
    new = tmp_path / "new"
    written = export(new / "net.v1.tflite", dataset, metadata={"step": 3})
    assert names(new) == [
        "net.v1.tflite",
        "net.v1.tflite.README.md",
        "net.v1.tflite.check.py",
        "net.v1.tflite.golden.npz",
        "net.v1.tflite.parity.json",
        "net.v1.tflite.parity.txt",
    ]
    assert sorted(written.paths) == [new / name for name in names(new)]
    assert proof_record(new / "net.v1.tflite.parity.json") == written.report.to_record()
    assert (new / "net.v1.tflite.parity.txt").read_text().rstrip() == written.report.to_text()
    assert written.report.examples == 60 and not written.report.faults
    assert written.report.nbytes["file"] == written.paths[0].stat().st_size
    assert written.report.outputs["file to evaluation graph"].largest <= 1


@pytest.mark.parametrize("weights, dtype", [(INT8, np.int8), ({}, np.uint8)])
def test_golden_vectors_equal_the_outputs_of_the_file(weights, dtype, tmp_path, dataset):
    path = export(tmp_path / "net.tflite", dataset, weights).paths[0]
    offset = 128 if dtype == np.uint8 else 0
    runner = TfliteRunner(TfliteModel(path.read_bytes(), np.dtype(dtype), {"input": offset, "logits": offset}))
    with np.load(str(tmp_path / "net.tflite.golden.npz")) as golden:
        found = runner.run(golden["input"].astype(np.int32))["logits"]
        np.testing.assert_array_equal(found, golden["file_output"])
        steps = golden["images"] / golden["input_scale"] + golden["input_zero_point"]
        assert np.abs(steps - golden["input"]).max() <= 0.5 + 1e-4
        assert len(golden["labels"]) == len(found) == 16


@pytest.mark.parametrize("options", [{}, {"softmax": True}, {"double_rounding": True}])
@pytest.mark.parametrize("weights, dtype", [(INT8, np.int8), ({}, np.uint8)])
def test_vectors_have_input_and_output_of_the_shipped_file(weights, dtype, options, dataset, tmp_path):
    written = export(tmp_path / "net.tflite", dataset, weights, **options)
    interpreter = Interpreter(written.paths[0].read_bytes())
    with np.load(str(tmp_path / "net.tflite.golden.npz"), allow_pickle=False) as golden:
        assert all(golden[name].dtype == dtype for name in (FILE_INPUT, LITERT_OUTPUT, DOUBLE_ROUNDING_OUTPUT))
        (found,) = interpreter.run(golden[FILE_INPUT])
        np.testing.assert_array_equal(found, golden[DOUBLE_ROUNDING_OUTPUT])
        if "softmax" in options:
            assert np.abs((found.astype(int) - np.iinfo(dtype).min).sum(axis=1) - 256).max() <= 2


def test_no_vector_holds_sums_that_overflow_in_tensorflows_interpreter(tmp_path):
    """Of more than 256 elements, its average pool adds up in 16 bits."""
    network = network_of(
        (17, 17, 1),
        (AveragePool, "pool", {"pool_size": 17, "padding": "VALID"}),
        (Flatten, "flat", {}),
        (Dense, "logits", {"units": 4}),
    )
    book, state = book_of(network, INT8), state_of(network, {"input.activations": (0.0, 1.0)})
    images = np.full((20, 17, 17, 1), 250, np.uint8)
    data = from_arrays("bright", "a test", (images, np.arange(20) % 4), (images, np.arange(20) % 4))
    written = TFLITE.export(ExportSource(network, book, state, data), tmp_path / "net.tflite")
    golden, notes = written.report.golden, "\n".join(written.report.notes)
    assert DOUBLE_ROUNDING_OUTPUT not in golden and f"golden vectors have no {DOUBLE_ROUNDING_OUTPUT}" in notes
    (found,) = Interpreter(written.paths[0].read_bytes()).run(golden[FILE_INPUT])
    assert np.abs(found.astype(int) - golden[LITERT_OUTPUT]).max() > 10, "the interpreter's sums don't overflow"
    assert f"`{DOUBLE_ROUNDING_OUTPUT}`" not in (tmp_path / "net.tflite.README.md").read_text()


@pytest.mark.parametrize("examples, words", [(60, "all 60"), (20, "20 of 60")])
def test_the_accuracy_of_the_evaluation_is_that_on_the_whole_held_out_part(examples, words, tmp_path, dataset, graph):
    report = export(tmp_path / "net.tflite", dataset, examples=examples).report
    images, labels = dataset.x_test.astype(np.float32) / np.float32(255), dataset.y_test
    assert len(images) == 60
    expected = {
        "float": np.mean(graph.logits(images, quantized=False).argmax(axis=1) == labels),
        "evaluation graph": np.mean(graph.logits(images).argmax(axis=1) == labels),
    }
    assert report.whole[:3] == (60, 60, pytest.approx(expected))
    text = report.to_text()
    assert f"accuracy on {words} held-out examples: float" in text
    assert text.count("accuracy on all 60 held-out examples: float") == 1
    assert report.to_record()["held_out"] == {"examples": 60, "of": 60, "accuracy": report.whole.scores}


def test_a_large_network_is_scored_on_as_many_examples_as_are_affordable(dataset, monkeypatch):
    monkeypatch.setattr(source_module, "_MAX_SCORED_MACS", 20 * NETWORK.macs)
    held_out = ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, dataset, examples=4).held_out()
    assert len(held_out.images) == 4 and held_out.whole.count == 20 and held_out.whole.held_out == 60
    parts = list(held_out.whole.batches(12))
    assert [len(part) for part in parts] == [12, 8] and len(held_out.whole.labels) == 20
    np.testing.assert_array_equal(np.concatenate(parts)[:4], held_out.images)


def test_the_shipped_file_is_the_proven_one(tmp_path, dataset):
    """The file on disk has the numbers of the report."""
    written = export(tmp_path / "net.tflite", dataset, examples=30)
    model = integer_model(NETWORK, book_of(NETWORK, INT8), STATE)
    runner = TfliteRunner(TfliteModel(written.paths[0].read_bytes(), np.dtype(np.int8), {"input": 0, "logits": 0}))
    simulated, found = run_logits(model, runner.run, dataset.x_test[:30].astype(np.float32) / np.float32(255))
    assert compare_logits(simulated, found) == written.report.outputs["file to simulator"]
    assert written.report.examples == 30


def test_the_file_outputs_probabilities_and_the_proof_compares_logits(tmp_path, dataset):
    plain, softmax = (export(tmp_path / name, dataset, softmax=name == "b.tflite") for name in ("a.tflite", "b.tflite"))
    assert plain.report.outputs == softmax.report.outputs and plain.report.layers == softmax.report.layers
    assert plain.report.nbytes["file"] < softmax.report.nbytes["file"]


def test_an_export_replaces_an_earlier_one(tmp_path, dataset):
    export(tmp_path / "net.tflite", dataset)
    export(tmp_path / "net.tflite", dataset, {"num_bits": 4})
    assert len(names(tmp_path)) == 6
    written = export(tmp_path / "net.tflite", dataset)
    assert (tmp_path / "net.tflite.parity.txt").read_text().rstrip() == written.report.to_text()


def test_a_refused_export_writes_nothing(tmp_path, dataset):
    with pytest.raises(ExportError, match="9 bits"):
        export(tmp_path / "net.tflite", dataset, {"num_bits": 9})
    assert names(tmp_path) == []


def test_paths_that_cannot_be_written_are_refused(tmp_path, dataset):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path, "/"):
        with pytest.raises(ExportError, match="is a directory"):
            export(directory, dataset)
    with pytest.raises(ExportError, match="can't be written"):
        export(tmp_path / "file" / "net.tflite", dataset)
    with pytest.raises(ExportError, match="examples is 0"):
        export(tmp_path / "net.tflite", dataset, examples=0)
    (tmp_path / "net.tflite.parity.txt").mkdir()
    with pytest.raises(ExportError, match="net.tflite.parity.txt: is a directory"):
        export(tmp_path / "net.tflite", dataset)
    assert names(tmp_path) == ["file", "net.tflite.parity.txt"]


def test_each_layer_is_compared_from_the_files_own_input_codes(dataset):
    """A fault affects all later layers, but is attributed to one layer only."""
    model = integer_model(NETWORK, book_of(NETWORK, INT8), STATE)

    def run(codes):
        known = {model.input: codes}
        for op in model.ops:
            known[op.output] = run_op(model, op, known) + (20 if op.output == "relu" else 0)
        return known

    layers = compare_layers(model, run, dataset.x_test[:20].astype(np.float32) / np.float32(255))
    assert [layer.whole.largest > 0 for layer in layers] == [True, True, True, True]
    assert [layer.own.largest > 0 for layer in layers] == [True, False, False, False]
    assert [layer.unexplained > 0 for layer in layers] == [True, False, False, False]


@pytest.mark.parametrize("doubt", [True, False])
def test_only_differences_near_a_tie_count_as_rounding(doubt):
    """With the multiplier 1/4, accumulators 2 and 6 are ties, 3 and 7 one unit beyond, 4 and 5 farther."""
    net = network_of((1,), (Dense, "hidden", {"units": 1, "use_bias": False}), (Dense, "logits", {"units": 2}))
    unit = (-128.0, 127.0)
    model = model_of(
        net,
        {"num_bits": 2, "symmetric": True, "narrow_range": True},
        hidden__weights=[[0.25]],
        ranges={"input.activations": unit, "hidden.activations": unit},
    )
    images = np.float32([[2], [6], [3], [7]] if doubt else [[4], [8], [5], [-4]])

    def run(codes):
        hidden = run_op(model, model.ops[0], {"input": codes}) - 1
        return {"hidden": hidden, "logits": run_op(model, model.ops[1], {"hidden": hidden})}

    hidden, logits = compare_layers(model, run, images)
    assert (hidden.own.identical, hidden.own.largest, logits.unexplained) == (0, 1, 0)
    assert hidden.unexplained == (0 if doubt else 4)


@pytest.mark.parametrize(
    "options, told",
    [
        ({}, "LiteRT rounds once (the option litert runs the file there); the option double_rounding makes a file for"),
        ({"double_rounding": True}, None),
    ],
)
def test_low_agreement_of_a_double_rounding_runtime_is_noted_with_remedies(
    options, told, dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr("qatviz.export.tflite.runtime.REACHED", Agreement(1.1, 0, 1.0))
    text = export(tmp_path / "net.tflite", dataset, **options).report.to_text()
    assert ("double_rounding" in text) == (told is not None) and (told or "") in text
    assert ("for kernels that round twice of" in text) == ("double_rounding" in options)


# Options


@pytest.mark.parametrize(
    "options, message",
    [
        ({"soft": True}, "there is no option 'soft'; there are softmax, plain_codes"),
        ({"softmax": "yes"}, "option softmax is 'yes'; expected one of False, True"),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ExportError, match=message):
        TFLITE.with_defaults(options)
