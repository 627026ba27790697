"""C on Cortex-M3, M4 (DSP extension) and M55 (Helium) in QEMU, and with CMSIS-NN's kernels: the simulator's codes."""

import re
from pathlib import Path

import numpy as np
import pytest
from cmsis_nn import DEFINITIONS, cmsis_nn_flags
from cortex_m import BOARDS, board_compiler, missing_tools
from integer_cases import model_of
from test_c_model import MORE, check_layers, compiler, sanitizers, source_of  # noqa: F401  (two are fixtures)
from test_c_vectors import extremes, many_channels
from test_tflite_lowering import everything

from qatviz.errors import ExportError
from qatviz.export.c.lowering import c_model
from qatviz.export.c.runner import CRunner
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import AveragePool, Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPool

STUBS = Path(__file__).resolve().parent / "cmsis_nn_stubs"
WITH_STUBS = (*DEFINITIONS, "-isystem", str(STUBS))
#: Numbers of the functions in the stand-in.
FUNCTIONS = {"convolve": 1, "depthwise": 2, "fully_connected": 3, "max_pool": 4, "average_pool": 5}
#: Settings of weights and activations; weights of 4 bits are packed.
SETTINGS = {
    **{name: MORE[name] for name in ("int8", "int4", "affine_by_channel")},
    "affine_int4": ({"num_bits": 4, "per_channel": True}, {}),
}
#: Flags of the variants of the loops for boards. Most windows are longer than 48 codes, and are summed in parts.
VARIANTS = {
    "best": (),
    "short windows": ("-DQATVIZ_NN_TAPS=16",),
    "portable": ("-DQATVIZ_NN_PORTABLE",),
    "small": ("-Os",),
    "smallest": ("-Os", "-DQATVIZ_NN_SMALL"),
}


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """Compilers by processor, whose programs run in QEMU."""
    missing = missing_tools()
    if missing:
        pytest.skip(missing)
    directory = tmp_path_factory.mktemp("boards")
    return {cpu: board_compiler(cpu, directory) for cpu in BOARDS}


def each_kernel():
    """Return a network with a layer for each of CMSIS-NN's functions."""
    net = NetworkBuilder("kernels", (9, 8, 5))
    net.add(Conv2D, "conv", filters=18, kernel_size=3, strides=2, padding="SAME")
    net.add(DepthwiseConv2D, "depthwise", kernel_size=3, padding="SAME")
    net.add(Conv2D, "pointwise", filters=9, kernel_size=1)
    net.add(MaxPool, "max_pool", pool_size=2, strides=1, padding="SAME")
    net.add(AveragePool, "average_pool", pool_size=3, strides=2, padding="SAME")
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=7)
    return net.network()


# Boards


@pytest.mark.parametrize("setting", ["int8", "int4"])
@pytest.mark.parametrize("cpu", ["cortex-m4", "cortex-m55"])
def test_instructions_of_boards_compute_the_integers_of_the_simulator(cpu, setting, boards):
    """Weights of 4 bits are packed; those of rows of an odd number are unpacked."""
    model = model_of(many_channels(), *MORE[setting])
    found = check_layers(model, boards[cpu], count=6, pack_int4=setting == "int4", optimized=True)
    assert all(len(np.unique(codes)) > 1 for codes in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("cpu", BOARDS)
def test_every_variant_computes_the_same_on_boards(cpu, variant, setting, boards):
    check_layers(model_of(many_channels(), *SETTINGS[setting]), boards[cpu], VARIANTS[variant], 6, True, optimized=True)


@pytest.mark.slow
@pytest.mark.parametrize("setting", sorted(MORE))
@pytest.mark.parametrize("cpu", BOARDS)
def test_every_kind_of_operation_computes_the_same_on_boards(cpu, setting, boards):
    check_layers(model_of(everything(), *MORE[setting]), boards[cpu], optimized=True)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", BOARDS)
def test_extreme_codes_and_weights_do_not_overflow_on_boards(cpu, boards):
    model, codes, expected = extremes()
    for flags in VARIANTS.values():
        with CRunner(c_model(model, codes[:1], expected["logits"][:1]), boards[cpu], True, flags) as runner:
            found = runner.run(codes)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])


