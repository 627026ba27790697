"""Cost of tensors by number of bits, in the units of a budget: bytes of codes, multiplications times bits, time."""

from enum import Enum
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.chip.estimate import ChipEstimate
from qatviz.measures import FLOAT_BITS
from qatviz.network.graph import Network
from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import WEIGHTS

#: Largest number of bits of codes that runtimes store two per byte.
PACKED_BITS = 4
_BYTE = 8
#: Nanoseconds of a second.
_NANO = 1e9


class CostUnit(Enum):
    """Unit of a budget: its label, and what it counts."""

    #: Codes of weights at their own width.
    CODES = "codes"
    #: Weights as runtimes store them: two codes of up to 4 bits per byte, others in whole bytes.
    STORED = "stored"
    #: Codes of weights, and of the activations of one example, at their own width.
    WITH_ACTIVATIONS = "with_activations"
    #: Multiplications × bits of weights × bits of inputs.
    MAC_BITS = "mac_bits"
    #: Estimated nanoseconds on a chip. Its kernels compute codes of 2 to 8 bits alike: bits do not change them.
    TIME = "time"


class BitCosts(NamedTuple):
    """Costs ``[tensors, widths]`` (int64) of tensors by number of bits, and the cost of everything else."""

    costs: np.ndarray
    rest: int


def quantized_weights(book: SettingsBook) -> Tuple[str, ...]:
    """Return the names of the weights that are quantized."""
    return tuple(t.name for t in book.plan.tensors if t.kind == WEIGHTS and book.of(t.name).enabled)


def variable_tensors(unit: CostUnit, book: SettingsBook) -> Tuple[str, ...]:
    """Return the names of the tensors whose bits are chosen with this unit: all quantized ones, or weights."""
    if unit is CostUnit.WITH_ACTIVATIONS:
        return tuple(t.name for t in book.plan.tensors if book.of(t.name).enabled)
    return quantized_weights(book)


def bit_costs(
    unit: CostUnit,
    network: Network,
    book: SettingsBook,
    tensors: Sequence[str],
    widths: Sequence[int],
    chip: Optional[ChipEstimate] = None,
) -> BitCosts:
    """Return the costs of weights, or of :func:`variable_tensors`.

    Parameters
    ----------
    unit : CostUnit
    network : Network
    book : SettingsBook
        Settings of all other tensors.
    tensors : sequence of str
        Names of the tensors.
    widths : sequence of int
        Numbers of bits.
    chip : ChipEstimate, optional
        Estimate of the network, for times.
    """
    if unit is CostUnit.TIME:
        assert chip is not None, "times are those on a chip"
        return _times(chip, book, tensors, widths)
    if unit is CostUnit.MAC_BITS:
        return _mac_bits(network, book, tensors, widths)
    size = _stored_bytes if unit is CostUnit.STORED else _code_bytes
    costs = [[size(_count(book.plan.tensor(name)), width) for width in widths] for name in tensors]
    rest = 0
    for tensor in book.plan.tensors:
        counts = tensor.kind == WEIGHTS or unit is CostUnit.WITH_ACTIVATIONS
        if counts and tensor.name not in tensors:
            rest += size(_count(tensor), _bits(book, tensor.name))
    return BitCosts(np.array(costs, np.int64).reshape(len(tensors), len(widths)), rest)


def _count(tensor: QuantizedTensor) -> int:
    """Return the number of values of a tensor, of activations for one example."""
    return tensor.parameters if tensor.kind == WEIGHTS else element_count(tensor.shape)


def _times(chip: ChipEstimate, book: SettingsBook, tensors: Sequence[str], widths: Sequence[int]) -> BitCosts:
    by_tensor: Dict[str, float] = dict.fromkeys(tensors, 0.0)
    for unit in book.plan.units:
        if unit.weights in by_tensor:
            by_tensor[unit.weights] += chip.target.seconds(chip.layer(unit.name).cycles)
    own = np.array([round(by_tensor[name] * _NANO) for name in tensors], np.int64)
    costs = np.repeat(own[:, None], len(widths), axis=1)
    return BitCosts(costs.reshape(len(tensors), len(widths)), round(chip.seconds * _NANO) - int(own.sum()))


def _code_bytes(count: int, width: int) -> int:
    return -(-count * width // _BYTE)


def _stored_bytes(count: int, width: int) -> int:
    return (count + 1) // 2 if width <= PACKED_BITS else count * -(-width // _BYTE)


def _mac_bits(network: Network, book: SettingsBook, tensors: Sequence[str], widths: Sequence[int]) -> BitCosts:
    """Return multiplications × bits of weights × bits of inputs; a product of two inputs counts in the rest.

    Values in float have 32 bits.
    """
    macs = {row.name: row.macs for row in network.summary()}
    by_bit: Dict[str, int] = dict.fromkeys(tensors, 0)
    rest = 0
    for unit in book.plan.units:
        count = macs[unit.op.name]
        if not count:
            continue
        bits = [_bits(book, book.plan.grid_of(source)) for source in unit.inputs]
        if unit.weights in by_bit:
            by_bit[unit.weights] += count * bits[0]
        elif unit.weights in book.plan:
            rest += count * bits[0] * _bits(book, unit.weights)
        else:
            rest += count * bits[0] * bits[-1]
    costs = np.array([by_bit[name] for name in tensors], np.int64)[:, None] * np.array(widths, np.int64)
    return BitCosts(costs.reshape(len(tensors), len(widths)), rest)


def _bits(book: SettingsBook, tensor: str) -> int:
    settings = book.of(tensor)
    return settings.code_bits if settings.enabled else FLOAT_BITS
