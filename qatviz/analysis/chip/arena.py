"""Arena of TFLite Micro: buffers by their time of use, kernels' scratch buffers, and the data of the runtime itself.

Sources: ``micro_allocator.cc`` and ``micro_allocation_info.cc`` of TFLite Micro for the order, the lifetimes and the
persistent part, the ``Prepare`` functions of its kernels for what they request, and CMSIS-NN's
``arm_*_get_buffer_size`` functions for the scratch buffers of its kernels.
"""

from enum import Enum
from typing import Dict, List, NamedTuple, Tuple

from qatviz.analysis.chip.graph import ChipGraph, Operation
from qatviz.analysis.chip.planner import Request, aligned, placed


class Scratch(Enum):
    """Kernels by the scratch buffers that they request."""

    #: TFLite Micro's reference kernels.
    REFERENCE = "reference"
    #: CMSIS-NN with the DSP extension (Cortex-M4, M7, M33) and with Helium (M55, M85).
    DSP = "dsp"
    HELIUM = "helium"


class RuntimeLayout(NamedTuple):
    """Sizes of TFLite Micro's structures (bytes).

    Attributes
    ----------
    pointer : int
    fixed : int
        Allocators, planner and the like, which every arena has.
    eval_tensor, node : int
        ``TfLiteEvalTensor`` of each tensor, ``NodeAndRegistration`` of each operation.
    tensor : int
        ``TfLiteTensor`` and quantization of each input and output of the network.
    """

    pointer: int
    fixed: int
    eval_tensor: int
    node: int
    tensor: int


#: Structures on a chip with 32-bit pointers.
ON_CHIP = RuntimeLayout(4, 160, 12, 32, 40 + 20)
#: Those of the Python package on a 64-bit machine, whose allocator also keeps records.
IN_PYTHON = RuntimeLayout(8, 528, 24, 64, 64 + 32)

#: Data of kernels (bytes) with 32-bit and with 64-bit pointers; other kernels have none.
_OP_DATA: Dict[str, Tuple[int, int]] = {
    "CONV_2D": (56, 80),
    "DEPTHWISE_CONV_2D": (56, 80),
    "TRANSPOSE_CONV": (104, 136),
    "FULLY_CONNECTED": (48, 72),
    "AVERAGE_POOL_2D": (32, 32),
    "MAX_POOL_2D": (32, 32),
    "SOFTMAX": (56, 80),
    "ADD": (60, 60),
    "SUB": (60, 60),
    "MUL": (36, 36),
    "CONCATENATION": (24, 80),
    "PAD": (56, 56),
    "QUANTIZE": (40, 40),
    "STRIDED_SLICE": (88, 88),
    "LEAKY_RELU": (24, 24),
    "LOGISTIC": (20, 20),
    "TANH": (16, 16),
    "ELU": (256, 256),
    "BATCH_MATMUL": (96, 128),
}
#: Parsed options of operations (bytes); others have at most a few.
_OPTIONS: Dict[str, int] = {
    "CONV_2D": 28,
    "DEPTHWISE_CONV_2D": 28,
    "TRANSPOSE_CONV": 20,
    "FULLY_CONNECTED": 16,
    "AVERAGE_POOL_2D": 40,
    "MAX_POOL_2D": 40,
    "RESHAPE": 36,
    "STRIDED_SLICE": 24,
    "ADD": 8,
    "SUB": 8,
    "MUL": 4,
    "CONCATENATION": 8,
    "SOFTMAX": 4,
    "GATHER": 8,
}
#: Kernels with a multiplier and a shift for each channel, even if the weights have one scale.
_BY_CHANNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
_INT32 = 4
#: Channels that CMSIS-NN's depthwise kernel with Helium computes together (``CH_IN_BLOCK_MVE``).
_HELIUM_BLOCK = 124


class Place(NamedTuple):
    """Buffer in the arena.

    Attributes
    ----------
    name : str
        Tensor, or operation with the ending ``(scratch)``.
    nbytes, offset : int
    first, last : int
        Operations, counted from 0, that first and last need it; -1 before the first.
    is_scratch : bool
    """

    name: str
    nbytes: int
    offset: int
    first: int
    last: int
    is_scratch: bool = False

    @property
    def end(self) -> int:
        """Offset behind the buffer."""
        return self.offset + aligned(self.nbytes)


