"""The softmax of int8 logits: NumPy against LiteRT's kernel, and C against NumPy."""

import numpy as np
import pytest
from export_cases import export_as, noise
from integer_cases import model_of, network_of

from qatviz.errors import ExportError
from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler
from qatviz.export.integers.simulator import run_codes
from qatviz.export.tflite.litert import BUILTIN, XNNPACK, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.lowering import tflite_model
from qatviz.network.layers import Dense, Softmax
from qatviz.quant.softmax_codes import exponentials, softmax_codes

CLASSES = 10
#: Scales of logits, from all probabilities nearly equal to one of them nearly 1.
SCALES = (0.0007, 0.0131, 0.0625, 0.0943, 0.1, 0.2371, 0.5, 1.9, 11.0)


def model_with(scale, bits=8):
    """Return a model whose logits have the codes of its input."""
    last = 2 ** (bits - 1)
    ends = (-last * scale, (last - 1) * scale)
    network = network_of((CLASSES,), (Dense, "logits", {"units": CLASSES}), (Softmax, "softmax", {}))
    return model_of(
        network,
        {"symmetric": True, "narrow_range": True},
        {"num_bits": bits},
        {"input.activations": ends, "logits.activations": ends},
        logits__weights=np.eye(CLASSES),
        logits__bias=np.zeros(CLASSES),
    )


def logits_for(scale, count=400, low=-128, high=127):
    """Return codes of logits: of all sizes, equal ones, and some whose probabilities are next to each other."""
    random = np.random.RandomState(int(scale * 1e4))
    spread = random.uniform(0, 3 / scale, (count, 1))
    codes = random.normal(random.uniform(low, high, (count, 1)), spread, (count, CLASSES))
    codes = np.concatenate(
        [codes, random.randint(low, high + 1, (count, CLASSES)), np.full((2, CLASSES), [[low], [high]])]
    )
    return np.clip(np.rint(codes), low, high).astype(np.int32)


@pytest.mark.parametrize("scale", SCALES)
def test_probabilities_are_those_of_the_exact_softmax_within_a_step(scale):
    codes = logits_for(scale)
    exact = np.exp((codes - codes.max(axis=1, keepdims=True)) * scale)
    exact = 256 * exact / exact.sum(axis=1, keepdims=True) - 128
    found = softmax_codes(codes, scale)
    assert found.min() >= -128 and found.max() <= 127
    assert (np.abs(found - np.minimum(exact, 127)) <= 0.5 + 1e-3).all()


def test_exponentials_are_float32():
    found = exponentials(0.0943)
    assert found.dtype == np.float32 and found.shape == (256,) and found[0] == 1 and (np.diff(found) < 0).all()


@pytest.mark.parametrize("scale", SCALES)
def test_every_code_is_that_of_litert(scale):
    try:
        litert = find_litert()
    except LitertMissing as missing:
        pytest.skip(str(missing))
    model = model_with(scale)
    codes = logits_for(scale)
    np.testing.assert_array_equal(run_codes(model, codes, ["logits"])["logits"], codes)
    expected = softmax_codes(codes, model.logits.scale)
    for kernels in (XNNPACK, BUILTIN):
        with LitertRunner(litert, tflite_model(model, softmax=True), kernels) as runner:
            found = runner.run(codes)["softmax"] - 128
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="session")
def compiler():
    try:
        return find_compiler()
    except NoCompiler as error:
        return pytest.skip(str(error))


@pytest.mark.parametrize("flags", [(), ("-O3", "-ffp-contract=fast"), ("-mfpmath=387",)], ids=" ".join)
@pytest.mark.parametrize("scale", [0.0131, *(pytest.param(scale, marks=pytest.mark.slow) for scale in (0.0943, 1.9))])
def test_every_code_of_the_compiled_softmax_is_numpys(scale, flags, compiler):
    model, codes = model_with(scale), logits_for(scale)
    expected = softmax_codes(codes, model.logits.scale)
    source = c_model(model, codes[:3], expected[:3], softmax=True)
    try:
        runner = CRunner(source, compiler, flags=("-Wall", "-Wextra", "-Werror", "-pedantic", *flags))
    except ExportError:
        assert flags and not flags[0].startswith("-O")
        pytest.skip(f"the compiler does not support {flags}")
    with runner:
        np.testing.assert_array_equal(runner.run(codes)["softmax"], expected)


def test_logits_of_fewer_bits_have_probabilities_too(compiler):
    model = model_with(0.7, bits=4)
    codes = logits_for(0.7, low=-8, high=7)
    expected = softmax_codes(codes, model.logits.scale)
    with CRunner(c_model(model, codes[:2], expected[:2], softmax=True), compiler) as runner:
        np.testing.assert_array_equal(runner.run(codes)["softmax"], expected)


@pytest.mark.usefixtures("quick_c")
def test_an_export_with_a_softmax_is_proven_by_its_logits(compiler, tmp_path):
    plain, softmax = (export_as("c", tmp_path / name, noise(), softmax=name == "softmax") for name in ("a", "softmax"))
    assert softmax.report.outputs == plain.report.outputs and softmax.report.layers == plain.report.layers
    assert not softmax.report.faults and "LiteRT's softmax" in softmax.report.to_text()
    golden = softmax.report.golden
    logits = golden["file_output"]
    np.testing.assert_array_equal(golden["output"], softmax_codes(logits.astype(np.int32), golden["logits_scale"]))
    header, readme = ((tmp_path / "softmax" / name).read_text() for name in ("chain.h", "README.md"))
    assert "#define CHAIN_OUTPUT_SCALE 0.00390625f" in header and "#define CHAIN_OUTPUT_ZERO_POINT (-128)" in header
    added = {path.name for path in softmax.paths} - {path.name for path in plain.paths}
    assert added == {"softmax", "qatviz_softmax.h"}
    assert "Probabilities: CHAIN_OUTPUT_SIZE codes" in readme and "output" not in plain.report.golden
    assert "Output: CHAIN_OUTPUT_SIZE codes" in (tmp_path / "a" / "README.md").read_text()


def test_a_softmax_that_the_compiler_changes_is_an_error(compiler, tmp_path, monkeypatch):
    run = CRunner.run

    def off_by_one(self, codes):
        return {name: found + (name == "softmax") for name, found in run(self, codes).items()}

    monkeypatch.setattr(CRunner, "run", off_by_one)
    with pytest.raises(ExportError, match="the compiled softmax differs from LiteRT's in 128 of 128 codes"):
        export_as("c", tmp_path / "net", noise(), softmax=True)
    assert not (tmp_path / "net").exists()


def test_logits_of_more_than_8_bits_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"logits.activations: 12 bits.*possible with logits.activations.num_bits=8"):
        export_as("c", tmp_path / "net", noise(), activations={"num_bits": 12}, softmax=True)
