"""Exported C as a part of programs: C++, several networks, the caller's memory, hooks, and the layouts of a library."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from export_cases import export_as
from integer_cases import model_of
from test_c_cortex_m import FUNCTIONS, STUBS
from test_c_model import MORE, WARNINGS, compiler, dense  # noqa: F401  (one is a fixture)
from test_tflite_lowering import everything, images_for

from qatviz.export.c.lowering import c_model
from qatviz.export.integers.simulator import quantize_input, run_codes

#: Stands in for the board: prints to standard output, and ends the program after the first loop.
ARDUINO = """\
#pragma once
#include <cstdio>
#include <cstdlib>
static struct {
  void begin(unsigned long) {}
  template <class T> void print(T value) { std::fputs(text(value).c_str(), stdout); }
  template <class T> void println(T value) { print(value); std::puts(""); }
  static std::string text(const char *value) { return value; }
  template <class T> static std::string text(T value) { return std::to_string(value); }
} Serial;
static unsigned long micros() { static unsigned long now; return now += 7; }
static void delay(unsigned long) { std::exit(0); }
"""
SKETCH = '#include <string>\n#include "Arduino.h"\n#include "{0}"\nint main() {{ setup(); for (;;) loop(); }}\n'


@pytest.fixture(scope="module")
def cxx():
    """Command of a C++ compiler; CXX may contain flags, such as those of CC."""
    for command in map(shlex.split, filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++"))):
        if shutil.which(command[0]):
            return command
    return pytest.skip("there is no C++ compiler")


@pytest.fixture(scope="module")
def cmake():
    if shutil.which("cmake") is None:
        pytest.skip("there is no cmake")
    return "cmake"


def run(folder, *command, succeeds=True, **environment):
    """Return what a program prints."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=str(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ, **environment),
        check=False,
    )
    assert (done.returncode == 0) == succeeds, done.stdout
    return done.stdout


class Written:
    """Files of a model in a folder, with golden vectors."""

    def __init__(self, folder, model, count=3, **options):
        self.folder, self.model = folder, model
        self.codes = quantize_input(model, images_for(model, count))
        self.expected = run_codes(model, self.codes, [model.output])[model.output]
        self.source = c_model(model, self.codes, self.expected, **options)
        for name, content in self.source.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        self.name = self.source.stem
        self.code = folder / ("src" if options.get("library") else ".")

    def compile(self, compiler, *flags):
        """Compile network and kernels; return the paths of the object files."""
        sources = sorted(path.name for path in self.code.glob("*.c") if path.name != "main.c")
        run(self.code, *compiler.command, "-std=c99", "-O0", *WARNINGS, *flags, "-c", *sources)
        return [self.code / (name[:-1] + "o") for name in sources]

    def symbols(self, compiler, *flags):
        """Return ``{name: kind}`` of what a linker sees of the compiled files."""
        if shutil.which("nm") is None:
            pytest.skip("there is no nm")
        listed = run(self.code, "nm", "-g", *self.compile(compiler, *flags))
        return {name: kind for kind, name in re.findall(r"\b([A-Za-z]) (\w+)$", listed, re.MULTILINE)}


def program(networks, body):
    """Return a C++ program that runs the golden inputs of networks; ``body`` is for each of them."""
    lines = [f'#include "{network.name}.h"' for network in networks] + ['#include "qatviz_nn.h"', "#include <cstring>"]
    lines += ['static_assert(sizeof(int8_t) == 1, "");', "int main()", "{", "    int wrong = 0;"]
    for network in networks:
        values = {"name": network.name, "PREFIX": network.name.upper()}
        for number, (codes, expected) in enumerate(zip(network.codes, network.expected)):
            given, wanted = (", ".join(map(str, each.reshape(-1).tolist())) for each in (codes, expected))
            lines += [f"    {{ const int8_t given[] = {{{given}}}, expected[] = {{{wanted}}};"]
            lines += ["      " + body.format(number=number, **values)]
            lines += ["      wrong += std::memcmp(found, expected, sizeof expected) != 0; }"]
    return "\n".join([*lines, "    return wrong;", "}", ""])


RUN = "int8_t found[{PREFIX}_OUTPUT_SIZE]; {name}_run(given, found);"
RUN_IN = (
    "int64_t memory[({PREFIX}_ARENA_BYTES + 7) / 8]; int8_t found[{PREFIX}_OUTPUT_SIZE]; "
    "std::memset(memory, {number}, sizeof memory); {name}_run_in(memory, given, found);"
)


