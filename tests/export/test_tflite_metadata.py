"""Signature and metadata of TFLite files, as LiteRT and TensorFlow Lite Support's own reader find them."""

import io
import json
import re
import zipfile

import newer_python
import numpy as np
import pytest
import tflite
from export_cases import export_as, noise

from qatviz.data import from_arrays
from qatviz.export.tflite.file import INT4_VERSIONS, PER_CHANNEL_VERSION, SIGNATURE, VERSIONS
from qatviz.export.tflite.litert import VARIABLE as LITERT_VARIABLE
from qatviz.export.tflite.metadata import LABELS, METADATA, MIN_RUNTIME_VERSION, min_runtime_version

SUPPORT_VARIABLE = "QATVIZ_TFLITE_SUPPORT_PYTHON"
FORMATS = ["tflite", "tflite-fakequant"]
#: Writes what TensorFlow Lite Support's reader finds in a file.
_READ = """
import json, sys
from tflite_support import metadata
reader = metadata.MetadataDisplayer.with_model_file(sys.argv[1])
files = {name: reader.get_associated_file_buffer(name).decode() for name in reader.get_packed_associated_file_list()}
with open(sys.argv[2], "w") as file:
    json.dump({"metadata": json.loads(reader.get_metadata_json()), "files": files}, file)
"""
#: Writes LiteRT's list of signatures, and whether the signature's outputs are those of the interpreter.
_RUN = """
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1])
signatures = interpreter.get_signature_list()
(key, ends), = signatures.items()
given = interpreter.get_input_details()[0]
inputs = np.random.RandomState(0).randint(0, 99, given["shape"]).astype(given["dtype"])
interpreter.allocate_tensors()
interpreter.set_tensor(given["index"], inputs)
interpreter.invoke()
expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
found = interpreter.get_signature_runner(key)(**{ends["inputs"][0]: inputs})[ends["outputs"][0]]
with open(sys.argv[2], "w") as file:
    json.dump({"signatures": signatures, "equal": bool((found == expected).all())}, file)
"""


def asked(program, variable, package, path):
    """Return what a program says of a file under a newer Python."""
    newer = newer_python.find(variable, package)
    if newer is None:
        pytest.skip(f"there is no newer Python with {package.split('.')[0]}; {variable} can name one")
    newer_python.run(newer, program, path.parent, path, "found.json")
    return json.loads((path.parent / "found.json").read_text())


def entries(content):
    """Return the entries of a file by name, as the schema's reader finds them."""
    model = tflite.Model.GetRootAsModel(content, 0)
    found = [model.Metadata(i) for i in range(model.MetadataLength())]
    return {entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes() for entry in found}


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_litert_finds_the_signature_and_runs_it(name, softmax, tmp_path):
    path = tmp_path / "net.tflite"
    export_as(name, path, noise(), examples=16, softmax=softmax)
    found = asked(_RUN, LITERT_VARIABLE, "ai_edge_litert.interpreter", path)
    ends = {"inputs": ["input"], "outputs": ["softmax" if softmax else "logits"]}
    assert found == {"signatures": {SIGNATURE: ends}, "equal": True}


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_the_readme_says_how_to_read_signature_and_labels(name, softmax, tmp_path):
    path = tmp_path / "net.tflite"
    export_as(name, path, noise(), examples=16, softmax=softmax)
    readme = (tmp_path / "net.tflite.README.md").read_text(encoding="utf-8")
    output = "softmax" if softmax else "logits"
    assert f"Signature `{SIGNATURE}`: its input is `input`, its output `{output}`." in readme
    (code,) = re.findall(r"`(zipfile\.ZipFile\(file\)[^`]+)`", readme)
    assert eval(code, {"zipfile": zipfile, "file": str(path)}) == ["0", "1", "2", "3"]
    (call,) = re.findall(r"`(Interpreter\(file\)[^`]+)`", readme)
    program = f"""
import json, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
file = sys.argv[1]
interpreter = Interpreter(file)
(given,) = interpreter.get_input_details()
codes = np.ones(given["shape"], given["dtype"])
found = {call.replace("Interpreter(file)", "interpreter")}(input=codes)
with open(sys.argv[2], "w") as answer:
    json.dump(list(found), answer)
"""
    assert asked(program, LITERT_VARIABLE, "ai_edge_litert.interpreter", path) == [output]


