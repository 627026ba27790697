"""Exports of a network with several outputs: every output has the evaluation's codes, and its own metric."""

import json
import subprocess
import sys

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, state_of

from qatviz.data.heads import for_outputs, from_heads
from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.npz.reader import load_integer_model
from qatviz.export.proof.graph import EvaluationGraph
from qatviz.export.source import ExportSource
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, Dense, Flatten, MaxPool, ReLU, Softmax, UpsampleNearest


def network():
    """Return a network with classes, a yes or no, and an image as outputs, the last of which is used inside, too."""
    net = NetworkBuilder("heads", (8, 8, 2))
    net.add(Conv2D, "stem", filters=4)
    net.add(ReLU, "stem_relu")
    image = net.add(Conv2D, "image", filters=2, kernel_size=1)
    net.add(MaxPool, "pool")
    small = net.add(Flatten, "flat")
    net.add(Dense, "digit", small, units=3)
    digit = net.add(Softmax, "digit/softmax")
    valid = net.add(Dense, "valid", small, units=1)
    large = net.add(UpsampleNearest, "large", image)
    return net.network([digit, valid, image, large])


NETWORK = network()
STATE = state_of(NETWORK)
BOOK = book_of(NETWORK, INT8)
HOLDING = sorted(name for name, form in FORMATS.items() if form.holds_several and name != "encodings")


def source():
    random = np.random.RandomState(0)
    x = random.standard_normal((120, 8, 8, 2)).astype(np.float32)
    with EvaluationGraph(NETWORK, BOOK, STATE) as graph:
        digit, valid, image, large = graph.outputs(x, quantized=False)
    targets = {
        "digit": np.where(random.rand(120) < 0.7, digit.argmax(axis=1), random.randint(3, size=120)),
        "valid": (valid[:, 0] > 0) ^ (random.rand(120) < 0.2),
        "image": image + random.standard_normal(image.shape),
        "large": large + random.standard_normal(large.shape),
    }
    data = from_heads("heads", "a test", (x, targets), validation_fraction=0.5)
    return ExportSource(NETWORK, BOOK, STATE, for_outputs(data, NETWORK.output_names, NETWORK.output_shapes))


@pytest.mark.parametrize("name", HOLDING)
def test_the_proof_compares_every_output(name, tmp_path):
    form = FORMATS[name]
    origin = source()
    written = form.export(origin, tmp_path / ("net" + form.suffix))
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    assert not record["faults"] and record["as_expected"]
    assert record["output"] == "digit" and [row["output"] for row in record["further"]] == ["valid", "image", "large"]
    assert [row["metric"] for row in record["further"]] == ["accuracy", "rmse", "rmse"]
    held_out = origin.held_out()
    with EvaluationGraph(NETWORK, BOOK, STATE) as graph:
        outputs = graph.outputs(held_out.images)
    scores = [record["accuracy"], *(row[row["metric"]] for row in record["further"])]
    expected = [
        np.mean(outputs[0].argmax(axis=1) == held_out.labels),
        np.mean((outputs[1][:, 0] > 0) == held_out.further[0]),
        *(np.sqrt(np.mean((values - labels) ** 2)) for values, labels in zip(outputs[2:], held_out.further[1:])),
    ]
    for found, score in zip(scores, expected):
        assert found["evaluation graph"] == pytest.approx(score, abs=0.02)
    compared = [record["outputs"], *(row["outputs"] for row in record["further"])]
    bar = min(record["reached"]["identical"], 0.98)  # a few codes of the smallest output are a large fraction
    assert all(found["file to evaluation graph"]["identical"] >= bar for found in compared)
    readme = " ".join(next(p for p in written.paths if p.name.endswith("README.md")).read_text("utf-8").split())
    assert "digit: classes, by index: 0 0, 1 1, 2 2." in readme and "`labels_1`" in readme
    check = next(path for path in written.paths if path.name.endswith("check.py"))
    run = subprocess.run([sys.executable, str(check)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout.decode()
    assert all(f"output {output}, in " in run.stdout.decode() for output in NETWORK.output_names)
    for index in range(4):
        key = f"simulator_output_{index}" if index else "simulator_output"
        assert written.report.golden[key].shape[1:] == NETWORK.output_shapes[index]


def test_the_arrays_have_every_output(tmp_path):
    written = FORMATS["npz"].export(source(), tmp_path / "net.npz")
    model = load_integer_model(written.paths[0])
    assert model.outputs == ("digit/logits", "valid", "image", "large") and model.softmax == "digit/softmax"
    assert model.outputs[1:] == integer_model(NETWORK, BOOK, STATE).outputs[1:]


def test_onnx_has_every_output_by_name(tmp_path):
    import onnx

    file = onnx.load(str(FORMATS["onnx"].export(source(), tmp_path / "net.onnx").paths[0]))
    assert len(file.graph.output) == 4 and [x.name.partition(".")[0] for x in file.graph.output][1:] == [
        "valid",
        "image",
        "large",
    ]


@pytest.mark.parametrize("form", ["float", "exact"])
def test_graphs_name_the_nodes_of_each_output(form, tmp_path):
    import tensorflow.compat.v1 as tf

    origin = source()
    written = FORMATS["frozen"].export(origin, tmp_path / "net.pb", {"form": form})
    assert written.report.as_expected and not written.report.faults
    assert (written.report.output, written.report.further[0].output) == ("digit", "valid")
    definition = tf.GraphDef()
    definition.ParseFromString(written.paths[0].read_bytes())
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.import_graph_def(definition, name="")
        names = {node.name for node in graph.as_graph_def().node}
        assert {"digit/logits", "digit/class", "valid/probabilities", "image/logits", "large/logits"} <= names
        assert not {"logits", "image/class"} & names
        images = origin.held_out().images[:8]
        logits, found = session.run(["valid/logits:0", "valid/class:0"], {"input:0": images})
    assert found.tolist() == (logits[:, 0] > 0).astype(int).tolist()


def test_formats_with_one_output_refuse_by_name(tmp_path):
    for name, form in FORMATS.items():
        if name in HOLDING or name == "encodings":
            continue
        with pytest.raises(ExportError, match=f"has the outputs 'digit', .* export to {name} has a single one; poss"):
            form.export(source(), tmp_path / ("net" + form.suffix))
    with pytest.raises(ExportError, match="the network has 4 outputs, which are not all logits of classes"):
        FORMATS["onnx"].export(source(), tmp_path / "net.onnx", {"softmax": True})


def test_an_output_that_is_used_inside_is_not_fused():
    units = {unit.name: unit for unit in BOOK.plan.units}
    assert units["image"].output == "image" and units["stem"].output == "stem_relu"