# One program


@pytest.mark.parametrize("body", [RUN, RUN_IN], ids=["own memory", "memory of the caller"])
def test_a_cplusplus_program_runs_two_libraries(body, compiler, cxx, tmp_path):
    """With other kernels each: those of one are compiled for rows of 16 numbers."""
    first = Written(tmp_path / "first", model_of(everything(), *MORE["int8"]), library=True)
    second = Written(tmp_path / "second", dense("other"), library=True)
    objects = first.compile(compiler) + second.compile(compiler, "-DQATVIZ_NN_TAPS=16")
    (tmp_path / "user.cpp").write_text(program([first, second], body))
    includes = [f"-I{each.code}" for each in (first, second)]
    run(tmp_path, *cxx, *WARNINGS, *includes, "-o", "user", "user.cpp", *objects)
    run(tmp_path, tmp_path / "user")
    first.expected[0, 0] ^= 1
    (tmp_path / "user.cpp").write_text(program([first, second], body))
    run(tmp_path, *cxx, *WARNINGS, *includes, "-o", "user", "user.cpp", *objects)
    run(tmp_path, tmp_path / "user", succeeds=False)


def test_networks_in_one_directory_share_the_kernels(compiler, cxx, tmp_path):
    networks = [Written(tmp_path, model_of(everything(), *MORE["int8"])), Written(tmp_path, dense("other"))]
    networks[0].compile(compiler)
    (tmp_path / "user.cpp").write_text(program(networks, RUN))
    run(tmp_path, *cxx, "-o", "user", "user.cpp", "everything.o", "other.o", "qatviz_nn.o")
    run(tmp_path, tmp_path / "user")


@pytest.mark.parametrize("softmax", [pytest.param(False, marks=pytest.mark.slow), True])
def test_all_names_of_a_library_begin_with_the_networks(softmax, compiler, tmp_path):
    written = Written(tmp_path, model_of(everything(), *MORE["int8"]), softmax=softmax, library=True)
    found = written.symbols(compiler)
    defined = {name for name, kind in found.items() if kind != "U"}
    assert {"everything_run", "everything_run_in", "everything_qnn_conv2d"} <= defined
    assert all(name.startswith("everything_") for name in defined)
    # Everything else is the C library's and the compiler's, whose names begin with "_".
    others = found.keys() - defined
    assert all(name.startswith("_") or name in ("memcpy", "memset", "memmove") for name in others)
    macros = set(re.findall(r"#define (\w+)", (written.code / "everything.h").read_text()))
    assert all(name.startswith("EVERYTHING_") for name in macros)


# Memory


def test_constants_are_read_only_and_memory_is_the_arena_only(compiler, tmp_path):
    if shutil.which("size") is None:
        pytest.skip("there is no size")
    written = Written(tmp_path, model_of(everything(), *MORE["int8"]))
    for flags, arena in (((), written.source.arena), (("-DEVERYTHING_NO_STATIC_ARENA",), 0)):
        names = set(written.symbols(compiler, "-fno-pic", *flags))
        listed = run(tmp_path, "size", "-A", "everything.o", "qatviz_nn.o")
        sizes = {}
        for name, size in re.findall(r"^\.(\w+)\S*\s+(\d+)", listed, re.MULTILINE):
            sizes[name] = sizes.get(name, 0) + int(size)
        assert sizes.get("data", 0) == 0 and 0 <= sizes.get("bss", 0) - arena < 8
        assert sizes["rodata"] >= written.source.constants
        assert ("everything_run" in names) == (not flags) and "everything_run_in" in names


# Hooks

HOOKS = """\
#include <stdio.h>
#define CHAIN_LAYER_BEGIN(index) printf("begin %d\\n", index)
#define CHAIN_LAYER_END(index) printf("end %d\\n", index)
"""
NAMES = """\
#include "chain.h"
#include <stdio.h>
int main(void)
{
    const char *const names[CHAIN_LAYERS] = CHAIN_LAYER_NAMES;
    int8_t input[CHAIN_INPUT_SIZE] = {0}, output[CHAIN_OUTPUT_SIZE];
    int i;
    for (i = 0; i < CHAIN_LAYERS; i++)
        puts(names[i]);
    chain_run(input, output);
    return 0;
}
"""


