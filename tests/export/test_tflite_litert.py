"""TFLite files in LiteRT, TFLite's present runtime, whose XNNPACK kernels round once.

It needs a newer Python than TensorFlow 1.15 does: the first one found that has ``ai_edge_litert`` installed, or the one
that QATVIZ_LITERT_PYTHON names. Without one, these tests are skipped.
"""

import os
import shutil
import subprocess

import numpy as np
import pytest
from integer_cases import model_of
from test_lowering_float import random_chain
from test_tflite_lowering import SETTINGS, everything, images_for

from qatviz.export.parity import compare_layers, compare_logits, run_logits
from qatviz.export.tflite_lowering import tflite_model

CANDIDATES = [os.environ.get("QATVIZ_LITERT_PYTHON")] + [
    shutil.which("python3.{}".format(minor)) for minor in range(14, 8, -1)] + [shutil.which("python3")]
#: Runs a file on an array: names of the file, of the array, of what becomes of it, and of the kernels.
PROGRAM = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
model, codes, results, kernels = sys.argv[1:]
interpreter = Interpreter(model_path=model, experimental_op_resolver_type=getattr(OpResolverType, kernels))
source, codes = interpreter.get_input_details()[0]["index"], np.load(codes)
interpreter.resize_tensor_input(source, codes.shape)
interpreter.allocate_tensors()
interpreter.set_tensor(source, codes)
interpreter.invoke()
np.savez(results, *[interpreter.get_tensor(details["index"]) for details in interpreter.get_output_details()])
"""
XNNPACK, BUILTIN = "AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


@pytest.fixture(scope="session")
def python():
    """The newer Python."""
    for path in filter(None, CANDIDATES):
        found = subprocess.run([path, "-c", "import ai_edge_litert.interpreter"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        if found.returncode == 0:
            return path
    return pytest.skip("there is no Python with ai-edge-litert; QATVIZ_LITERT_PYTHON can name one")


@pytest.fixture
def litert(python, tmp_path):
    """Makes the runtime of a file, for the functions of ``qatviz.export.parity``."""
    def runtime(file, kernels):
        (tmp_path / "model.tflite").write_bytes(file.content)

        def run(codes):
            np.save(str(tmp_path / "codes.npy"), (codes + file.offset).astype(file.dtype))
            subprocess.run([python, "-c", PROGRAM] + [str(tmp_path / name) for name in (
                "model.tflite", "codes.npy", "results.npz")] + [kernels], check=True, stderr=subprocess.DEVNULL)
            with np.load(str(tmp_path / "results.npz")) as found:
                return {name: found["arr_{}".format(i)].astype(np.int32) - file.offset
                        for i, name in enumerate(file.outputs)}
        return run
    return runtime


@pytest.mark.slow
@pytest.mark.parametrize("kernels", [XNNPACK, BUILTIN])
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_every_operation_computes_what_the_simulator_does(setting, kernels, litert):
    model = model_of(everything(), *SETTINGS[setting])
    run = litert(tflite_model(model, outputs=[op.output for op in model.ops]), kernels)
    for layer in compare_layers(model, run, images_for(model, 24)):
        assert layer.unexplained == 0 and layer.own.largest <= 1, layer


@pytest.mark.slow
@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_rounding_once_leaves_hardly_a_difference(setting, litert):
    model = model_of(random_chain(4), *SETTINGS[setting])
    simulated, found = run_logits(model, litert(tflite_model(model), XNNPACK), images_for(model, 32))
    agreement = compare_logits(simulated, found)
    assert agreement.identical >= 0.98 and agreement.largest <= 1 and agreement.top1 == 1, agreement
