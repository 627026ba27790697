"""SavedModel and frozen graph: files, loading them, and their proofs."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from export_cases import INT8, NETWORK, STATE
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.errors import ExportError
from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.fake_quant.proof import Simulation, prove_simulation
from qatviz.export.formats import FROZEN, SAVEDMODEL, TFLITE_FAKE_QUANT
from qatviz.export.graphs.runtime import GraphRunner
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.network.layers import AveragePool, Dense, Flatten

FORMATS = (FROZEN, SAVEDMODEL, TFLITE_FAKE_QUANT)


GUIDE = ["net.pb.README.md", "net.pb.check.py"]


def dataset(task="classification"):
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (80, 8, 8, 1)).astype(np.uint8)
    labels = (np.arange(80) % 4).astype(np.int32)
    if task == "regression":
        labels = random.standard_normal((80, 4)).astype(np.float32)
    return from_arrays("noise", "a test", (images, labels), (images[:40], labels[:40]), task=task)


def source_of(weights=INT8, activations=None, task="classification", **settings):
    return ExportSource(
        NETWORK,
        book_of(NETWORK, weights, activations),
        STATE,
        dataset(task),
        None,
        {"run": "r1", "step": 3},
        **settings,
    )


def export(kind, path, source=None, progress=Progress(), **options):
    return kind.export(source_of() if source is None else source, path, options, progress)


def names(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export each format once."""
    directory = tmp_path_factory.mktemp("exported")
    return {form.name: export(form, directory / form.name / ("net" + form.suffix)) for form in FORMATS}


# The files


def test_a_frozen_graph_is_one_file_next_to_its_proof(exported):
    paths = exported["frozen"].paths
    assert [path.name for path in paths] == [
        "net.pb",
        "net.pb.parity.json",
        "net.pb.parity.txt",
        "net.pb.golden.npz",
        *GUIDE,
    ]
    assert all(path.exists() for path in paths) and names(paths[0].parent) == sorted(path.name for path in paths)


def test_a_saved_model_is_a_directory_with_its_proof(exported):
    root = exported["savedmodel"].paths[0]
    assert names(root) == [
        "README.md",
        "about.json",
        "check.py",
        "golden.npz",
        "parity.json",
        "parity.txt",
        "saved_model.pb",
    ]
    about = json.loads((root / "about.json").read_text())
    assert about["input"]["shape"] == [None, 8, 8, 1] and "0 to 255" in about["input"]["values"]
    assert about["source"] == {"run": "r1", "step": 3} and about["form"] == "fake-quant"


def test_an_earlier_export_is_replaced_and_no_other_directory_is(tmp_path):
    few = source_of(examples=4)
    export(SAVEDMODEL, tmp_path / "net", few)
    export(SAVEDMODEL, tmp_path / "net", few, form="float")
    assert json.loads((tmp_path / "net" / "about.json").read_text())["form"] == "float"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ExportError, match="exists and is not an earlier export"):
        export(SAVEDMODEL, tmp_path / "mine", few, form="float")
    assert names(tmp_path / "mine") == ["thesis.txt"]


@pytest.mark.parametrize("name", [form.name for form in FORMATS])
def test_a_fully_quantized_network_is_compared_code_by_code(name, exported):
    report = exported[name].report
    agreement = report.outputs["file to evaluation graph"]
    assert agreement.identical >= 0.995 and agreement.largest <= 1 and agreement.top1 == 1
    assert not report.faults and report.as_expected
    assert [layer.layer for layer in report.layers] == ["relu", "pool", "means", "logits"]
    assert report.about["network"] == "chain" and report.about["step"] == 3
    assert report.to_record() == json.loads(json.dumps(report.to_record(), allow_nan=False))


def test_a_simulation_is_labelled_as_one(exported):
    text = exported["tflite-fakequant"].report.to_text()
    assert "FAKE_QUANT (a simulation)" in text and "note: a simulation" in text
    assert "simulated" in TFLITE_FAKE_QUANT.title and "no smaller or faster" in TFLITE_FAKE_QUANT.about


# Other programs


def feed(session, images):
    return session.run(["logits:0", "probabilities:0", "class:0"], {"input:0": images})


def golden_of(paths):
    with np.load(str(next(path for path in paths if path.name.endswith("golden.npz")))) as golden:
        steps = golden["file_output"].astype(np.int64) - golden["logits_zero_point"]
        return golden["images"], steps * golden["logits_scale"]


