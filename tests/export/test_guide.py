"""README and check program beside every export: the formulas in the text, and what the program accepts and refuses."""

import functools
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from export_cases import INT8, export_as

from qatviz.data import from_arrays
from qatviz.export.c.runner import NoCompiler, find_compiler
from qatviz.export.formats import FORMATS
from qatviz.export.guide.guide import GOLDEN_KEYS, codes_of_values
from qatviz.quant.affine import choose_grid, quantize

pytestmark = pytest.mark.usefixtures("quick_c")

#: Options of formats whose file has another input or output.
VARIANTS = [
    *[(name, {}) for name in sorted(FORMATS)],
    ("tflite", {"softmax": True}),
    ("tflite-fakequant", {"softmax": True}),
    ("onnx", {"softmax": True, "layout": "nchw"}),
    ("onnx", {"storage": "int8"}),
    ("onnx-float", {"softmax": True, "layout": "nchw"}),
    ("frozen", {"form": "float"}),
]


def make(name, options, folder, dataset, **settings):
    """Export, and return the result with its README and its program, which may not exist."""
    if name.startswith("onnx"):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    written = export_as(name, folder / ("net" + FORMATS[name].suffix), dataset, **settings, **options)
    root = written.paths[0]
    beside = [
        root / part if root.is_dir() else root.with_name(f"{root.name}.{part}") for part in ("README.md", "check.py")
    ]
    return written, beside[0].read_text(encoding="utf-8"), beside[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory, dataset):
    """Return a function that exports a variant, once, and returns the result of :func:`make`."""

    @functools.lru_cache(maxsize=None)
    def export(variant):
        name, options = VARIANTS[variant]
        folder = tmp_path_factory.mktemp("variant")
        return make(name, options, folder, dataset, metadata={"step": 3}, examples=16)

    return export