class Arena(NamedTuple):
    """Arena of a network.

    Attributes
    ----------
    places : tuple of Place
        Buffers that share memory.
    head, tail : int
        Bytes of the shared part, and of the persistent data of the runtime.
    in_use : tuple of int
        Bytes of the buffers in use at each operation.
    """

    places: Tuple[Place, ...]
    head: int
    tail: int
    in_use: Tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the arena, ``arena_used_bytes`` of TFLite Micro."""
        return self.head + self.tail

    @property
    def peak(self) -> int:
        """The operation during which most bytes are in use; the first of several."""
        return self.in_use.index(max(self.in_use)) if self.in_use else -1


def arena(graph: ChipGraph, scratch: Scratch = Scratch.REFERENCE, layout: RuntimeLayout = ON_CHIP) -> Arena:
    """Return the arena of a network.

    Parameters
    ----------
    graph : ChipGraph
    scratch : Scratch
        Kernels.
    layout : RuntimeLayout
    """
    wanted = [(name, request, False) for name, request in _tensor_requests(graph)]
    count = 0
    for index, operation in enumerate(graph.operations):
        for nbytes in scratch_buffers(operation, graph, scratch):
            wanted.append((f"{operation.layer} (scratch)", Request(nbytes, index + 1, index + 1), True))
            count += 1
    offsets = placed([request for _, request, _ in wanted])
    places = tuple(
        Place(name, request.nbytes, offset, request.first - 1, request.last - 1, is_scratch)
        for (name, request, is_scratch), offset in zip(wanted, offsets)
    )
    head = max((place.end for place in places), default=0)
    in_use = tuple(
        sum(aligned(place.nbytes) for place in places if place.first <= index <= place.last)
        for index in range(len(graph.operations))
    )
    return Arena(places, head, _persistent(graph, count, layout), in_use)


def _tensor_requests(graph: ChipGraph) -> List[Tuple[str, Request]]:
    """Return the computed tensors with their times of use: the inputs at 0, each operation one later."""
    first: Dict[int, int] = dict.fromkeys(graph.inputs, 0)
    last: Dict[int, int] = dict.fromkeys(graph.inputs, 0)
    for moment, operation in enumerate(graph.operations, 1):
        for index in operation.outputs:
            first.setdefault(index, moment)
            last[index] = moment
        for index in operation.inputs:
            last[index] = moment
    end = len(graph.operations)
    for index in graph.outputs:
        first.setdefault(index, end)
        last[index] = end
    return [
        (buffer.name, Request(buffer.nbytes, first[index], last[index]))
        for index, buffer in enumerate(graph.buffers)
        if not buffer.is_constant and buffer.nbytes and index in first
    ]


def scratch_buffers(operation: Operation, graph: ChipGraph, scratch: Scratch) -> List[int]:
    """Return the sizes of the scratch buffers of an operation (bytes)."""
    found = []
    outputs = sum(graph.buffers[index].nbytes for index in operation.outputs)
    if operation.kind == "TRANSPOSE_CONV":
        # Sums of 32 bits for each output of 8 bits, of 64 bits for each of 16.
        found.append(outputs * _INT32)
    if scratch is Scratch.REFERENCE:
        return [*found, operation.int4_weights] if operation.int4_weights else found
    own = _dsp_scratch(operation) if scratch is Scratch.DSP else _helium_scratch(operation)
    return [*found, own] if own else found


def _dsp_scratch(operation: Operation) -> int:
    """Return the scratch buffer of CMSIS-NN's kernel with the DSP extension: two patches of int16."""
    if operation.kind == "CONV_2D" and operation.patch:
        return 2 * (-(-operation.patch // 4) * 4) * 2
    if operation.kind == "DEPTHWISE_CONV_2D" and operation.kernel != (3, 3):
        return operation.patch * 2
    if operation.kind == "AVERAGE_POOL_2D":
        return operation.channels * _INT32
    return 0


def _helium_scratch(operation: Operation) -> int:
    """Return the scratch buffer of CMSIS-NN's kernel with Helium: four patches of int8, in vectors of 16."""
    if operation.kind == "CONV_2D" and operation.patch:
        return 4 * (-(-operation.patch // 16) * 16)
    if operation.kind == "DEPTHWISE_CONV_2D":
        return 4 * _HELIUM_BLOCK * operation.kernel[0] * operation.kernel[1]
    if operation.kind == "FULLY_CONNECTED":
        return operation.work.outputs * _INT32
    return 0


def _persistent(graph: ChipGraph, scratch_count: int, layout: RuntimeLayout) -> int:
    """Return the bytes of the persistent part: data of the runtime, of tensors and of kernels."""
    ends = len(graph.inputs) + len(graph.outputs)
    found = layout.fixed + ends * layout.tensor
    found += aligned(layout.pointer * len(graph.inputs)) + aligned(layout.pointer * len(graph.outputs))
    found += layout.eval_tensor * len(graph.buffers) + layout.node * len(graph.operations)
    found += layout.pointer * scratch_count
    column = 0 if layout.pointer == 4 else 1
    for operation in graph.operations:
        found += _OPTIONS.get(operation.kind, 0) + aligned(operation.kept)
        if operation.kind in _OP_DATA:
            found += aligned(_OP_DATA[operation.kind][column])
        if operation.kind in _BY_CHANNEL or (operation.kind == "FULLY_CONNECTED" and operation.channels > 1):
            found += 2 * aligned(_INT32 * operation.channels)
    return aligned(found)
