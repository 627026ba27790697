"""The timeline of buffers, and the texts on a network on a chip."""

import pytest

from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.graph import Buffer, ChipGraph, FlashBytes, Operation
from qatviz.analysis.chip.targets import target
from qatviz.analysis.chip.work import Work, convolution, dense, reading
from qatviz.presentation.buffer_timeline import BufferTimeline
from qatviz.presentation.chip_texts import brief_text, facts, layer_text, source_lines, sources_text, status_text
from qatviz.presentation.scene import Rects, Stroke, Text, estimated_metrics

METRICS = estimated_metrics(10.0, 6.0)
WIDTH, HEIGHT = 600.0, 300.0


def found(bits=8, layers=("conv", "pool", "logits")):
    """Convolution, pooling and a Dense layer; the pooling needs most buffers."""
    sizes = (("input", 64), ("conv_relu", 512), ("pool", 128), ("logits", 16))
    operations = (
        Operation("CONV_2D", layers[0], (0,), (1,), convolution(64, 1, 8, 9), 8, 9, (3, 3)),
        Operation("MAX_POOL_2D", layers[1], (1,), (2,), reading(512)),
        Operation("FULLY_CONNECTED", layers[2], (2,), (3,), dense(1, 128, 10), 1),
    )
    buffers = tuple(Buffer(name, size, False) for name, size in sizes)
    graph = ChipGraph(buffers, operations, (0,), (3,), FlashBytes(80_000, 1000, 1500, 500), bits)
    return estimate(graph, target("cortex-m7"))


@pytest.fixture
def timeline():
    return BufferTimeline(found(), WIDTH, HEIGHT, METRICS)


def test_a_point_is_a_buffer_in_an_operation(timeline):
    middle = timeline.left + 1.5 * timeline.column
    assert [timeline.operation_at(x) for x in (timeline.left - 1, timeline.left + 1, middle, WIDTH)] == [-1, 0, 1, -1]
    place = timeline.place_at(middle, timeline.bottom - 2)
    assert place.name == "conv_relu" and (place.offset, place.first, place.last) == (0, 0, 1)
    lines = timeline.text_at(middle, timeline.bottom - 2)
    assert lines[0] == "pool (MAX_POOL_2D): 640 B of buffers in use, the peak"
    assert "cycles" in lines[1] and lines[2] == "conv_relu: 512 B at address 0, needed until pool"
    assert timeline.text_at(0, 0) == []


def test_scratch_buffers_are_named(timeline):
    texts = [
        line for y in range(int(timeline.top), int(timeline.bottom)) for line in timeline.text_at(timeline.left + 2, y)
    ]
    assert any("scratch buffer of the kernel" in line for line in texts)


def test_buffers_are_drawn_as_large_as_they_are(timeline):
    shapes = timeline.shapes()
    boxes = [shape for shape in shapes if isinstance(shape, Rects) and shape.stroke == Stroke("base")]
    heights = sorted(float((box.bottom - box.top)[0]) for box in boxes[:-1])
    assert heights[-1] / heights[-2] == pytest.approx(512 / 128) and len(boxes) == 4 + 1 + 1
    bars = boxes[-1]
    tallest = (bars.bottom - bars.top).argmax()
    assert len(bars.top) == 3 and tallest == 0


def test_the_peak_is_named_and_the_selected_layer_framed(timeline):
    texts = [shape.text for shape in timeline.shapes() if isinstance(shape, Text)]
    assert "peak: pool" in texts and any(text.startswith("Cycles: ") for text in texts)
    framed = [s for s in timeline.shapes(["logits"]) if isinstance(s, Rects) and s.stroke == Stroke("accent", 1.5)]
    assert len(framed) == 1 and framed[0].left[0] == pytest.approx(timeline.left + 2 * timeline.column)


def test_the_status_names_flash_ram_and_time_with_its_error():
    assert status_text(found()).startswith("83 kB flash · ")
    assert status_text(found()).endswith(" on Cortex-M7 at 216 MHz ± 25 %") and "RAM" in status_text(found())
    assert "Cortex" not in brief_text(found()) and "± 25 %" in brief_text(found())


def test_times_of_codes_that_were_not_measured_are_not_shown():
    wide = found(16)
    assert (
        "not known" in status_text(wide)
        and "not known" in brief_text(wide)
        and "cycles" not in layer_text(wide, "conv")
    )
    texts = [s.text for s in BufferTimeline(wide, WIDTH, HEIGHT, METRICS).shapes() if isinstance(s, Text)]
    assert "Cycles: not known for 16-bit activations" in texts


def test_names_of_layers_that_are_too_long_still_differ():
    shapes = BufferTimeline(found(layers=("depthwise1", "depthwise2", "logits")), 200.0, HEIGHT, METRICS).shapes()
    lowest = max(shape.y for shape in shapes if isinstance(shape, Text))
    names = [shape.text for shape in shapes if isinstance(shape, Text) and shape.y == lowest][:2]
    assert [name[-1] for name in names] == ["1", "2"] and all("…" in name for name in names)


def test_facts_and_sources_explain_the_numbers():
    assert [fact.name for fact in facts(found())] == ["Flash", "RAM", "MACs", "Time"]
    assert "80 kB weights" in facts(found())[0].value and "peak at pool" in facts(found())[1].value
    assert "STM32H743" in sources_text(target("cortex-m7")) and len(source_lines(target("cortex-m7"))) >= 2
    assert "ratios of other kernels" in sources_text(target("cortex-m4", "reference"))
    assert layer_text(found(), "none") == "no operation of its own" and "% of" not in layer_text(found(), "pool")


def test_a_network_without_operations_is_drawn():
    empty = ChipGraph((Buffer("input", 16, False),), (), (0,), (0,), FlashBytes(0, 0, 0, 0))
    shown = BufferTimeline(estimate(empty, target()), WIDTH, HEIGHT, METRICS)
    assert shown.shapes() and shown.operation_at(shown.left + 5) == -1 and Work().macs == 0