def test_a_program_that_fails_its_self_test_on_a_board_is_reported(boards):
    """The emulated program's exit code is that of the process."""
    model = model_of(each_kernel(), *MORE["int8"])
    source = source_of(model)
    wrong = source.files["golden.h"].replace(b"golden_output[3][7] = {\n    {", b"golden_output[3][7] = {\n    {1 + ")
    assert wrong != source.files["golden.h"]
    with pytest.raises(ExportError, match="2 of 3 golden outputs"):
        CRunner(source._replace(files={**source.files, "golden.h": wrong}), boards["cortex-m4"])


# CMSIS-NN's kernels


@pytest.mark.parametrize("build", [each_kernel, everything])
def test_layers_by_cmsis_nn_have_the_same_codes(build, compiler, sanitizers):
    check_layers(model_of(build(), *MORE["int8"]), compiler, (*WITH_STUBS, *sanitizers))


@pytest.mark.slow
@pytest.mark.parametrize("setting", sorted(MORE))
def test_layers_that_cmsis_nn_does_not_support_have_the_same_codes(setting, compiler, sanitizers):
    check_layers(model_of(everything(), *MORE[setting]), compiler, (*WITH_STUBS, *sanitizers), pack_int4=True)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_kind_of_layer_is_computed_by_its_function(function, compiler):
    """With a wrong function the self test fails, unless that function refuses the layer."""
    source = source_of(model_of(each_kernel(), *MORE["int8"]))
    wrong, refuses = (f"-D{name}={FUNCTIONS[function]}" for name in ("STUB_WRONG", "STUB_REFUSES"))
    with pytest.raises(ExportError, match="of 3 golden outputs"):
        CRunner(source, compiler, flags=("-O0", *WITH_STUBS, wrong))
    CRunner(source, compiler, flags=("-O0", *WITH_STUBS, wrong, refuses)).close()


def test_without_enough_memory_for_cmsis_nn_the_runtime_computes_the_layer(compiler):
    source = source_of(model_of(each_kernel(), *MORE["int8"]))
    flags = ("-O0", *WITH_STUBS, f"-DSTUB_WRONG={FUNCTIONS['convolve']}", "-DQATVIZ_NN_CMSIS_BYTES=8")
    CRunner(source, compiler, flags=flags).close()


def test_cmsis_nn_without_single_rounding_does_not_compile(compiler):
    with pytest.raises(ExportError, match="define CMSIS_NN_USE_SINGLE_ROUNDING"):
        CRunner(source_of(model_of(each_kernel(), *MORE["int8"])), compiler, flags=(WITH_STUBS[0], *WITH_STUBS[2:]))


def test_a_program_only_parts_of_which_use_cmsis_nn_does_not_link(compiler):
    source = source_of(model_of(each_kernel(), *MORE["int8"]))
    text = b"#define QATVIZ_NN_USE_CMSIS_NN\n" + source.files["kernels.c"]
    with pytest.raises(ExportError, match="qnn_cmsis_conv2d"):
        CRunner(source._replace(files={**source.files, "kernels.c": text}), compiler)


def test_each_function_with_shifts_has_a_name_of_its_own_with_cmsis_nn():
    header = source_of(model_of(each_kernel(), *MORE["int8"])).files["qatviz_nn.h"].decode()
    structs = re.findall(r"typedef struct \{([^}]*)\} (\w+);", header)
    shifted = [name for fields, name in structs if "qnn_shift *" in fields]
    shifted += [name for fields, name in structs if any(f"{inner} " in fields for inner in shifted)]  # qnn_grouped_conv
    functions = set(re.findall(rf"^void (qnn_\w+)\(const (?:{'|'.join(shifted)}) \*", header, re.MULTILINE))
    plain = {name for name in functions if not name.startswith("qnn_cmsis_")}
    assert len(plain) >= 3 and functions - plain == {name.replace("qnn_", "qnn_cmsis_") for name in plain}
    assert set(re.findall(r"#define (qnn_\w+) qnn_cmsis_", header)) == plain


@pytest.mark.parametrize("processor", ["host", "cortex-m4", "cortex-m55"])
def test_cmsis_nn_itself_computes_the_same(processor, request):
    """With the library that $QATVIZ_CMSIS_NN names."""
    flags, missing = cmsis_nn_flags(processor)
    if missing:
        pytest.skip(missing)
    used = request.getfixturevalue("compiler") if processor == "host" else request.getfixturevalue("boards")[processor]
    for build in (each_kernel, everything):
        check_layers(model_of(build(), *MORE["int8"]), used, flags, optimized=True)
