"""Names of a model, its layers, its classes and its data that C, HTML or a terminal could take for something else.

They are escaped or replaced in the files of every format, which compile and can be parsed.
"""

import json
import re
import subprocess
from html.parser import HTMLParser

import numpy as np
import onnx
import pytest
import tensorflow.compat.v1 as tf
import tflite
from cli_calls import call
from exhaustive import tries

from qatviz.export.c.runner import find_compiler
from qatviz.export.formats import FORMATS
from qatviz.network.checks import _NAME

HOSTILE = [
    "*/ int evil; /*",
    "</script><script src=http://evil.example>",
    "=cmd|' /C calc'!A0",
    "quote\"'`$HOME;",
    "line\nbreak\r\n#error",
    "ünï→名🙂",
    "\x1b[31m\u202e%s%n??/",
    "\\",
]


def write_model(path, names):
    """Write the architecture of a Keras model whose name and layers have these names."""
    layers = [
        ("InputLayer", {"batch_input_shape": [None, 4, 4, 1], "dtype": "float32", "sparse": False}),
        ("Flatten", {"data_format": "channels_last"}),
        *[("Dense", {"units": 6, "activation": "relu", "use_bias": True}) for _ in names[2:-1]],
        ("Dense", {"units": len(HOSTILE), "activation": "linear", "use_bias": True}),
    ]
    records, source = [], None
    for name, (kind, config) in zip(names, layers):
        inbound = [] if source is None else [[[source, 0, 0, {}]]]
        records.append({"class_name": kind, "name": name, "config": dict(config, name=name), "inbound_nodes": inbound})
        source = name
    config = {
        "name": names[0],
        "layers": records,
        "input_layers": [[names[0], 0, 0]],
        "output_layers": [[names[-1], 0, 0]],
    }
    model = {"class_name": "Model", "config": config, "keras_version": "2.2.4-tf", "backend": "tensorflow"}
    path.write_text(json.dumps(model))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign") / 'a*b"; <i>'
    folder.mkdir()
    chance = np.random.RandomState(0)
    x, y = chance.rand(64, 4, 4, 1).astype(np.float32), np.arange(64) % len(HOSTILE)
    data = folder / "*%s <b>evil.npz"
    np.savez(str(data), x=x, y=y, class_names=np.array(HOSTILE))
    model = write_model(folder / "model.json", HOSTILE)
    options = ["--data", data, "--steps", 12, "--batch-size", 8, "--out", folder / "run"]
    answer = call("train", "--model", model, *options)
    assert answer.code == 0, answer.err
    assert "\x1b" not in answer.err + answer.out and "\u202e" not in answer.err + answer.out
    assert "names" in answer.err  # the note on the changed ones
    return folder / "run"


def exported(run, form, out, *options):
    """Return the folder or file of an export, which must be proved without a fault."""
    answer = call("export", run, "--format", form, "--out", out, "--verify", 16, *options)
    assert answer.code == 0 and "Traceback" not in answer.err, answer.err
    assert "\x1b" not in answer.err + answer.out and "\u202e" not in answer.err + answer.out
    return out


def test_c_compiles_without_warnings_and_contains_no_foreign_code(run, tmp_path):
    out = exported(run, "c", tmp_path / "c")
    for path in out.rglob("*.[ch]"):
        text = path.read_text("ascii")
        code = re.sub(r'/\*.*?\*/|"(\\.|[^"\\])*"', "", text, flags=re.DOTALL)
        own = path.name.startswith("qatviz_nn")  # the same for every network
        assert "int evil" not in code and "??" not in text and ("#error" not in code or own), path
    compiler = find_compiler()
    sources = sorted(path.name for path in out.glob("*.c"))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wcomment", "-trigraphs", "-fsyntax-only"]
    subprocess.run([*compiler.command, *flags, *sources], cwd=str(out), check=True)


def test_onnx_is_valid_with_plain_names(run, tmp_path):
    model = onnx.load(str(exported(run, "onnx", tmp_path / "x.onnx")))
    onnx.checker.check_model(model)
    names = [node.name for node in model.graph.node] + [value.name for value in model.graph.initializer]
    names += [name for node in model.graph.node for name in [*node.input, *node.output]]
    assert names and all(re.fullmatch(r"[\w./:-]*", name, re.ASCII) for name in names)


def test_tflite_is_parsed_with_plain_names(run, tmp_path):
    content = exported(run, "tflite", tmp_path / "x.tflite").read_bytes()
    graph = tflite.Model.GetRootAsModel(content, 0).Subgraphs(0)
    names = [graph.Tensors(index).Name().decode() for index in range(graph.TensorsLength())]
    assert len(names) > len(HOSTILE) and all(re.fullmatch(r"[\w./:-]*", name, re.ASCII) for name in names)
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()


def test_the_classes_of_a_savedmodel_are_read_back_readable(run, tmp_path):
    out = exported(run, "savedmodel", tmp_path / "saved")
    texts = [path.read_text("utf-8") for path in out.rglob("*.json")]
    classes = [json.loads(text).get("classes") for text in texts]
    (found,) = [names for names in classes if names]
    assert len(found) == len(HOSTILE) and all(ord(char) >= 32 for name in found for char in name)


OTHERS = [name for name in FORMATS if name not in ("c", "onnx", "tflite", "savedmodel")]


@pytest.mark.parametrize("form", tries(["keras"], OTHERS))
def test_other_formats_are_written_and_proved(run, tmp_path, form):
    """Keras itself does not allow such names of layers: its model is made of layers with the network's names."""
    exported(run, form, tmp_path / "out")


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def test_the_report_shows_names_as_text(run, tmp_path):
    exported(run, "npz", run / "x.npz")
    assert call("report", run, "--out", tmp_path / "r.html").code == 0
    page = Elements((tmp_path / "r.html").read_text("utf-8"))
    assert "<b>evil" in page.text
    assert not any("evil" in str(attributes.get("src")) for _, attributes in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page.text)


def test_names_of_layers_are_those_of_settings(run):
    shown = call("show", run, "--json").json
    layers = [layer["name"] for layer in shown["description"]["network"]["layers"]]
    assert len(layers) == len(set(layers)) and all(_NAME.fullmatch(name) for name in layers)
