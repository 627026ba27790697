"""The formula of the input's codes: the texts of all formats, evaluated as they stand, and the compiled function."""

import json
import re
import subprocess

import numpy as np
import pytest
from export_cases import INT8, export_as, noise
from integer_cases import model_of, network_of
from test_c_model import compiler  # noqa: F401  (a fixture)

from qatviz.export.c.lowering import c_model
from qatviz.export.integers.input_formula import PRECISION, codes_formula, values_formula
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.network.layers import Dense
from qatviz.quant.affine import choose_grid, quantize

#: Parts of a formula that NumPy knows by other names.
NAMES = {"floor": np.floor, "min": np.minimum, "max": np.maximum}
GRIDS = {
    "pixels": (0.0, 1.0, 8, {}),
    "signed pixels": (-1.0, 1.0, 8, {}),
    "signed pixels, symmetric": (-1.0, 1.0, 8, {"symmetric": True, "narrow_range": True}),
    "few bits": (-0.3, 2.1, 3, {}),
    "12 bits": (-2.64, 2.82, 12, {}),
    "16 bits": (0.0, 0.9973, 16, {}),
    "16 bits, signed": (-0.9, 1.1, 16, {}),
}


def evaluated(text, value):
    """Return what a formula ``code = ...`` comes to for float32 values, with its numbers as float32."""
    name, formula = text.split(" = ")
    assert name == "code" and re.fullmatch(r"[-+*/(), \d.e]*", re.sub("floor|min|max|value", "", formula)), text
    formula = re.sub(r"(?<![\w.])\d[\d.]*(e[-+]?\d+)?", lambda match: f"f('{match.group()}')", formula)
    return eval(formula, dict(NAMES, value=value, f=np.float32)).astype(np.int64)


def grid_of(low, high, bits, settings):
    return choose_grid(np.float32(low), np.float32(high), bits, **settings)


def values_around(grid, count=4000):
    """Return pixels, values next to ties, values beyond the range, and others."""
    random = np.random.RandomState(0)
    low, high = grid.bounds
    ties = (random.randint(low, high, count) + 0.5 - float(grid.zero_point)) * np.float64(grid.scale)
    ties = ties.astype(np.float32)
    pixels = np.arange(256).astype(np.float32)
    ends = [np.nextafter(ties, np.float32(-9)), ties, np.nextafter(ties, np.float32(9))]
    others = random.uniform(float(grid.minimum) - 1, float(grid.maximum) + 1, count).astype(np.float32)
    return np.concatenate([pixels * np.float32(1 / 255), pixels / np.float32(127.5) - 1, *ends, others])


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_the_text_evaluated_in_float32_gives_the_codes_of_the_evaluation(name):
    grid = grid_of(*GRIDS[name])
    values = values_around(grid)
    expected = quantize(values, grid)
    np.testing.assert_array_equal(evaluated(codes_formula(grid), values), expected)
    assert expected.min() == grid.bounds[0] and expected.max() == grid.bounds[1]


@pytest.mark.parametrize("name", ["signed pixels", "16 bits"])
def test_a_formula_with_the_zero_point_is_another_function(name):
    grid = grid_of(*GRIDS[name])
    values = values_around(grid)
    position = np.floor(values.astype(np.float64) / float(grid.scale) + float(grid.zero_point) + 0.5)
    assert (np.clip(position, *grid.bounds) != quantize(values, grid)).any()


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Return the directory of exports with inputs of 16 bits."""
    directory, settings = tmp_path_factory.mktemp("wide"), {"num_bits": 16}
    export_as("c", directory / "c", noise(), activations=settings)
    export_as("npz", directory / "net.npz", noise(), activations=settings)
    return directory


def test_the_formula_of_each_text_gives_the_golden_input_at_16_bits(wide):
    readme, header = (wide / "c" / "README.md").read_text(), (wide / "c" / "chain.h").read_text()
    described = json.loads((wide / "net.json").read_text())
    texts = [readme, header, described["input_codes"]]
    for record in (wide / "c" / "parity.json", wide / "net.npz.parity.json"):
        texts.append(json.loads(record.read_text())["about"]["input"])
    texts += [(wide / "c" / "parity.txt").read_text(), (wide / "net.npz.parity.txt").read_text()]
    formulas = [re.search(r"code = .*\+ 0\.5\) [-+] \d+", text).group() for text in texts]
    assert len(set(formulas)) == 1 and all(PRECISION in text for text in texts)
    with np.load(str(wide / "net.npz.golden.npz")) as golden:
        found = evaluated(formulas[0], golden["images"])
        np.testing.assert_array_equal(found, golden["input"])
    assert "value = x * 0.003921569 for pixels x from 0 to 255" in readme


_PROGRAM = """
#include <stdio.h>
#include "chain.h"
int main(void)
{
    float value;
    while (fread(&value, sizeof value, 1, stdin) == 1)
        printf("%d\\n", (int)chain_input_code(value));
    return 0;
}
"""


@pytest.mark.parametrize("flags", [("-O2",), ("-mfpmath=387", "-O2"), ("-O0", "-fsanitize=undefined")])
@pytest.mark.parametrize("name", ["signed pixels", "few bits", "16 bits, signed"])
def test_the_compiled_function_gives_the_codes_of_the_evaluation(name, flags, compiler, tmp_path):
    low, high, bits, settings = GRIDS[name]
    network = network_of((3,), (Dense, "logits", {"units": 2}))
    model = model_of(network, None, dict(settings, num_bits=bits), {"input.activations": (low, high)})
    codes = quantize_input(model, np.zeros((1, 3), np.float32))
    source = c_model(model, codes, run_codes(model, codes, ["logits"])["logits"])
    (tmp_path / "chain.h").write_bytes(source.files["chain.h"])
    (tmp_path / "codes.c").write_text(_PROGRAM)
    command = [
        *compiler.command,
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pedantic",
        *flags,
        "codes.c",
        "-o",
        "codes",
    ]
    built = subprocess.run(command, cwd=str(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if built.returncode and flags[0] != "-O2":
        pytest.skip(f"the compiler does not support {flags[0]}")
    assert not built.returncode, built.stderr.decode()
    grid = model.tensor("input").grid
    values = values_around(grid)
    run = subprocess.run([str(tmp_path / "codes")], input=values.tobytes(), stdout=subprocess.PIPE, check=True)
    np.testing.assert_array_equal(np.array(run.stdout.split(), np.int64), quantize(values, grid))


def test_values_are_described_for_each_scaling():
    dataset = noise()
    assert values_formula(dataset) == "value = x * 0.003921569 for pixels x from 0 to 255"
    assert values_formula(dataset.with_scaling("signed")) == "value = x / 127.5 - 1 for pixels x from 0 to 255"
    assert values_formula(dataset.with_scaling("none")) == "value = x for examples x as they are in the data"


@pytest.mark.parametrize("scaling", ["unit", "signed"])
def test_graphs_describe_the_scaling_of_their_input(scaling, tmp_path):
    dataset = noise().with_scaling(scaling)
    export_as("savedmodel", tmp_path / "net", dataset, INT8, examples=4, form="float")
    about = json.loads((tmp_path / "net" / "about.json").read_text())
    assert about["input"]["values"] == values_formula(dataset)
