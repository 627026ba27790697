"""Arenas: lifetimes, the peak, scratch buffers and the data of the runtime, on a graph counted by hand."""

import pytest

from qatviz.analysis.chip.arena import IN_PYTHON, ON_CHIP, Scratch, arena
from qatviz.analysis.chip.graph import Buffer, ChipGraph, FlashBytes, Operation
from qatviz.analysis.chip.work import Work, convolution, depthwise

FLASH = FlashBytes(0, 0, 0, 0)


def graph(*operations, sizes=(64, 256, 128, 128)):
    """A chain of operations on buffers of these sizes; the last operation also reads the first result (a branch)."""
    buffers = [Buffer(f"t{index}", size, False) for index, size in enumerate(sizes)]
    buffers.append(Buffer("weights", 100, True))
    return ChipGraph(tuple(buffers), tuple(operations), (0,), (3,), FLASH)


def convolutional(layer, inputs, output, **more):
    return Operation("CONV_2D", layer, (*inputs, 4), (output,), Work(), channels=8, **more)


CHAIN = (
    convolutional("a", (0,), 1, patch=27, kernel=(3, 3)),
    convolutional("b", (1,), 2),
    Operation("ADD", "c", (2, 1), (3,), Work()),
)


def test_buffers_live_from_their_producer_to_their_last_reader():
    found = arena(graph(*CHAIN))
    lives = {place.name: (place.first, place.last) for place in found.places}
    assert lives == {"t0": (-1, 0), "t1": (0, 2), "t2": (1, 2), "t3": (2, 2)}
    assert found.in_use == (64 + 256, 256 + 128, 256 + 128 + 128)
    assert found.head == 512 and found.peak == 2


@pytest.mark.parametrize(
    "scratch, expected",
    [
        (Scratch.REFERENCE, []),
        # Two patches of 27 values, rounded up to 28, as int16.
        (Scratch.DSP, [2 * 28 * 2]),
        # Four patches of 27 values, in vectors of 16 bytes.
        (Scratch.HELIUM, [4 * 32]),
    ],
)
def test_kernels_request_scratch_buffers(scratch, expected):
    found = arena(graph(*CHAIN), scratch)
    assert [place.nbytes for place in found.places if place.is_scratch] == expected
    assert all((place.first, place.last) == (0, 0) for place in found.places if place.is_scratch)


def test_reference_kernels_unpack_int4_weights_and_others_do_not():
    packed = convolutional("a", (0,), 1, patch=27, kernel=(3, 3), int4_weights=4096)
    found = arena(graph(packed, *CHAIN[1:]))
    assert found.head >= 4096 and found.peak == 0
    assert arena(graph(packed, *CHAIN[1:]), Scratch.DSP).head < 4096


def test_the_tail_has_the_data_of_tensors_operations_and_channels():
    chain, shorter = graph(*CHAIN), graph(*CHAIN[:2])
    # A node, no options, and the rounded data of ADD.
    assert arena(chain).tail - arena(shorter).tail == pytest.approx(ON_CHIP.node + 8 + 64, abs=16)
    assert arena(chain, layout=IN_PYTHON).tail > 1.5 * arena(chain).tail


def test_work_is_what_the_loops_of_a_kernel_do():
    assert convolution(25, 3, 8, 9) == Work(conv_macs=25 * 3 * 8 * 9, patch_values=25 * 27, outputs=200)
    assert convolution(25, 3, 8, 1).patch_values == 0
    assert depthwise(25, 8, 9).macs == 25 * 8 * 9
