"""Texts on a network on a chip, for window, report and terminal."""

import math
from typing import List, NamedTuple, Sequence

from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.analysis.chip.targets import Target
from qatviz.number_format import bytes_text, count, duration_text, percent_text, si

#: Explanations, for tooltips and the report.
FLASH_HELP = (
    "Bytes of the stored network as TFLite Micro has it, with weights of up to 4 bits two per byte; no program."
)
RAM_HELP = (
    "Arena of TFLite Micro: buffers by their time of use, placed as its greedy planner places them, scratch buffers of "
    "the kernels, and the data of the runtime with 32-bit pointers. Stack and firmware come in addition."
)
TIME_HELP = (
    "Cycles are fitted on published measurements of 8-bit kernels; fewer bits take the same time. Four of five "
    "predictions for chips, or networks on a chip, that the fit did not use are within the stated error. ≥: the "
    "network is smaller than all measured ones, so that costs of each call count, which are not known."
)
_NOT_MEASURED = "time not known for 16-bit activations"


class Fact(NamedTuple):
    """Part of the summary: name, value in brief and in full, and an explanation."""

    name: str
    brief: str
    value: str
    help: str


def error_text(target: Target) -> str:
    """Return the stated error of times: ``± 25 %``."""
    return f"± {100 * target.error:.0f} %"


def time_text(found: ChipEstimate) -> str:
    """Return the time on the target: ``12.3 ms on Cortex-M7 at 216 MHz ± 25 %``."""
    if math.isnan(found.cycles):
        return _NOT_MEASURED
    return f"{_duration(found)} on {found.target.place} {error_text(found.target)}"


def status_text(found: ChipEstimate) -> str:
    """Return flash, RAM and time: ``83 kB flash · 31 kB RAM · 12.3 ms on Cortex-M7 at 216 MHz ± 25 %``."""
    return " · ".join([f"{bytes_text(found.flash)} flash", f"{bytes_text(found.ram)} RAM", time_text(found)])


def brief_text(found: ChipEstimate) -> str:
    """Return :func:`status_text` without the target: ``83 kB flash · 31 kB RAM · 12.3 ms ± 25 %``."""
    return " · ".join([f"{bytes_text(found.flash)} flash", f"{bytes_text(found.ram)} RAM", _brief_time(found)])


def shortest_text(found: ChipEstimate) -> str:
    """Return RAM and time: ``31 kB RAM · 12.3 ms ± 25 %``."""
    return f"{bytes_text(found.ram)} RAM · {_brief_time(found)}"


def _brief_time(found: ChipEstimate) -> str:
    if math.isnan(found.cycles):
        return "time not known"
    return f"{_duration(found)} {error_text(found.target)}"


def _duration(found: ChipEstimate) -> str:
    """Return the time, with a mark if it is a lower bound."""
    return f"{'≥ ' if found.is_lower_bound else ''}{duration_text(found.seconds)}"


def facts(found: ChipEstimate) -> List[Fact]:
    """Return the summary of an estimate."""
    flash, arena = found.graph.flash, found.arena
    parts = (
        f"{bytes_text(flash.weights)} weights, {bytes_text(flash.biases)} biases, {bytes_text(flash.parameters)} "
        f"scales and zero points, {bytes_text(flash.graph)} graph"
    )
    buffers = f"{bytes_text(arena.head)} buffers, peak at {found.peak_layer}"
    time = time_text(found)
    if not math.isnan(found.cycles):
        time = f"{time}: {si(found.cycles)} cycles with {found.target.kernels.label}"
    return [
        Fact("Flash", bytes_text(flash.total), f"{bytes_text(flash.total)}: {parts}", FLASH_HELP),
        Fact(
            "RAM",
            bytes_text(arena.nbytes),
            f"{bytes_text(arena.nbytes)}: {buffers}; {bytes_text(arena.tail)} data of the runtime",
            RAM_HELP,
        ),
        Fact("MACs", si(found.macs), si(found.macs), "Multiplications with additions for one example."),
        Fact("Time", _brief_time(found), time, TIME_HELP),
    ]


def sources_text(target: Target) -> str:
    """Return where the measurements of the kernels on the core were published, in one sentence."""
    if not target.sources:
        return (
            f"{target.kernels.label} were not measured on {target.core.label}: the time follows from those on other "
            "cores and from the ratios of other kernels on both."
        )
    chips = list(dict.fromkeys(row.chip for row in target.sources))
    networks = sum(len(row.cycles) for row in target.sources)
    return f"Fitted on {count(networks, 'published measurement')} on {', '.join(chips)}, and on those of other kernels."


def source_lines(target: Target) -> Sequence[str]:
    """Return the published sources, each once."""
    return list(dict.fromkeys(row.source for row in target.sources))


def layer_text(found: ChipEstimate, name: str) -> str:
    """Return the cost of a layer, for tooltips: ``41.2 % of the cycles, 2.10M MACs, 12.3 kB RAM``."""
    layer = found.layer(name)
    if not layer.operations:
        return "no operation of its own"
    parts = [f"{si(layer.macs)} MACs", f"{bytes_text(layer.ram)} of buffers"]
    if not math.isnan(layer.cycles) and found.cycles:
        share = percent_text(layer.cycles / found.cycles)
        parts.insert(0, f"{si(layer.cycles)} cycles ({share}), {duration_text(found.target.seconds(layer.cycles))}")
    return ", ".join(parts)
