"""C code of integer models, compiled with all warnings, compared with the simulator: equal, not just close."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from integer_cases import MEANS_BY_POWERS, MeansByPowers, means_of_four, model_of, network_of
from test_lowering_float import random_chain
from test_tflite_lowering import SETTINGS, everything, images_for

import qatviz.export.c.lowering
from qatviz.errors import ExportError
from qatviz.export.c.arrays import weight_order
from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner, NoCompiler, find_compiler
from qatviz.export.integers.nibbles import packed_nibbles
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.network import zoo
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import (
    Add,
    AveragePool,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    Reshape,
    Softmax,
)
from qatviz.quant.softmax_codes import softmax_codes

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
#: Settings beyond those that TFLite supports.
MORE = dict(
    {name: parts for name, parts in SETTINGS.items() if name != "uint8 of 5 bits"},
    affine_by_channel=({"per_channel": True}, {"num_bits": 4}),
    wide_weights=({"num_bits": 12, "per_channel": True}, {}),
    wide=({"num_bits": 16}, {"num_bits": 13, "narrow_range": True}),
)
FEW_BITS = ("int4", "ternary")


@pytest.fixture(scope="session")
def compiler():
    try:
        return find_compiler()
    except NoCompiler as error:
        return pytest.skip(str(error))


@pytest.fixture(scope="session")
def sanitizers(compiler):
    """Return the flags of the sanitizers that work on this machine."""
    try:
        compiled(source_of(dense()), compiler, flags=SANITIZERS).close()
    except ExportError:
        return ()
    return SANITIZERS


def compiled(source, compiler, layers=False, flags=(), optimized=False):
    """Compile a model, by default without optimization, which would take longer than most programs run."""
    return CRunner(source, compiler, layers, WARNINGS + tuple(flags) + (() if optimized else ("-O0",)))


def dense(name="chain", **settings):
    net = NetworkBuilder(name, (4,))
    net.add(Dense, "hidden", units=5)
    net.add(Dense, "logits", units=2)
    return model_of(net.network(), {"symmetric": True, "num_bits": 4}, settings)


def source_of(model, count=3, pack_int4=False):
    codes = quantize_input(model, images_for(model, count))
    return c_model(model, codes, run_codes(model, codes, [model.output])[model.output], pack_int4)


def check_layers(model, compiler, flags=(), count=24, pack_int4=False, optimized=False):
    codes = quantize_input(model, images_for(model, count))
    expected = run_codes(model, codes, [op.output for op in model.ops])
    with compiled(source_of(model, pack_int4=pack_int4), compiler, True, flags, optimized) as runner:
        found = runner.run(codes)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], name)
    return found


@pytest.mark.parametrize("setting", sorted(MORE))
def test_every_kind_of_operation_equals_the_simulator(setting, compiler, sanitizers):
    found = check_layers(model_of(everything(), *MORE[setting]), compiler, sanitizers, pack_int4=setting in FEW_BITS)
    assert all(len(np.unique(codes)) > 1 for codes in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_chains_of_all_shapes_equal_the_simulator(seed, compiler, sanitizers):
    setting = sorted(MORE)[seed * 3]
    check_layers(model_of(random_chain(seed), *MORE[setting], seed=seed), compiler, sanitizers, 8)


@pytest.mark.parametrize(
    "name",
    ["mlp", "lenet"] + [pytest.param(name, marks=pytest.mark.slow) for name in ("dscnn", "resnet8", "mobilenet")],
)
def test_networks_of_the_zoo_equal_the_simulator(name, compiler):
    # Fewer pixels: the mlp has a weight for each pixel and unit.
    model = model_of(zoo.build(name, (12, 12, 1) if name == "mlp" else (28, 28, 1), 10), *SETTINGS["int8"])
    found = check_layers(model, compiler, count=4, optimized=name == "lenet")
    assert len(np.unique(found[model.output])) > 4


def test_the_shipped_build_outputs_logits_only(compiler):
    model = model_of(everything(), *SETTINGS["int8"])
    codes = quantize_input(model, images_for(model, 5))
    with compiled(source_of(model), compiler, optimized=True) as runner:
        found = runner.run(codes)
    assert set(found) == {"logits"}
    np.testing.assert_array_equal(found["logits"], run_codes(model, codes, ["logits"])["logits"])


# Rounding

#: Grid on which codes equal values: scale 1, zero point 0.
UNIT = (-128.0, 127.0)


@pytest.mark.parametrize("kind", [AveragePool, GlobalAveragePool])
def test_all_means_are_exact(kind, compiler):
    net = NetworkBuilder("means", (2, 2, 1))
    net.add(kind, "pool")
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=2)
    model = model_of(
        net.network(),
        {"symmetric": True},
        ranges={"input.activations": UNIT, "pool.activations": UNIT},
        logits__weights=[[0.1, 1.0]],
    )
    codes, means = means_of_four(kind)
    with compiled(source_of(model), compiler, layers=True) as runner:
        np.testing.assert_array_equal(runner.run(codes)["pool"].reshape(-1), means)


@pytest.mark.parametrize("size, halvings", MEANS_BY_POWERS)
@pytest.mark.always("7-1", "5--2", "7--1")
def test_means_with_power_of_two_scale_ratios_are_exact(size, halvings, compiler):
    case = MeansByPowers(size, halvings)
    with compiled(source_of(case.model), compiler, layers=True) as runner:
        np.testing.assert_array_equal(runner.run(case.codes)["means"], case.expected)


def test_a_result_is_rounded_once_half_up(compiler):
    """Halves of sums of both signs."""
    net = network_of((1,), (Dense, "halves", {"units": 1, "use_bias": False}), (Dense, "logits", {"units": 2}))
    model = model_of(
        net,
        {"num_bits": 2, "symmetric": True, "narrow_range": True},
        halves__weights=[[0.5]],
        ranges={"input.activations": UNIT, "halves.activations": UNIT},
    )
    codes = np.arange(-128, 128, dtype=np.int32)[:, None]
    with compiled(source_of(model), compiler, layers=True) as runner:
        np.testing.assert_array_equal(runner.run(codes)["halves"], (codes + 1) // 2)


def test_accumulators_of_more_than_32_bits_are_exact(compiler, sanitizers):
    count = 80000
    net = network_of((count,), (Dense, "logits", {"units": 2, "use_bias": False}))
    weights = np.stack([np.ones(count), np.where(np.arange(count) % 2, 1, -0.9)], axis=1)
    model = model_of(
        net,
        {},
        logits__weights=weights,
        ranges={"input.activations": (0.0, 1.0), "logits.activations": (-4000.0, 80000.0)},
    )
    assert model.ops[0].accumulator_bits > 32
    codes = np.stack([np.full(count, 127), np.full(count, -128), np.arange(count) % 256 - 128]).astype(np.int32)
    expected = run_codes(model, codes, ["logits"])["logits"]
    with compiled(c_model(model, codes[:1], expected[:1]), compiler, flags=sanitizers) as runner:
        np.testing.assert_array_equal(runner.run(codes)["logits"], expected)


def test_a_layer_named_output_is_not_computed_in_the_memory_of_the_output(compiler, sanitizers):
    net = network_of((4,), (Dense, "output", {"units": 300}), (Dense, "logits", {"units": 3}))
    model = model_of(net)
    codes = quantize_input(model, images_for(model, 5))
    expected = run_codes(model, codes, ["output", "logits"])
    probabilities = softmax_codes(expected["logits"], model.logits.scale)
    source = c_model(model, codes, probabilities, softmax=True)
    assert source.arena >= 300
    with compiled(source, compiler, flags=sanitizers) as runner:
        np.testing.assert_array_equal(runner.run(codes)["softmax"], probabilities)
    with compiled(source, compiler, True, sanitizers) as runner:
        np.testing.assert_array_equal(runner.run(codes)["output"], expected["output"])


@pytest.mark.parametrize("settings", [{"num_bits": 4}, {"narrow_range": True}, {"num_bits": 11}])
def test_input_codes_outside_the_grid_are_clamped(settings, compiler, sanitizers):
    model = dense(**settings)
    tensor = model.tensor("input")
    limits = np.iinfo(tensor.dtype)
    beyond = np.int32([[limits.min, limits.max, tensor.bounds[0] - 1, 0]])
    with compiled(source_of(model), compiler, flags=sanitizers) as runner:
        found, clamped = (runner.run(codes)["logits"] for codes in (beyond, np.clip(beyond, *tensor.bounds)))
    np.testing.assert_array_equal(found, clamped)
    np.testing.assert_array_equal(found, run_codes(model, np.clip(beyond, *tensor.bounds), ["logits"])["logits"])


# Weights of few bits


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_packed_codes_can_be_unpacked(bits, count):
    codes = np.random.RandomState(count).randint(-(2 ** (bits - 1)), 2 ** (bits - 1), count).astype(np.int8)
    stored = packed_nibbles(codes)
    assert stored.dtype == np.uint8 and len(stored) == (count + 1) // 2
    nibbles = np.stack([stored & 15, stored >> 4], axis=1).reshape(-1)[:count].astype(np.int8)
    np.testing.assert_array_equal(np.where(nibbles > 7, nibbles - 16, nibbles), codes)


@pytest.mark.parametrize("bits, packs", [(2, True), (4, True), (5, False), (8, False)])
def test_packing_halves_the_weights_of_up_to_four_bits(bits, packs):
    model = model_of(everything(), {"num_bits": bits, "symmetric": True, "per_channel": True})
    plain, small = (source_of(model, pack_int4=pack) for pack in (False, True))
    sizes = [weight_order(op).size for op in model.ops if op.weights is not None]
    assert plain.constants - small.constants == (sum(size // 2 for size in sizes) if packs else 0)
    assert ("QNN_INT4" in small.files["everything.c"].decode()) == packs


# Memory


def test_reported_sizes_equal_those_of_the_compiled_sections(compiler, tmp_path):
    """Compare with the sizes of the model's own sections in the compiled file."""
    model = model_of(everything(), *SETTINGS["int8"])
    source = source_of(model)
    for name, content in source.files.items():
        (tmp_path / name).write_bytes(content)
    if shutil.which("nm") is None:
        pytest.skip("there is no nm")
    subprocess.run([*compiler.command, "-std=c99", "-O1", "-c", "everything.c"], cwd=str(tmp_path), check=True)
    listed = subprocess.run(["nm", "-S", "everything.o"], cwd=str(tmp_path), check=True, stdout=subprocess.PIPE)
    sizes = {
        line.split()[3]: int(line.split()[1], 16)
        for line in listed.stdout.decode().splitlines()
        if len(line.split()) == 4
    }
    assert 0 <= sizes["arena"] - source.arena < 8
    arrays = sum(
        size for name, size in sizes.items() if not name.endswith(("_op", "_run", "_run_in", "_storage", "arena"))
    )
    assert arrays == source.constants
    assert f"#define EVERYTHING_ARENA_BYTES {source.arena}\n" in source.files["everything.h"].decode()


