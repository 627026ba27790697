"""Calls of the runtime's functions in a C model, in order, with the memory of their inputs and outputs."""

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.export.c.arena import Buffer, plan_arena
from qatviz.export.c.names import unique_stems
from qatviz.export.c.operations import SUFFIXES, Source, bounds, operation, softmax
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.network.layer import element_count
from qatviz.network.layers import Flatten, Reshape

#: Names of the memory that the caller passes, and of the input's codes within their grid. No layer has these names:
#: layers' names have no commas.
_INPUT, _OUTPUT, _CLAMPED = "input, given", "output, returned", "input, clamped"


class Call(NamedTuple):
    """Call of a function of the runtime.

    Attributes
    ----------
    source : Source or None
        Constants and function; None for a layer that only renames codes, such as a Reshape, and calls nothing.
    stem : str
        Beginning of its identifiers.
    inputs, output : tuple of str, str
        Pointers, in C.
    op : IntegerOp or None
        None for a call that belongs to no layer.
    """

    source: Optional[Source]
    stem: str
    inputs: Tuple[str, ...]
    output: str
    op: Optional[IntegerOp]


class Plan(NamedTuple):
    """All calls, and the sizes of their arena and of their constant arrays (bytes)."""

    calls: List[Call]
    arena: int
    constants: int

    @property
    def names(self) -> List[str]:
        """Names of the layers of the calls, in order."""
        return [call.stem if call.op is None else call.op.name for call in self.calls if call.source is not None]


def plan(model: IntegerModel, pack: bool, probabilities: bool = False) -> Plan:
    """Return the calls of a model.

    Parameters
    ----------
    model : IntegerModel
    pack : bool
        Store weights of up to 4 bits two per byte.
    probabilities : bool
        End with a softmax of the logits.
    """
    calls, results = _unplaced_calls(model, pack, probabilities)
    buffers = []
    for index, call in enumerate(calls):
        if call.source is not None and call.output not in results:
            last = max([index] + [later for later, other in enumerate(calls) if call.output in other.inputs])
            buffers.append(Buffer(call.output, call.source.output_nbytes, index, last))
    arena = plan_arena(buffers)
    pointers = {name: f"arena + {offset}" for name, offset in arena.offsets.items()}
    pointers[_INPUT] = "input"
    offsets = output_offsets(model)
    pointers.update((slot, f"output + {at}" if at else "output") for slot, at in zip(results, offsets))
    placed = [
        call._replace(inputs=tuple(pointers[slot] for slot in call.inputs), output=pointers[call.output])
        for call in calls
    ]
    return Plan(placed, arena.nbytes, sum(call.source.nbytes for call in calls if call.source is not None))


def output_offsets(model: IntegerModel) -> List[int]:
    """Return the index of the first code of each output: they are one after the other."""
    sizes = [element_count(head.logits.shape) for head in model.heads]
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _unplaced_calls(model: IntegerModel, pack: bool, probabilities: bool) -> Tuple[List[Call], List[str]]:
    """Return calls with names of tensors in place of pointers, and the names of the results."""
    ends = ["output", *(f"output_{index}" for index in range(1, len(model.heads)))]
    stems = list(unique_stems(["input"] + [op.name for op in model.ops] + ends, SUFFIXES))
    source: IntegerTensor = model.tensor(model.input)
    calls: List[Call] = []
    slots: Dict[str, str] = {model.input: _INPUT}
    if source.bounds != (np.iinfo(source.dtype).min, np.iinfo(source.dtype).max):
        # Codes outside the grid could overflow the accumulators.
        calls.append(Call(bounds(stems[0], source, source.bounds), stems[0], (_INPUT,), _CLAMPED, None))
        slots[model.input] = _CLAMPED
    last_stems = stems[1 + len(model.ops) :]
    for op, stem in zip(model.ops, stems[1:]):
        inputs = tuple(slots[name] for name in op.inputs)
        in_place = isinstance(op.layer, (Flatten, Reshape))
        slots[op.output] = inputs[0] if in_place else op.output
        calls.append(Call(None if in_place else operation(model, op, stem, pack), stem, inputs, slots[op.output], op))
    results: List[str] = []
    for index, (head, stem) in enumerate(zip(model.heads, last_stems)):
        result, own = slots[head.output], f"{_OUTPUT}, {index}"
        if probabilities:
            calls.append(Call(softmax(head.logits, stem), stem, (result,), own, None))
        elif result == _INPUT or result in results:  # codes that are elsewhere, too, are copied
            calls.append(Call(bounds(stem, head.logits, head.logits.bounds), stem, (result,), own, None))
        else:
            own = result
        results.append(own)
    return calls, results
