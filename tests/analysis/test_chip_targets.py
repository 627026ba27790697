"""Targets: names, defaults, errors; and estimates on them."""

import math

import pytest

from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.graph import Buffer, ChipGraph, FlashBytes, Operation
from qatviz.analysis.chip.targets import CHIP_ERROR, DERIVED_ERROR, MEASURED_ERROR, names, target, targets
from qatviz.analysis.chip.work import convolution, dense
from qatviz.errors import SettingError


def test_defaults_are_the_first_library_and_a_common_clock():
    assert target().label == "CMSIS-NN on Cortex-M7 at 216 MHz"
    assert target("cortex-m4", mhz=80).label == "CMSIS-NN on Cortex-M4 at 80 MHz"
    assert target(kernels="xnnpack").core.name == "cortex-a72" and target("cortex-m0+").kernels.name == "reference"


def test_every_target_is_found_by_its_key():
    found = list(targets())
    assert [target(one.key) for one in found] == found and len({one.key for one in found}) == len(found)


def test_errors_are_larger_where_nothing_was_measured_together():
    assert target("cortex-m4").error == MEASURED_ERROR
    derived = target("cortex-m4", "reference")
    assert derived.error == DERIVED_ERROR and not derived.sources


def test_measured_chips_have_their_clock_and_a_smaller_error():
    chip = target("stm32h743")
    assert chip.label == "CMSIS-NN on STM32H743 at 480 MHz" and chip.part == "STM32H743 (Cortex-M7)"
    assert chip.error == CHIP_ERROR < target("cortex-m7").error and {row.chip for row in chip.sources} == {"STM32H743"}
    assert target("stm32h743", "reference").costs[0] > 5 * chip.costs[0] != target("cortex-m7").costs[0]
    assert target("ensemble-e8").error == DERIVED_ERROR and "psoc-62" not in names()


@pytest.mark.parametrize(
    "given, said",
    [
        (("cortex-m5",), "expected one of"),
        (("cortex-m4", "tvm"), "expected one of cmsis-nn"),
        (("cortex-m4", "xnnpack"), "XNNPACK are for cortex-a72"),
        (("cortex-m4", "cmsis-nn", -1), "expected a clock"),
        (("nrf5340", "x-cube-ai"), "those measured on nrf5340 are cmsis-nn"),
    ],
)
def test_unknown_targets_are_refused(given, said):
    with pytest.raises(SettingError, match=said):
        target(*given)


def graph(bits=8):
    buffers = (Buffer("input", 300, False), Buffer("a", 800, False), Buffer("b", 10, False))
    operations = (
        Operation("CONV_2D", "conv", (0,), (1,), convolution(100, 3, 8, 9)),
        Operation("RESHAPE", "logits", (1,), (1,), dense(1, 0, 0)),
        Operation("FULLY_CONNECTED", "logits", (1,), (2,), dense(1, 800, 10)),
    )
    return ChipGraph(buffers, operations, (0,), (2,), FlashBytes(10, 20, 30, 40), bits)


def test_layers_add_up_and_time_follows_from_the_clock():
    fast, slow = estimate(graph(), target("cortex-m7")), estimate(graph(), target("cortex-m7", mhz=108))
    assert [layer.layer for layer in fast.layers] == ["conv", "logits"]
    assert fast.layer("logits").operations == ("RESHAPE", "FULLY_CONNECTED")
    assert fast.macs == 100 * 3 * 8 * 9 + 8000 and fast.flash == 100
    assert fast.cycles == slow.cycles and slow.seconds == pytest.approx(2 * fast.seconds)
    assert fast.peak_layer == "conv" and fast.layer("none").operations == ()


def test_times_are_unknown_for_codes_that_were_not_measured():
    found = estimate(graph(16), target())
    assert math.isnan(found.cycles) and math.isnan(found.seconds) and found.ram > 0


def test_times_of_networks_smaller_than_all_measured_ones_are_lower_bounds():
    assert target().least_macs == 264_192 and target(kernels="xnnpack").least_macs > 2e8
    assert estimate(graph(), target()).is_lower_bound
    large = graph()._replace(operations=graph().operations * 10)
    assert not estimate(large, target()).is_lower_bound
    assert estimate(large, target(kernels="xnnpack")).is_lower_bound