def test_the_runtime_uses_neither_allocation_nor_floating_point():
    names = ("qatviz_nn.h", "qatviz_nn.c", "qatviz_nn_vectors.h", "qatviz_nn_cortex_m.h", "qatviz_nn_cmsis.h")
    runtime = "".join(source_of(dense()).files[name].decode() for name in names)
    words = set(re.findall(r"\w+", re.sub(r"/\*.*?\*/", "", runtime, flags=re.DOTALL)))
    assert not words & {"malloc", "calloc", "realloc", "alloca", "free", "float", "double", "goto"}
    assert {"memcpy", "int64_t"} <= words


@pytest.mark.parametrize(
    "layers",
    [
        [(Flatten, "flat", {})],
        [(Reshape, "flat", {"target_shape": (4,)}), (Softmax, "softmax", {})],
        [(ReLU, "a", {}), (Dropout, "b", {})],
        [(MaxPool, "a", {}), (Flatten, "b", {})],
    ],
)
@pytest.mark.always("layers0", "layers3")
def test_networks_that_only_copy_codes(layers, compiler, sanitizers):
    check_layers(model_of(network_of((2, 2, 1), *layers)), compiler, sanitizers)


def test_a_layers_codes_are_kept_until_their_last_use(compiler, sanitizers):
    """Including layers without their own buffers, and a layer that uses them twice."""
    net = NetworkBuilder("kept", (4, 4, 2))
    first = net.add(Conv2D, "first", filters=2, kernel_size=1)
    flat = net.add(Flatten, "flat")
    net.add(Reshape, "back", target_shape=(4, 4, 2))
    for index in range(4):
        net.add(Conv2D, f"conv{index}", filters=2, kernel_size=3)
    net.add(Add, "sum", inputs=(net.last, first, first))
    net.add(Concat, "join", inputs=(net.last, net.last), axis=0)
    net.add(Flatten, "ends")
    net.add(Concat, "all", inputs=(net.last, flat))
    check_layers(model_of(net.network()), compiler, sanitizers)