def run(program):
    """Run a check program in this Python, which has every runtime that the proof used."""
    return subprocess.run([sys.executable, "-W", "ignore", str(program)], capture_output=True, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("variant", range(len(VARIANTS)), ids=lambda variant: str(VARIANTS[variant]))
def test_the_check_program_reproduces_the_golden_vectors_and_detects_others(variant, made, tmp_path):
    name, _ = VARIANTS[variant]
    if name == "c":
        try:
            find_compiler()
        except NoCompiler as missing:
            pytest.skip(str(missing))
    written, readme, program = made(variant)
    if name == "encodings":  # which no program runs
        assert not program.exists() and program not in written.paths
        return
    assert program in written.paths and f"`python {program.name}`" in readme
    done = run(program)
    assert done.returncode == 0 and "as expected" in done.stdout, done.stdout + done.stderr
    shutil.copytree(str(program.parent), str(tmp_path / "changed"))
    program = tmp_path / "changed" / program.name
    golden = next(path for path in program.parent.iterdir() if path.name.endswith("golden.npz"))
    with np.load(str(golden)) as arrays:
        vectors = {key: arrays[key] for key in arrays.files}
    for key in ("litert_output", "double_rounding_output", "output", "expected_output", "simulator_output"):
        if key in vectors:
            vectors[key] = np.roll(vectors[key], 1, axis=0)
    np.savez(str(golden), **vectors)
    done = run(program)
    assert done.returncode == 1 and "not reached" in done.stdout, done.stdout + done.stderr


#: Quotes that would end a literal, a template's and a format's fields, and characters that are not ASCII or not UTF-8.
ODD = 'a\'"""b\\{0}@file@ü🙂\n\x1b[31m' + os.fsdecode(b"\xff") + ".tflite"


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode elsewhere")
def test_files_of_any_name_have_a_readme_and_a_check_program(tmp_path, dataset):
    export_as("tflite", tmp_path / ODD, dataset, metadata={"data": "x\x1b\n"})
    readme = (tmp_path / f"{ODD}.README.md").read_text(encoding="utf-8")
    assert readme.startswith("# a'") and "\x1b" not in readme and "data x\\x1b\\n" in readme
    done = run(tmp_path / f"{ODD}.check.py")
    assert done.returncode == 0 and "as expected" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("variant", range(len(VARIANTS)), ids=lambda variant: str(VARIANTS[variant]))
def test_the_readme_explains_every_golden_vector_and_file(variant, made):
    written, readme, _ = made(variant)
    for key, array in written.report.golden.items():
        assert f"| `{key}` | {array.dtype.name} {list(array.shape)} | {GOLDEN_KEYS[key].split(' {')[0]}" in readme
    assert (
        "value = x * 0.003921569 for pixels x from 0 to 255, each operation rounded to float32." in readme
        and "step 3" in readme
    )
    assert "Classes, by index: 0 0, 1 1, 2 2, 3 3." in readme
    assert "## Sizes" in readme and f"({written.report.nbytes['file']:,} bytes)" in readme
    assert "{" not in readme and "@" not in readme
    root = written.paths[0]
    names = (
        [path.relative_to(root).as_posix() for path in written.paths[1:]]
        if root.is_dir()
        else [path.name for path in written.paths]
    )
    for file in names:
        if not file.endswith(("README.md", "check.py")):
            assert f"- `{file}`" in readme, file


#: Forms of the expected agreement in a README: relative, of probabilities, of logits, of codes.
STATED = [
    r" in (.+) for `expected_output` \(the evaluation\): at least \S+ % of the values within \S+, which is \S+ times "
    r"the largest absolute value, differences of at most (\S+), which is 0\.25 times it",
    r" in (.+) for `output` \(the integers of the network\): at least \S+ % of the values within 0\.00195, "
    r"differences of at most (\S+), both as probabilities",
    r" in (.+) for `output` \(the integers of the network\): at least \S+ % of the values equal, differences of at "
    r"most \d+ quantization steps? of the logits, each (\S+)",
    r"() for `\w+` \(.+\): at least \S+ % of the values equal, differences of at most (\d+) codes?",
]


@pytest.mark.parametrize("variant", range(len(VARIANTS)), ids=lambda variant: str(VARIANTS[variant]))
def test_the_readme_states_the_expected_agreement_with_its_unit(variant, made):
    (name, options), (written, readme, _) = VARIANTS[variant], made(variant)
    golden, stated = written.report.golden, re.findall("^- expected(.*)", readme, re.MULTILINE)
    assert bool(stated) == (name != "encodings")
    for line in stated:
        is_real = "output" in golden or "expected_output" in golden
        form = 3 if not is_real else 0 if "output" not in golden else 1 if options.get("softmax") else 2
        runtime, largest = re.fullmatch(STATED[form], line).groups()
        assert not name.startswith("onnx") or runtime == "onnxruntime"
        largest_expected = {0: lambda: np.abs(golden["expected_output"]).max() / 4, 2: lambda: golden["logits_scale"]}
        if form in largest_expected:
            assert float(largest) == pytest.approx(float(largest_expected[form]()), rel=0.01)


@pytest.mark.parametrize("weights, is_named", [(INT8, True), ({}, False)], ids=["int8", "uint8"])
def test_outputs_are_only_those_of_tflite_micro_if_it_runs_the_file(weights, is_named, tmp_path, dataset):
    written, readme, program = make("tflite", {}, tmp_path, dataset, weights=weights, examples=16)
    assert written.report.golden["double_rounding_output"].dtype == (np.int8 if is_named else np.uint8)
    for text in (readme, program.read_text(encoding="utf-8")):
        lines = [line for line in text.splitlines() if "double_rounding_output" in line]
        assert lines and all("TensorFlow 1.15" in line and ("TFLite Micro" in line) == is_named for line in lines)


@pytest.mark.parametrize("activations", [{}, {"num_bits": 16}, {"num_bits": 11, "symmetric": True}], ids=str)
@pytest.mark.parametrize("name", ["tflite", "c", "npz"])
@pytest.mark.always("c-{}", "tflite-*", "npz-*")
def test_the_formula_of_the_readme_gives_the_golden_input(name, activations, tmp_path, dataset):
    options = {"int16": True} if name == "tflite" and activations else {}
    if options and not activations.get("symmetric"):
        activations = dict(activations, symmetric=True)
    written, readme, _ = make(name, options, tmp_path, dataset, weights=INT8, activations=activations, examples=16)
    golden = written.report.golden
    expected = golden["file_input" if name == "tflite" else "input"]
    np.testing.assert_array_equal(evaluated(readme, golden["images"]), expected)
    bias, zero = re.search(r"logit = (\S+) \* \(code - \((-?\d+)\)\)", readme).groups()
    assert float(bias) == golden["logits_scale"] and int(zero) == golden["logits_zero_point"]


def evaluated(text, values):
    """Return the codes that the formula in a text gives, with all numbers in float32."""
    pattern = r"code = floor\(\(min\(max\(value, (\S+)\), (\S+)\) - \(?(\S+?)\)?\) / (\S+) \+ 0\.5\) ([-+] \d+), each "
    low, high, least, scale, first = re.search(pattern, text).groups()
    first = first.replace(" ", "")
    low, high, least, scale = (np.float32(number) for number in (low, high, least, scale))
    steps = (np.minimum(np.maximum(values, low), high) - least) / scale + np.float32(0.5)
    assert steps.dtype == np.float32
    return np.floor(steps).astype(np.int64) + int(first)


@pytest.mark.parametrize("bits, symmetric", [(8, False), (8, True), (4, False), (16, False), (16, True)])
def test_the_formula_is_the_definition_for_any_value(bits, symmetric):
    random = np.random.RandomState(bits)
    grid = choose_grid(-1.3, 2.9, bits, symmetric)
    # Ties and their neighbours are where formulas differ.
    ties = (grid.scale * (np.arange(-400, 400) + 0.5)).astype(np.float32)
    values = np.concatenate([random.uniform(-3, 4, 20000).astype(np.float32), ties, np.nextafter(ties, np.float32(9))])
    text = codes_of_values(grid, "int8", 5)
    np.testing.assert_array_equal(evaluated(text, values), quantize(values, grid).astype(np.int64) + 5)


def test_numbers_that_are_not_pixels_are_fed_as_they_are(tmp_path):
    random = np.random.RandomState(0)
    images, labels = random.standard_normal((80, 8, 8, 1)).astype(np.float32), (np.arange(80) % 4).astype(np.int32)
    data = from_arrays("noise", "a test", (images, labels), (images[:60], labels[:60]))
    _, readme, _ = make("npz", {}, tmp_path, data, examples=16)
    assert f"value = x: numbers are fed as they are in the data ({images[:60].min():.4g} to" in readme
