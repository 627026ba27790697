"""Operations and buffers of a network as a runtime on a chip has them, without the format of a file."""

from typing import NamedTuple, Tuple

from qatviz.analysis.chip.work import Work


class Buffer(NamedTuple):
    """Tensor of the graph.

    Attributes
    ----------
    name : str
    nbytes : int
        Size in memory (bytes).
    is_constant : bool
        Whether it is stored with the network instead of in the arena.
    """

    name: str
    nbytes: int
    is_constant: bool


class Operation(NamedTuple):
    """Operation of the graph.

    Attributes
    ----------
    kind : str
        TFLite's name, such as ``CONV_2D``.
    layer : str
        The network's layer that it belongs to.
    inputs, outputs : tuple of int
        Indices of buffers.
    work : Work
    channels : int
        Scales of its weights; 0 without weights or if they have one scale.
    patch : int
        Values under the kernel at one position, all channels; 0 for a kernel of 1×1 and without one.
    kernel : tuple of int
        Height and width of the kernel; (1, 1) without one.
    int4_weights : int
        Number of weights of type INT4, which reference kernels unpack in the arena.
    kept : int
        Bytes that the kernel keeps for itself: a transposed copy of an input.
    """

    kind: str
    layer: str
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]
    work: Work
    channels: int = 0
    patch: int = 0
    kernel: Tuple[int, int] = (1, 1)
    int4_weights: int = 0
    kept: int = 0


class FlashBytes(NamedTuple):
    """Bytes of a stored network: codes of weights, biases, scales and zero points, and the graph with all else."""

    weights: int
    biases: int
    parameters: int
    graph: int

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self)


class ChipGraph(NamedTuple):
    """Network as a runtime on a chip has it.

    Attributes
    ----------
    buffers : tuple of Buffer
    operations : tuple of Operation
        In the order in which they run.
    inputs, outputs : tuple of int
        Indices of the network's buffers.
    flash : FlashBytes
    activation_bits : int
        8 or 16.
    """

    buffers: Tuple[Buffer, ...]
    operations: Tuple[Operation, ...]
    inputs: Tuple[int, ...]
    outputs: Tuple[int, ...]
    flash: FlashBytes
    activation_bits: int = 8