# Names


@pytest.mark.parametrize("name", ["main", "int", "qatviz_nn", "qatviz_nn_cmsis", "_a/b-c", "x" * 200, "CON", "string"])
@pytest.mark.always("xxx*", "int", "CON", "_a/b-c")
def test_any_network_name_compiles(name, compiler, tmp_path):
    model = dense(name)
    source = source_of(model)
    assert len({file.lower() for file in source.files}) == 10
    assert all(re.fullmatch(r"[A-Za-z0-9_]{1,60}\.(c|h)|Makefile", file) for file in source.files)
    compiled(source, compiler).close()


def test_layers_may_be_named_like_keywords_and_functions_of_c(compiler):
    names = [
        "int",
        "main",
        "memcpy",
        "a/b",
        "a-b",
        "a_b",
        "a_b_2",
        "_x",
        "output",
        "arena",
        "stdin",
        "x" * 70,
        "x" * 71,
        "a_b_weights",
        "a",
        "a_weights",
        "NULL",
        "qnn_conv2d",
        "chain_run",
        "DUMP",
    ]
    model = model_of(network_of((3,), *[(Dense, name, {"units": 3}) for name in names]))
    check_layers(model, compiler, count=4)
    text = source_of(model).files["chain.c"].decode()
    assert all(f'"{name}"' in text for name in names)