@pytest.mark.parametrize("library", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_hooks_are_invoked_around_each_layer(library, compiler, tmp_path):
    """Codes of 4 bits are clamped first, which is a step of its own."""
    written = Written(tmp_path, dense("chain", num_bits=4), library=library)
    (tmp_path / "hooks.h").write_text(HOOKS)
    (tmp_path / "names.c").write_text(NAMES)
    sources = [path for path in sorted(written.code.glob("*.c")) if path.name not in ("main.c", "names.c")]
    command = [*compiler.command, "-std=c99", *WARNINGS, f"-I{tmp_path}", f"-I{written.code}", "-o", "names", "names.c"]
    for flags, counted in (((), False), (('-DCHAIN_HOOKS="hooks.h"',), True)):
        run(tmp_path, *command, *sources, *flags)
        names, *hooks = run(tmp_path, tmp_path / "names").split("begin 0")
        assert names.split() == ["input", "hidden", "logits"]
        numbers = [f"{word} {index}" for index in range(3) for word in ("begin", "end")]
        assert ("begin 0" + hooks[0] if hooks else "").splitlines() == (numbers if counted else [])


def test_the_names_of_layers_are_those_of_the_network(compiler, tmp_path):
    source = Written(tmp_path, model_of(everything(), *MORE["int8"])).source
    text = source.files["everything.h"].decode().replace("\\\n", "")
    count, names = re.search(r"LAYERS (\d+)\n#define EVERYTHING_LAYER_NAMES {(.*?)}", text, re.DOTALL).groups()
    names = [name.strip(' "') for name in names.split(",")]
    calls = re.findall(r"^ +qnn_\w+\(&(\w+)_op", source.files["everything.c"].decode(), re.MULTILINE)
    assert names == calls and len(names) == int(count) > 10


# CMake


def built(cmake, folder, *settings):
    """Configure and build the project in a folder; return the folder of the build."""
    run(folder, cmake, "-S", ".", "-B", "build", "-DCMAKE_BUILD_TYPE=Debug", *settings)
    run(folder, cmake, "--build", "build")
    return folder / "build"


def test_cmake_builds_the_library_and_its_test(cmake, tmp_path):
    written = Written(tmp_path, dense(), library=True)
    build = built(cmake, tmp_path, f"-DCMAKE_C_FLAGS={' '.join(WARNINGS)}")
    assert "chain_golden_vectors" in run(build, "ctest") and list(build.glob("*chain*"))
    golden = tmp_path / "test" / "golden.h"
    before = ", ".join(map(str, written.expected[0].tolist()))
    after = ", ".join(map(str, (written.expected[0] ^ 1).tolist()))
    golden.write_text(golden.read_text().replace(before, after))
    assert "FAILED" in run(built(cmake, tmp_path), "ctest", succeeds=False)


@pytest.mark.slow
def test_a_cmake_project_uses_libraries_from_folders_and_installed(cmake, cxx, tmp_path):
    """One of them is named like a target that CMake reserves; in the project, neither builds its test."""
    first = Written(tmp_path / "first", dense("test"), library=True)
    second = Written(tmp_path / "second", model_of(everything(), *MORE["int8"]), library=True)
    run(built(cmake, first.folder), cmake, "--install", ".", "--prefix", tmp_path / "installed")
    (tmp_path / "main.cpp").write_text(program([first, second], RUN))
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.14)\nproject(user C CXX)\nenable_testing()\n"
        "if(INSTALLED)\n  find_package(qatviz_test REQUIRED CONFIG)\nelse()\n  add_subdirectory(first)\nendif()\n"
        "add_subdirectory(second)\nadd_executable(user main.cpp)\n"
        "target_link_libraries(user PRIVATE qatviz::test qatviz::everything)\nadd_test(NAME user COMMAND user)\n"
    )
    for settings in ((), ("-DINSTALLED=ON", f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}")):
        build = built(cmake, tmp_path, *settings)
        assert "100% tests passed, 0 tests failed out of 1" in run(build, "ctest")
        assert not list(build.rglob("qatviz_*_test"))
        shutil.rmtree(str(build))


#: Stands in for CMSIS-NN's build; its functions are in the header.
CMSIS_NN = "#ifndef CMSIS_NN_USE_SINGLE_ROUNDING\n#error it would round twice\n#endif\nint cmsis_nn;\n"
CMSIS_NN_PROJECT = """\
cmake_minimum_required(VERSION 3.14)
project(user C)
enable_testing()
add_library(cmsis-nn STATIC cmsis_nn.c)
target_include_directories(cmsis-nn SYSTEM PUBLIC {stubs})
set(CHAIN_CMSIS_NN {switch})
set(CHAIN_TEST ON)
set(CHAIN_INSTALL ON)
add_subdirectory(chain)
"""


@pytest.mark.parametrize("switch", ["ON", pytest.param("OFF", marks=pytest.mark.slow)])
def test_a_cmake_project_switches_cmsis_nn_on(switch, cmake, tmp_path):
    """A stand-in that computes dense layers wrongly fails the test of the library, if it is in use."""
    (tmp_path / "chain").mkdir()
    Written(tmp_path / "chain", dense(), library=True)
    (tmp_path / "cmsis_nn.c").write_text(CMSIS_NN if switch == "ON" else "int cmsis_nn;\n")
    (tmp_path / "CMakeLists.txt").write_text(CMSIS_NN_PROJECT.format(stubs=STUBS, switch=switch))
    assert "100% tests passed" in run(built(cmake, tmp_path), "ctest")
    wrong = built(cmake, tmp_path, f"-DCMAKE_C_FLAGS=-DSTUB_WRONG={FUNCTIONS['fully_connected']}")
    assert ("FAILED" in run(wrong, "ctest", succeeds=switch == "OFF")) == (switch == "ON")


def test_esp_idf_gets_the_sources_of_a_component(cmake, tmp_path):
    written = Written(tmp_path, dense(), library=True)
    (tmp_path / "idf.cmake").write_text(
        "set(ESP_PLATFORM 1)\nfunction(idf_component_register)\n"
        '  message(STATUS "registered ${ARGV}")\nendfunction()\ninclude(CMakeLists.txt)\n'
    )
    told = run(tmp_path, cmake, "-P", "idf.cmake")
    sources = [path for path in written.source.sources if path.startswith("src/")]
    assert f"registered SRCS;{';'.join(sources)};INCLUDE_DIRS;src\n" in told


# Arduino


def properties(folder):
    """Return the fields of library.properties."""
    lines = (folder / "library.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("name", ["lenet", "arduino_net", "_a/b-c", "x" * 200, "time"])
def test_the_library_follows_the_rules_of_arduino(name, tmp_path):
    """Rules of Arduino's library specification, with the numbers of Arduino Lint's."""
    model = dense(name)
    model.metadata["step"] = 1200
    written = Written(tmp_path, model, library=True)
    fields = properties(tmp_path)
    assert set(fields) == {
        *("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"),
        *("architectures", "includes"),
    }
    assert all(value.strip() == value and value for value in fields.values())
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9 _.\-]{0,62}", fields["name"])  # LP008 to LP011
    assert not fields["name"].lower().startswith("arduino")  # LP012
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.1200", fields["version"])  # LP020, LP021
    assert fields["category"] == "Data Processing" and fields["url"].startswith("https://")
    assert fields["architectures"] == "*" and fields["includes"] == written.name + ".h"
    assert (tmp_path / "src" / fields["includes"]).exists()  # LS001
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {"src", "examples", "test", "zephyr"}  # LS009 to LS012: no "utility", "extra", "Src"
    assert not list(tmp_path.rglob("*.exe")) and not (tmp_path / "src" / "library.properties").exists()
    (sketch,) = tmp_path.rglob("*.ino")
    assert sketch.stem == sketch.parent.name and len(sketch.stem) <= 63  # SS001, SS002
    assert re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9_.\-]*", sketch.stem)