def test_tensorflow_imports_and_runs_a_frozen_graph(exported):
    images, expected = golden_of(exported["frozen"].paths)
    definition = tf.GraphDef()
    definition.ParseFromString(exported["frozen"].paths[0].read_bytes())
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(definition, name="")
        logits, probabilities, classes = feed(session, images)
        about = json.loads(session.run("about:0").decode())
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert (classes == logits.argmax(axis=1)).all() and np.allclose(probabilities.sum(axis=1), 1)
    assert about["classes"] == ["0", "1", "2", "3"] and about["outputs"]["logits"] == "float32 [batch, 4]"


@pytest.mark.filterwarnings("ignore:distutils Version classes:DeprecationWarning")  # the loader's own
def test_a_saved_model_runs_by_its_signature(exported):
    images, expected = golden_of(exported["savedmodel"].paths)
    with tf.Graph().as_default(), tf.Session() as session:
        loaded = tf.saved_model.loader.load(session, ["serve"], str(exported["savedmodel"].paths[0]))
        signature = loaded.signature_def["serving_default"]
        assert set(signature.inputs) == {"input"} and set(signature.outputs) == {"logits", "probabilities", "class"}
        found = session.run(signature.outputs["logits"].name, {signature.inputs["input"].name: images})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_interpreter_runs_a_simulating_file(exported):
    images, expected = golden_of(exported["tflite-fakequant"].paths)
    interpreter = tf.lite.Interpreter(model_path=str(exported["tflite-fakequant"].paths[0]))
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert source["dtype"] == result["dtype"] == np.float32 and source["name"] == "input"
    for image, logits in zip(images[:4], expected):
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(result["index"])[0], logits, atol=1e-5)


# Forms


@pytest.mark.parametrize("form", [FROZEN, SAVEDMODEL], ids=lambda form: form.name)
def test_the_float_form_is_compared_by_values(form, tmp_path):
    report = export(form, tmp_path / ("net" + form.suffix), form="float").report
    assert report.outputs["file to float"].relative <= 1e-5 and report.as_expected and not report.faults
    assert report.scores["float"] == report.scores["file"] and "(float) of chain" in report.to_text()


@pytest.mark.parametrize("form", [FROZEN, TFLITE_FAKE_QUANT], ids=lambda form: form.name)
def test_networks_with_float_tensors_are_compared_by_values(form, tmp_path):
    source = source_of({"enabled": False}, examples=20)
    report = export(form, tmp_path / ("net" + form.suffix), source).report
    assert report.outputs["file to evaluation graph"].close >= 0.98 and report.as_expected
    assert set(report.scores) == {"float", "evaluation graph", "file"} and report.examples == 20
    assert report.golden["file_output"].shape == (16, 4)


def test_settings_without_an_integer_form_are_supported(tmp_path):
    source = source_of({"num_bits": 12, "per_channel": True}, {"num_bits": 16, "narrow_range": True}, examples=20)
    report = export(FROZEN, tmp_path / "net.pb", source).report
    agreement = report.outputs["file to evaluation graph"]
    assert agreement.largest <= 3 and agreement.top1 == 1 and not report.faults, agreement


def test_the_exact_form_has_no_different_codes(tmp_path):
    report = export(SAVEDMODEL, tmp_path / "net", form="exact").report
    assert set(report.outputs.values()) == {(1.0, 0, 1.0)} and "(exact) of chain" in report.to_text()
    assert (
        not report.notes
        and 'with the form "exact" they are identical'
        in export(FROZEN, tmp_path / "net.pb", source_of(examples=4)).report.to_text()
    )


def test_the_exact_form_names_layers_whose_sums_can_be_too_large_for_float32(tmp_path):
    network = network_of((600,), (Dense, "large", {"units": 3}), (Dense, "logits", {"units": 3}))
    examples = np.random.RandomState(0).uniform(0, 1, (20, 600)).astype(np.float32)
    data = from_arrays("noise", "a test", (examples, np.arange(20) % 3), validation_fraction=0.5)
    state = state_of(network, large__weights=np.tile([[0.5, -0.5, 0.5]], (600, 1)))
    source = ExportSource(network, book_of(network, INT8), state, data)
    (note,) = export(FROZEN, tmp_path / "net.pb", source, form="exact").report.notes
    # 600 products of a code of 127 and one of at most 255 are at most 19.4 million.
    assert note.startswith("large: accumulators can have up to 24 bits; where one has more than 22,")


