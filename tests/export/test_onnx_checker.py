"""ONNX files of every operator set in the checker of a current package, which knows operator sets that ours does not.

It is that of the Python that QATVIZ_ONNXRUNTIME_PYTHON names, or of the first one on PATH that has ``onnx``.
"""

import json

import newer_python
import pytest
from integer_cases import book_of, model_of, state_of
from test_onnx_opsets import SETTINGS
from test_tflite_lowering import everything

from qatviz.export.fake_quant.model import fake_quant_model
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.onnx_float.lowering import float_file

pytest.importorskip("onnx")

VARIABLE = "QATVIZ_ONNXRUNTIME_PYTHON"
OPSETS = ("13", "19", "21")
#: Writes the error of each file, or null; shapes and types are inferred strictly.
_PROGRAM = """
import json, sys
import onnx
assert onnx.defs.onnx_opset_version() >= 21
found = {}
for name in sys.argv[1:]:
    try:
        onnx.checker.check_model(name, full_check=True)
        found[name] = None
    except Exception as error:
        found[name] = str(error)
with open("found.json", "w") as file:
    json.dump(found, file)
"""


def test_a_current_checker_accepts_every_file(tmp_path):
    newer = newer_python.find(VARIABLE, "onnx")
    if newer is None:
        pytest.skip(f"there is no newer Python with onnx; {VARIABLE} can name one")
    network, files = everything(), {}
    in_float = fake_quant_model(network, book_of(network), state_of(network), quantized=False)
    for opset in OPSETS:
        files[f"float-{opset}.onnx"] = float_file(in_float, softmax=True, opset=opset)
        for setting, values in SETTINGS.items():
            model = model_of(network, *values)
            files[f"{setting.replace(' ', '-')}-{opset}.onnx"] = onnx_model(model, opset=opset)
        files[f"exact-{opset}.onnx"] = onnx_model(model_of(network), exact=True, opset=opset)
    for name, file in files.items():
        (tmp_path / name).write_bytes(file.content)
    (tmp_path / "damaged.onnx").write_bytes(files["float-21.onnx"].content.replace(b"ReduceMean", b"ReduceXean"))
    newer_python.run(newer, _PROGRAM, tmp_path, "damaged.onnx", *files)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found.pop("damaged.onnx") is not None
    assert found == dict.fromkeys(files)