@pytest.mark.parametrize("bits", [pytest.param(8, marks=pytest.mark.slow), 12])
def test_the_example_sketch_runs_a_golden_input(bits, compiler, cxx, tmp_path):
    written = Written(tmp_path, dense(num_bits=bits), library=True)
    objects = written.compile(compiler)
    sketch = tmp_path / "examples" / "chain"
    (sketch / "Arduino.h").write_text(ARDUINO)
    (sketch / "main.cpp").write_text(SKETCH.format("chain.ino"))
    command = [*cxx, "-std=c++11", *WARNINGS, f"-I{written.code}", "-o", "sketch", "main.cpp", *objects]
    run(sketch, *command)
    assert run(sketch, sketch / "sketch") == "as expected: 2 of 2 codes equal, 7 us\n"
    golden = (sketch / "golden.h").read_text()
    assert "#define GOLDEN_COUNT 1\n" in golden
    (sketch / "golden.h").write_text(golden.replace(f"{written.expected[0, 0]}, ", f"{written.expected[0, 0] ^ 1}, "))
    run(sketch, *command)
    assert run(sketch, sketch / "sketch").startswith("WRONG: 1 of 2 codes equal")


# Zephyr

ZEPHYR_DEFINITIONS = ("library_compile_definitions", "compile_definitions")
#: Stands in for Zephyr's build system: prints the calls of its functions.
ZEPHYR = "".join(
    f'function(zephyr_{name})\n  message(STATUS "{name} ${{ARGV}}")\nendfunction()\n'
    for name in ("library_named", "library_sources", "include_directories", *ZEPHYR_DEFINITIONS)
)


