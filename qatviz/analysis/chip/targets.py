"""Targets of estimates: a library of kernels on a core with a clock."""

from functools import lru_cache
from typing import Dict, Iterator, List, Mapping, NamedTuple, Tuple

import numpy as np

from qatviz.analysis.chip.arena import Scratch
from qatviz.analysis.chip.fit import Fit, fitted
from qatviz.analysis.chip.measurements import Measurement, published
from qatviz.analysis.chip.work import macs_of
from qatviz.errors import SettingError, did_you_mean

#: Errors of estimated cycles, as fractions: four of five predictions differ less from the measurement. For other
#: networks on a chip that was measured; for other chips with a core that was measured; and for kernels and cores that
#: were measured apart, or on a single chip, on which this could not be tested.
CHIP_ERROR, MEASURED_ERROR, DERIVED_ERROR = 0.15, 0.25, 0.3
#: Number of chips from which on an error is that of predictions for other chips.
_ENOUGH_CHIPS = 2
_KHZ = 1000.0


class Core(NamedTuple):
    """Processor core.

    Attributes
    ----------
    name, label : str
    mhz : int
        Clock of ``chip``, used unless another is given.
    chip : str
    scratch : Scratch
        Kind of CMSIS-NN's kernels on the core.
    threads : int
        Number of cores that compute.
    """

    name: str
    label: str
    mhz: int
    chip: str
    scratch: Scratch
    threads: int = 1


class Kernels(NamedTuple):
    """Library of kernels.

    Attributes
    ----------
    name, label, about : str
    families : tuple of (str, str)
        Core, and the name of the kernels among the measurements.
    """

    name: str
    label: str
    about: str
    families: Tuple[Tuple[str, str], ...]

    @property
    def cores(self) -> Tuple[str, ...]:
        """Names of the cores, the first being the most common."""
        return tuple(core for core, _ in self.families)


CORES: Dict[str, Core] = {
    core.name: core
    for core in (
        Core("cortex-m0+", "Cortex-M0+", 64, "STM32G0B1", Scratch.REFERENCE),
        Core("cortex-m4", "Cortex-M4", 120, "STM32L4R5", Scratch.DSP),
        Core("cortex-m33", "Cortex-M33", 160, "STM32U575", Scratch.DSP),
        Core("cortex-m7", "Cortex-M7", 216, "STM32F746", Scratch.DSP),
        Core("cortex-m55", "Cortex-M55", 400, "Ensemble E8", Scratch.HELIUM),
        Core("cortex-m85", "Cortex-M85", 480, "RA8D1", Scratch.HELIUM),
        Core("cortex-a53", "4 × Cortex-A53", 1400, "BCM2837B0", Scratch.REFERENCE, 4),
        Core("cortex-a72", "4 × Cortex-A72", 1500, "BCM2711", Scratch.REFERENCE, 4),
    )
}
_HELIUM = "cmsis-nn-helium"
#: Kernels that were measured on one chip for each core, by different networks: nothing tests them on a chip.
_SINGLE = (_HELIUM,)
KERNELS: Dict[str, Kernels] = {
    kernels.name: kernels
    for kernels in (
        Kernels(
            "cmsis-nn",
            "CMSIS-NN",
            "Arm's kernels, as TFLite Micro and others use them",
            (
                ("cortex-m7", "cmsis-nn"),
                ("cortex-m4", "cmsis-nn"),
                ("cortex-m33", "cmsis-nn"),
                ("cortex-m55", _HELIUM),
                ("cortex-m85", _HELIUM),
            ),
        ),
        Kernels(
            "x-cube-ai",
            "X-CUBE-AI",
            "STMicroelectronics' kernels, version 10",
            tuple((core, "x-cube-ai") for core in ("cortex-m7", "cortex-m4", "cortex-m33")),
        ),
        Kernels(
            "reference",
            "Reference kernels",
            "TFLite Micro's kernels in plain C++",
            tuple((core, "reference") for core in ("cortex-m7", "cortex-m4", "cortex-m33", "cortex-m0+")),
        ),
        Kernels(
            "xnnpack",
            "XNNPACK",
            "LiteRT's kernels on phones and single-board computers",
            tuple((core, "xnnpack") for core in ("cortex-a72", "cortex-a53")),
        ),
    )
}


