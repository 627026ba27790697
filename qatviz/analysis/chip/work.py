"""Work of a kernel, in the quantities that its time depends on.

A convolution multiplies, copies the patches under its kernel unless that is 1×1, and requantizes its outputs. These
quantities, each with its own number of cycles, describe the time of one layer; measured layers of MobileNetV2 on a
Cortex-M55 agree with the sum within a few percent (``measurements.json``).
"""

from typing import Iterable, NamedTuple, Tuple

import numpy as np


class Work(NamedTuple):
    """Numbers of elementary operations of a layer, for one example.

    Attributes
    ----------
    conv_macs, depthwise_macs, dense_macs : int
        Multiplications of convolutions, of depthwise convolutions, and of matrices.
    patch_values : int
        Values that are copied into patches: of convolutions with kernels larger than 1×1.
    outputs : int
        Values that are requantized: outputs of convolutions and Dense layers.
    values : int
        Values that other operations read: sums, pooling, functions, copies.
    """

    conv_macs: int = 0
    patch_values: int = 0
    depthwise_macs: int = 0
    dense_macs: int = 0
    outputs: int = 0
    values: int = 0

    @property
    def macs(self) -> int:
        """All multiplications."""
        return self.conv_macs + self.depthwise_macs + self.dense_macs

    def plus(self, other: "Work") -> "Work":
        """Return the work of both."""
        return Work(*(a + b for a, b in zip(self, other)))


#: Number of quantities.
QUANTITIES = len(Work._fields)


def convolution(positions: int, inputs: int, outputs: int, kernel: int) -> Work:
    """Return the work of a convolution: positions of the output, channels (of a group's input), size of the kernel."""
    patches = positions * inputs * kernel if kernel > 1 else 0
    return Work(conv_macs=positions * inputs * outputs * kernel, patch_values=patches, outputs=positions * outputs)


def depthwise(positions: int, outputs: int, kernel: int) -> Work:
    """Return the work of a depthwise convolution with ``outputs`` channels."""
    return Work(depthwise_macs=positions * outputs * kernel, outputs=positions * outputs)


def dense(rows: int, inputs: int, outputs: int) -> Work:
    """Return the work of a product of ``rows`` vectors and a matrix."""
    return Work(dense_macs=rows * inputs * outputs, outputs=rows * outputs)


def reading(values: int) -> Work:
    """Return the work of an operation that reads values."""
    return Work(values=values)


def work_of_row(kind: str, positions: int, inputs: int, outputs: int, kernel: int) -> Work:
    """Return the work of a layer of the published networks: ``conv``, ``dw``, ``fc``, ``pool`` or ``values``."""
    if kind == "conv":
        return convolution(positions, inputs, outputs, kernel)
    if kind == "dw":
        return depthwise(positions, outputs, kernel)
    if kind == "fc":
        return dense(positions, inputs, outputs)
    return reading(positions * outputs * kernel)


def macs_of(work: np.ndarray) -> float:
    """Return the multiplications in a sum of :func:`total`."""
    return float(sum(work[Work._fields.index(name)] for name in ("conv_macs", "depthwise_macs", "dense_macs")))


def total(works: Iterable[Work]) -> np.ndarray:
    """Return the sums of the quantities, float64 ``[quantities]``."""
    rows: Tuple[Work, ...] = tuple(works)
    return np.array(rows, np.float64).reshape(len(rows), QUANTITIES).sum(axis=0)