@pytest.mark.parametrize("kind", [FROZEN, SAVEDMODEL], ids=lambda kind: kind.name)
@pytest.mark.parametrize("weights, activations", [({}, {"num_bits": 16}), ({"num_bits": 9}, {})], ids=str)
def test_more_than_eight_bits_are_not_called_exact(weights, activations, kind, tmp_path):
    for form in ("exact", "fake-quant"):
        source = source_of(dict(INT8, **weights), dict(activations, symmetric=True), examples=4)
        written = export(kind, tmp_path / form / ("net" + kind.suffix), source, form=form)
        text = written.report.to_text()
        (note,) = [note for note in written.report.notes if "float32" in note]
        assert "more than 8 bits" in note and 'the form "exact" (measured' in note and "identical" not in note
        assert "(exact)" not in text
        (readme,) = (tmp_path / form).rglob("*README.md")
        assert ", exact" not in readme.read_text(encoding="utf-8")
        assert ("(rounded in double precision) of chain" in text) == (form == "exact")


def test_the_help_calls_the_exact_form_exact_up_to_eight_bits():
    for kind in (FROZEN, SAVEDMODEL):
        (form,) = [option for option in kind.options if option.name == "form"]
        assert "with up to 8 bits" in form.help and "every code" not in form.help


NOTES_OF_TOCO = {
    "fake-quant": "halved: TensorFlow 1.15's converter, TOCO, makes no integer file",
    "toco": "halved: ties of means are rounded up",
}


@pytest.mark.parametrize("form", ["fake-quant", "toco", "exact", "float"])
def test_a_graph_with_an_average_pool_says_whether_toco_converts_it(form, tmp_path):
    network = network_of((8, 8, 1), (AveragePool, "halved", {}), (Flatten, "flat", {}), (Dense, "logits", {"units": 4}))
    source = ExportSource(network, book_of(network, INT8), state_of(network), dataset())
    report = export(FROZEN, tmp_path / "net.pb", source, form=form).report
    text = report.to_text()
    assert {name for name, note in NOTES_OF_TOCO.items() if note in text} == {form} & set(NOTES_OF_TOCO)
    assert report.as_expected and not report.faults
    if form == "toco":
        (pool,) = [layer for layer in report.layers if layer.layer == "halved"]
        # One of four means of four codes is a tie; those below the center are rounded to another code.
        assert 0.7 < pool.own.identical < 0.99 and pool.own.largest == 1 and pool.unexplained == 0


def test_regression_outputs_have_no_classes(tmp_path):
    written = export(FROZEN, tmp_path / "net.pb", source_of(task="regression"), form="float")
    report = written.report
    assert report.outputs["file to float"].top1 is None and report.metric.name == "rmse"
    assert report.to_record()["rmse"] == report.scores and "RMSE on all 40 held-out examples: float" in report.to_text()
    definition = tf.GraphDef()
    definition.ParseFromString(written.paths[0].read_bytes())
    assert "probabilities" not in {node.name for node in definition.node}


# Faults


@pytest.mark.parametrize("quantized", [True, False])
def test_the_proof_detects_a_wrong_file(quantized):
    source = source_of(examples=20)
    model = fake_quant_model(NETWORK, source.book, STATE, quantized=quantized)

    def values(images, names):
        from qatviz.export.graphs.lowering import inference_graph

        graph = inference_graph(model, {})
        with GraphRunner(graph.definition.SerializeToString(), graph.tensors, graph.inputs) as runner:
            found = runner.values(images, names)
        return {name: value * (-1 if name == "logits" else 1) for name, value in found.items()}

    report = prove_simulation(model, Simulation("f", "r", values, 1), source, quantized, Progress())
    assert report.faults and "WRONG" in report.to_text() and not report.as_expected


# Failures


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_refused_exports_write_nothing(form, tmp_path):
    nothing = {tensor.name: (0.0, 0.0) for tensor in source_of().book.plan.tensors if tensor.kind == "activations"}
    source = ExportSource(NETWORK, book_of(NETWORK), state_of(NETWORK, nothing), dataset())
    with pytest.raises(ExportError, match="no values have been observed yet"):
        export(form, tmp_path / ("net" + form.suffix), source)
    assert names(tmp_path) == []


def test_a_failed_write_leaves_no_files(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="can't be written"):
        export(SAVEDMODEL, tmp_path / "file" / "net", source_of(examples=4), form="float")
    assert names(tmp_path) == ["file"]