class Target(NamedTuple):
    """Kernels on a core with a clock.

    Attributes
    ----------
    core : Core
    kernels : Kernels
    mhz : float
    chip : str
        Chip on which the kernels were measured; empty for an average chip with the core.
    """

    core: Core
    kernels: Kernels
    mhz: float
    chip: str = ""

    @property
    def name(self) -> str:
        """Name of the chip, or of the core."""
        return _slug(self.chip) or self.core.name

    @property
    def key(self) -> str:
        """Name by which the choice is remembered: ``cmsis-nn/cortex-m7``."""
        return f"{self.kernels.name}/{self.name}"

    @property
    def part(self) -> str:
        """Core, or chip with its core: ``Cortex-M7``, ``STM32H743 (Cortex-M7)``."""
        return f"{self.chip} ({self.core.label})" if self.chip else self.core.label

    @property
    def example(self) -> str:
        """The chip, or a common one with the core."""
        return self.chip or self.core.chip

    @property
    def place(self) -> str:
        """Core or chip, and clock: ``Cortex-M7 at 216 MHz``."""
        return f"{self.chip or self.core.label} at {self.mhz:g} MHz"

    @property
    def label(self) -> str:
        """Name for display: ``CMSIS-NN on Cortex-M7 at 216 MHz``."""
        return f"{self.kernels.label} on {self.place}"

    @property
    def family(self) -> str:
        """Name of the kernels among the measurements."""
        return dict(self.kernels.families)[self.core.name]

    @property
    def scratch(self) -> Scratch:
        """Kind of the kernels' scratch buffers."""
        return self.core.scratch if self.kernels.name == "cmsis-nn" else Scratch.REFERENCE

    @property
    def sources(self) -> Tuple[Measurement, ...]:
        """Measurements of the kernels on the core, or on the chip; none if they were measured apart."""
        rows = [row for row in published().rows if (row.kernels, row.core) == (self.family, self.core.name)]
        return tuple(row for row in rows if self.chip in ("", row.chip))

    @property
    def error(self) -> float:
        """Stated error of cycles, as a fraction."""
        if self.family in _SINGLE:
            return DERIVED_ERROR
        if self.chip:
            return CHIP_ERROR
        chips = {row.chip for row in self.sources}
        return MEASURED_ERROR if len(chips) >= _ENOUGH_CHIPS else DERIVED_ERROR

    @property
    def least_macs(self) -> int:
        """Multiplications of the smallest network that was measured with the kernels, on any core."""
        measurements = published()
        names = {name for row in measurements.rows if row.kernels == self.family for name in row.cycles}
        return int(min(macs_of(measurements.work[name]) for name in names))

    @property
    def costs(self) -> np.ndarray:
        """Cycles by quantity of :class:`qatviz.analysis.chip.work.Work`, float64."""
        return _fit().cycles(self.family, self.core.name, chip=self.chip)

    def seconds(self, cycles: float) -> float:
        """Return the time of a number of cycles."""
        return cycles / (self.mhz * _KHZ * _KHZ)


_FIT: List[Fit] = []


def _fit() -> Fit:
    """Return the fit on all measurements, made once: it takes some tenths of a second. Safe on any thread."""
    if not _FIT:
        measurements = published()
        _FIT.append(fitted(measurements.work, measurements.rows))
    return _FIT[0]


def target(core: str = "", kernels: str = "", mhz: float = 0.0) -> Target:
    """Return a target.

    Parameters
    ----------
    core : str
        Name of a core or of a measured chip, ``kernels/name`` as in :attr:`Target.key`, or empty for the default of the
        kernels.
    kernels : str
        Name of kernels; empty for the first that were measured on the core.
    mhz : float
        Clock; 0 for that of a common chip.

    Raises
    ------
    SettingError
        If there is no such core or library, or the library has no estimate for the core.
    """
    if "/" in core:
        kernels, _, core = core.partition("/")
    known = names()
    if core and core not in known:
        close = did_you_mean(core, known)
        raise SettingError.of_field("chip", f"is {core!r}: expected one of {', '.join(known)}.{close}")
    if kernels and kernels not in KERNELS:
        raise SettingError.of_field("kernels", f"is {kernels!r}: expected one of {', '.join(KERNELS)}")
    if mhz < 0:
        raise SettingError.of_field("clock", f"is {mhz:g}: expected a clock in MHz")
    if core in _chips():
        return _on_chip(core, kernels, mhz)
    chosen = [k for k in KERNELS.values() if (k.name == kernels or not kernels) and (core in k.cores or not core)]
    if not chosen:
        cores = ", ".join(KERNELS[kernels].cores)
        raise SettingError.of_field("chip", f"is {core!r}: estimates of {KERNELS[kernels].label} are for {cores}")
    found = CORES[core or chosen[0].cores[0]]
    return Target(found, chosen[0], mhz or float(found.mhz))


def _on_chip(name: str, kernels: str, mhz: float) -> Target:
    found = [one for one in _chips()[name] if kernels in ("", one.kernels.name)]
    if not found:
        measured = ", ".join(one.kernels.name for one in _chips()[name])
        raise SettingError.of_field("kernels", f"is {kernels!r}: those measured on {name} are {measured}")
    return found[0]._replace(mhz=mhz or found[0].mhz)


def _slug(chip: str) -> str:
    return chip.lower().replace(" ", "-")


@lru_cache(maxsize=None)
def _chips() -> Mapping[str, Tuple[Target, ...]]:
    """Return the measured chips by name, with the libraries that were measured on them."""
    found: Dict[str, List[Target]] = {}
    for kernels in KERNELS.values():
        for core, family in kernels.families:
            rows = [row for row in published().rows if (row.kernels, row.core) == (family, core)]
            for chip, mhz in dict.fromkeys((row.chip, row.mhz) for row in rows):
                found.setdefault(_slug(chip), []).append(Target(CORES[core], kernels, float(mhz), chip))
    return {name: tuple(known) for name, known in found.items()}


def names() -> Tuple[str, ...]:
    """Return the names of cores and of measured chips."""
    return (*CORES, *_chips())


def targets() -> Iterator[Target]:
    """Yield all kernels on all their cores, with common clocks, and on all chips on which they were measured."""
    for kernels in KERNELS.values():
        for core in kernels.cores:
            yield target(core, kernels.name)
        for known in _chips().values():
            yield from (one for one in known if one.kernels is kernels)