@pytest.mark.parametrize("name", FORMATS)
def test_tensorflows_reader_finds_normalization_and_labels(name, tmp_path):
    path = tmp_path / "net.tflite"
    export_as(name, path, noise(), examples=16)
    found = asked(_READ, SUPPORT_VARIABLE, "tflite_support", path)
    assert found["files"] == {LABELS: "0\n1\n2\n3\n"}
    (graph,) = found["metadata"]["subgraph_metadata"]
    (given,), (output,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert given["content"] == {
        "content_properties_type": "ImageProperties",
        "content_properties": {"color_space": "GRAYSCALE", "default_size": {"width": 8, "height": 8}},
    }
    (unit,) = given["process_units"]
    assert unit == {"options_type": "NormalizationOptions", "options": {"mean": [0.0], "std": [255.0]}}
    assert output["name"] == "logits"
    assert [(file["name"], file["type"]) for file in output["associated_files"]] == [(LABELS, "TENSOR_AXIS_LABELS")]


def signed():
    """Images fed as -1 to 1."""
    return noise().with_scaling("signed")


def unscaled():
    """Numbers that are no pixels."""
    random = np.random.RandomState(0)
    images, labels = random.standard_normal((80, 8, 8, 1)).astype(np.float32), (np.arange(80) % 4).astype(np.int32)
    return from_arrays("noise", "a test", (images, labels), (images[:60], labels[:60]))


@pytest.mark.parametrize("data, expected", [(signed, [127.5, 127.5]), (unscaled, None)])
def test_the_normalization_is_that_of_the_data(data, expected, tmp_path):
    path = tmp_path / "net.tflite"
    export_as("tflite", path, data(), examples=16)
    found = asked(_READ, SUPPORT_VARIABLE, "tflite_support", path)
    tensor = found["metadata"]["subgraph_metadata"][0]["input_tensor_metadata"][0]
    if expected is None:
        assert "process_units" not in tensor
    else:
        options = tensor["process_units"][0]["options"]
        assert [options["mean"][0], options["std"][0]] == expected


@pytest.mark.parametrize("options, release", [({}, "1.14.0"), ({"int16": True}, "2.3.0"), ({"int4": True}, "2.11.0")])
def test_the_file_states_the_first_release_that_runs_it(options, release, tmp_path):
    path = tmp_path / "net.tflite"
    weights = {"num_bits": 4, "symmetric": True, "per_channel": False} if "int4" in options else None
    activations = {"num_bits": 16, "symmetric": True} if "int16" in options else None
    export_as("tflite", path, noise(), weights, activations, examples=16, **options)
    found = entries(path.read_bytes())
    assert found[MIN_RUNTIME_VERSION] == release.encode().ljust(16, b"\0")
    assert found[METADATA][4:8] == b"M001"


def test_every_version_of_an_operation_has_its_release():
    for kinds in (*VERSIONS.values(), INT4_VERSIONS, {"FULLY_CONNECTED": PER_CHANNEL_VERSION}):
        for operation in kinds.items():
            assert min_runtime_version([operation]) != min_runtime_version([]), operation


def test_the_labels_are_an_archive_behind_the_model_and_the_same_each_time(tmp_path):
    contents = []
    for place in ("a.tflite", "b.tflite"):
        export_as("tflite", tmp_path / place, noise(), examples=16)
        contents.append((tmp_path / place).read_bytes())
    assert contents[0] == contents[1] and tflite.Model.ModelBufferHasIdentifier(contents[0], 0)
    with zipfile.ZipFile(io.BytesIO(contents[0])) as archive:
        assert archive.testzip() is None and archive.namelist() == [LABELS]