def test_user_text_cannot_end_its_comment(compiler):
    model = dense()
    model.metadata.update({"run": 'a */ int x; /* "', "two\nlines": "??/\\", "bidi": "\u202e\u00e9", "n": 3})
    source = source_of(model)
    compiled(source, compiler).close()
    header = source.files["chain.h"].decode("ascii")
    assert "run: a * / int x; / * " in header and "<U+202E>" in header and "two<U+000A>lines" in header


# The self test


def test_the_self_test_fails_for_a_wrong_output(compiler):
    model = dense()
    codes = quantize_input(model, images_for(model, 3))
    expected = run_codes(model, codes, ["logits"])["logits"]
    compiled(c_model(model, codes, expected), compiler).close()
    expected[2, 1] += 1
    with pytest.raises(ExportError, match=r"chain_test failed \(1\): chain: 2 of 3 golden outputs"):
        compiled(c_model(model, codes, expected), compiler)


def test_make_test_runs_the_self_test(compiler, tmp_path):
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    for name, content in source_of(dense()).files.items():
        (tmp_path / name).write_bytes(content)
    told = subprocess.run(
        ["make", "-s", "CC=" + " ".join(compiler.command)], cwd=str(tmp_path), check=True, stdout=subprocess.PIPE
    )
    assert told.stdout.decode().strip() == "chain: 3 of 3 golden outputs are the expected codes"
    assert (tmp_path / "chain_test").exists()


def test_the_program_refuses_an_incomplete_input(compiler, tmp_path):
    for name, content in source_of(dense()).files.items():
        (tmp_path / name).write_bytes(content)
    program = str(tmp_path / "program")
    sources = ["main.c", "chain.c", "qatviz_nn.c"]
    subprocess.run([*compiler.command, "-o", program, *sources], cwd=str(tmp_path), check=True)
    for given, args, code in (
        (b"123", ["--run"], 1),
        (b"", ["--run"], 0),
        (b"1234", ["--run"], 0),
        (b"", ["--help"], 2),
    ):
        done = subprocess.run([program, *args], input=given, capture_output=True)
        assert (done.returncode, len(done.stdout)) == (code, 2 * (len(given) // 4))


@pytest.mark.parametrize(
    "folder, names",
    [
        (
            "runtime",
            [
                "Makefile",
                "README.txt",
                "main.c",
                "qatviz_nn.c",
                "qatviz_nn.h",
                "qatviz_nn_cmsis.h",
                "qatviz_nn_cortex_m.h",
                "qatviz_nn_vectors.h",
                "qatviz_softmax.h",
                "sources.txt",
            ],
        ),
        (
            "layout",
            [
                "CMakeLists.txt",
                "Kconfig",
                "README.txt",
                "library.properties",
                "module.yml",
                "sketch.ino",
                "zephyr.cmake",
            ],
        ),
    ],
)
def test_templates_are_package_data(folder, names):
    directory = Path(qatviz.export.c.lowering.__file__).with_name(folder)
    assert sorted(path.name for path in directory.iterdir()) == names
