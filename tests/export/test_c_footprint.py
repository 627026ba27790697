"""Sizes of compiled C in the proof: code, constants, static memory; the stack, compared with what a thread touches."""

import json
import shutil

import pytest
from export_cases import export_as
from integer_cases import model_of
from test_c_library import run
from test_c_model import MORE, compiler, dense, source_of  # noqa: F401  (a fixture)
from test_tflite_lowering import everything

from qatviz.export.c.footprint import _CALL_GRAPH, ARM, deepest_stack, footprint, footprints
from qatviz.export.c.runner import Compiler

#: Runs a network in a thread whose stack is filled with a pattern; prints how much of it changed below the start.
PAINTED = """\
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "everything.h"
static unsigned char stack[1 << 18] __attribute__((aligned(4096)));
static int8_t input[EVERYTHING_INPUT_SIZE], output[EVERYTHING_OUTPUT_SIZE];
static void *work(void *start)
{
    unsigned char here;
    *(unsigned char **)start = &here;
    everything_run(input, output);
    return 0;
}
int main(void)
{
    unsigned char *start, *deepest = stack;
    pthread_attr_t attributes;
    pthread_t thread;
    memset(stack, 0xA5, sizeof stack);
    if (pthread_attr_init(&attributes) || pthread_attr_setstack(&attributes, stack, sizeof stack)
        || pthread_create(&thread, &attributes, work, &start) || pthread_join(thread, 0))
        return 1;
    while (*deepest == 0xA5)
        deepest++;
    printf("%ld\\n", (long)(start - deepest));
    return 0;
}
"""


@pytest.fixture(scope="module")
def large():
    """A network with every kind of operation."""
    return source_of(model_of(everything(), *MORE["int8"]))


@pytest.fixture(scope="module")
def measured(compiler, large):
    """Its sizes in the machine's compiler and, if there is one, in that for Cortex-M."""
    found = footprints(large, compiler).found
    if not found or found[0].compiler != compiler.version or found[0].stack is None:
        pytest.skip(f"{compiler.version} lists no sizes, or no calls")
    return found


def test_the_stack_is_the_one_that_a_thread_touches(measured, compiler, large, tmp_path):
    for name, content in large.files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "painted.c").write_text(PAINTED)
    sources = ("painted.c", "everything.c", "qatviz_nn.c")
    # All symbols bound at the start: a later one would be looked up on the thread's stack.
    flags = ("-std=c99", "-Os", "-pthread", "-Wl,-z,now", "-o", "painted")
    run(tmp_path, *compiler.command, *flags, *sources)
    touched = int(run(tmp_path, tmp_path / "painted"))
    assert 0.9 * measured[0].stack <= touched <= measured[0].stack + 256


def test_sizes_are_those_of_what_the_network_calls(measured, compiler, large):
    found, portable = measured[0], ("-DQATVIZ_NN_PORTABLE", "-DQATVIZ_NN_TAPS=256")
    small = footprint(source_of(dense()), compiler, portable)
    assert 0 <= found.static_memory - large.arena < 8 and found.constants >= large.constants
    assert 0 < small.code < found.code and small.constants < found.constants
    words = [*compiler.command[1:], "-Os"]
    assert found.flags == " ".join(words) and small.flags == " ".join([*words, *portable])
    assert 2000 < small.stack < 6000 and small.stack <= found.stack


def test_the_compiler_for_cortex_m_is_measured_too(measured, large):
    if shutil.which(ARM) is None:
        pytest.skip(f"{ARM} is not on the PATH")
    host, arm = measured
    assert "cortex-m4" in arm.flags and ARM in arm.compiler
    assert 0 <= arm.static_memory - large.arena < 8 and arm.stack < 6000
    # Pointers have half the size.
    assert large.constants < arm.constants < host.constants
    assert footprints(large, None).found == (arm,)


# The call graph

GRAPH = """\
graph: {{ title: "a.c"
node: {{ title: "main" label: "main\\na.c:1:1\\n16 bytes (static)" }}
node: {{ title: "a.c:pointed" label: "pointed\\na.c:2:1\\n1000 bytes (dynamic,bounded)" }}
node: {{ title: "a.c:named" label: "named\\na.c:3:1\\n100 bytes (static)" }}
node: {{ title: "memcpy" label: "memcpy\\n<built-in>" shape : ellipse }}
node: {{ title: "__indirect_call" label: "Indirect Call Placeholder" shape : ellipse }}
edge: {{ sourcename: "main" targetname: "a.c:named" label: "a.c:4:1" }}
edge: {{ sourcename: "{0}" targetname: "{1}" label: "a.c:5:1" }}
}}
"""


@pytest.mark.parametrize(
    "source, target, depth",
    [
        ("main", "memcpy", 116),
        ("a.c:named", "other", 316),
        ("a.c:named", "__indirect_call", 1116),
        ("main", "a.c:pointed", 1016),
        ("a.c:named", "main", None),
    ],
)
def test_the_deepest_chain_of_calls(source, target, depth):
    """Functions in other files, functions that are called by their address, and recursion."""
    more = 'node: { title: "other" label: "other\\nb.c:1:1\\n200 bytes (static)" }\n'
    assert deepest_stack([GRAPH.format(source, target), more], "main") == depth
    assert deepest_stack([more], "main") is None


# The proof


def test_the_proof_of_a_library_states_the_sizes_of_its_code(compiler, measured, tmp_path, dataset):
    written = export_as("c", tmp_path / "net", dataset, library=True)
    assert written.report.outputs["file to simulator"] == (1.0, 0, 1.0)
    found = written.report.footprints
    record = json.loads((tmp_path / "net" / "parity.json").read_text())
    assert [each.to_record() for each in found] == record["footprints"] and found[0].compiler == compiler.version
    for text in ((tmp_path / "net" / name).read_text() for name in ("README.md", "parity.txt")):
        assert all(each.in_words() in text for each in found)
        assert f"stack {found[0].stack:,} bytes, compiled by {compiler.version} with {found[0].flags}" in text
    assert any(ARM in note for note in written.report.notes) == (shutil.which(ARM) is None)


def test_a_compiler_without_call_graphs_gives_sizes_only(compiler, measured, large, tmp_path):
    refusing = tmp_path / "refusing"
    command = " ".join(compiler.command)
    refusing.write_text(f'#!/bin/sh\ncase "$*" in *{_CALL_GRAPH}*) exit 1;; esac\nexec {command} "$@"\n')
    refusing.chmod(0o755)
    found = footprint(large, Compiler((str(refusing),), "none"))
    assert (
        found == measured[0]._replace(compiler="none", flags="-Os", stack=None)
        and "stack of unknown depth" in found.in_words()
    )


def test_a_compiler_that_fails_is_a_note(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    sizes = footprints(source_of(dense()), Compiler(("/bin/false",), "false 1"))
    assert sizes.found == () and len(sizes.notes) == 2
    assert sizes.notes[0].startswith("sizes of the code of false 1: not measured (false failed (1)")
    assert sizes.notes[1] == f"sizes for Cortex-M: not measured, {ARM} is not on the PATH"