@pytest.mark.parametrize(
    "settings, definitions",
    [
        ({}, None),
        ({"CONFIG_QATVIZ_CHAIN": "y", "CONFIG_QATVIZ_CHAIN_HOOKS": ""}, []),
        (
            {"CONFIG_QATVIZ_CHAIN": "y", "CONFIG_QATVIZ_CHAIN_HOOKS": "hooks.h", "CONFIG_X86": "y"},
            ["QATVIZ_NN_PORTABLE", 'CHAIN_HOOKS="hooks.h"'],
        ),
        (
            {"CONFIG_QATVIZ_CHAIN": "y", "CONFIG_QATVIZ_CHAIN_CMSIS_NN": "y", "CONFIG_QATVIZ_CHAIN_CMSIS_NN_BYTES": 99},
            ["QATVIZ_NN_USE_CMSIS_NN;QATVIZ_NN_CMSIS_BYTES=99"],
        ),
    ],
)
def test_zephyr_compiles_the_sources_if_configured(settings, definitions, cmake, tmp_path):
    written = Written(tmp_path, dense(), library=True)
    values = "".join(f'set({name} "{value}")\n' for name, value in settings.items())
    (tmp_path / "zephyr" / "stub.cmake").write_text(
        ZEPHYR + values + "include(${CMAKE_CURRENT_LIST_DIR}/CMakeLists.txt)\n"
    )
    told = run(tmp_path / "zephyr", cmake, "-P", "stub.cmake")
    calls = [line[3:].split(" ", 1) for line in told.splitlines()]
    if definitions is None:
        assert calls == []
        return
    assert ["library_named", "qatviz_chain"] in calls
    assert [value for name, value in calls if name == "library_compile_definitions"] == definitions
    in_all = [value for name, value in calls if name == "compile_definitions"]
    assert in_all == ["CMSIS_NN_USE_SINGLE_ROUNDING"] * ("CONFIG_QATVIZ_CHAIN_CMSIS_NN" in settings)
    paths = [value.split(";") for name, value in calls if name in ("library_sources", "include_directories")]
    found = [os.path.relpath(path, str(tmp_path.resolve())) for part in paths for path in part]
    assert found == [path for path in written.source.sources if path.startswith("src/")] + ["src"]


def test_the_module_of_zephyr_names_its_files_and_settings(tmp_path):
    Written(tmp_path, dense(), library=True)
    lines = (tmp_path / "zephyr" / "module.yml").read_text().splitlines()
    assert lines[1:] == ["name: qatviz_chain", "build:", "  cmake: zephyr", "  kconfig: zephyr/Kconfig"]
    kconfig = (tmp_path / "zephyr" / "Kconfig").read_text()
    declared = re.findall(r"^config (\w+)$", kconfig, re.MULTILINE)
    used = re.findall(r"CONFIG_(QATVIZ_\w+)", (tmp_path / "zephyr" / "CMakeLists.txt").read_text())
    assert set(used) == set(declared) and len(declared) == 4


# The export


@pytest.mark.slow
@pytest.mark.parametrize("softmax", [False, True])
def test_an_exported_library_is_proven_and_checks_itself(softmax, compiler, tmp_path, dataset):
    written = export_as("c", tmp_path / "net", dataset, library=True, softmax=softmax, metadata={"step": 7})
    root = written.paths[0]
    assert written.report.outputs["file to simulator"] == (1.0, 0, 1.0) and not written.report.faults
    assert properties(root)["version"] == "1.0.7"
    readme = (root / "README.md").read_text()
    assert "add_subdirectory" in readme and "EXTRA_ZEPHYR_MODULES" in readme and "make test" not in readme
    for path in ("src/chain.h", "test/main.c", "examples/chain/chain.ino", "zephyr/module.yml"):
        assert f"- `{path}`" in readme and root / path in written.paths
    assert "as expected" in run(root, sys.executable, "check.py", CC=" ".join([*compiler.command, "-O1"]))
