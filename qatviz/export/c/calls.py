"""Calls of the runtime's functions in a C model, in order, with the memory of their inputs and outputs."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.c.arena import Buffer, plan_arena
from qatviz.export.c.names import comment, unique_stems
from qatviz.export.c.operations import SUFFIXES, Source, bounds, operation, softmax, widened
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.network.layer import element_count
from qatviz.network.layers import Flatten, Reshape

#: Beginnings of names of the memory that the caller passes, and of inputs' codes within their grid. No layer has such a
#: name: layers' names have no commas.
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

    @property
    def title(self) -> str:
        """Text with the names of the operation's layers; empty for a call that belongs to none."""
        if self.op is None:
            return ""
        others = ", ".join(f'"{comment(name)}"' for name in self.op.layers if name != self.op.name)
        return f'"{comment(self.op.name)}", {self.op.kind}{", with " + others if others else ""}'


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
    starts = input_offsets(model)
    pointers.update((f"{_INPUT}, {index}", f"input + {at}" if at else "input") for index, at in enumerate(starts))
    offsets = output_offsets(model)
    pointers.update((slot, f"output + {at}" if at else "output") for slot, at in zip(results, offsets))
    placed = [
        call._replace(inputs=tuple(pointers[slot] for slot in call.inputs), output=pointers[call.output])
        for call in calls
    ]
    return Plan(placed, arena.nbytes, sum(call.source.nbytes for call in calls if call.source is not None))


def input_offsets(model: IntegerModel) -> List[int]:
    """Return the index of the first code of each input: they are one after the other."""
    return _offsets(model.inputs)


def output_dtype(model: IntegerModel) -> np.dtype:
    """Return the type of the array of all outputs: the widest of theirs."""
    return max((head.logits.dtype for head in model.heads), key=lambda dtype: dtype.itemsize)


def output_offsets(model: IntegerModel) -> List[int]:
    """Return the index of the first code of each output: they are one after the other."""
    return _offsets([head.logits for head in model.heads])


def _offsets(tensors: Sequence[IntegerTensor]) -> List[int]:
    sizes = [element_count(tensor.shape) for tensor in tensors]
    return [sum(sizes[:index]) for index in range(len(sizes))]


def _unplaced_calls(model: IntegerModel, pack: bool, probabilities: bool) -> Tuple[List[Call], List[str]]:
    """Return calls with names of tensors in place of pointers, and the names of the results."""
    ends = ["output", *(f"output_{index}" for index in range(1, len(model.heads)))]
    begins = ["input", *(f"input_{index}" for index in range(1, len(model.inputs)))]
    stems = list(unique_stems(begins + [op.name for op in model.ops] + ends, SUFFIXES))
    calls: List[Call] = []
    given = {source.name: f"{_INPUT}, {index}" for index, source in enumerate(model.inputs)}
    slots: Dict[str, str] = dict(given)
    for index, (source, stem) in enumerate(zip(model.inputs, stems)):
        if not source.ids and source.bounds != (np.iinfo(source.dtype).min, np.iinfo(source.dtype).max):
            # Codes outside the grid could overflow the accumulators.
            slots[source.name] = f"{_CLAMPED}, {index}"
            clamped = bounds(stem, source, source.bounds)
            calls.append(Call(clamped, stem, (given[source.name],), slots[source.name], None))
    stems = stems[len(begins) :]
    last_stems, stem_of = stems[len(model.ops) :], dict(zip((op.name for op in model.ops), stems))
    for op, stem in zip(model.ops, stems):
        inputs = tuple(slots[name] for name in op.inputs)
        in_place = isinstance(op.layer, (Flatten, Reshape))
        slots[op.output] = inputs[0] if in_place else op.output
        codes_stem = stem if op.weights is None else stem_of[model.codes_owner(op).name]
        if op.kind == "Embedding":
            codes_stem = stem_of[op.layer.owner]
        made = None if in_place else operation(model, op, stem, pack, codes_stem)
        calls.append(Call(made, stem, inputs, slots[op.output], op))
    results: List[str] = []
    dtype = output_dtype(model)
    for index, (head, stem) in enumerate(zip(model.heads, last_stems)):
        result, own = slots[head.output], f"{_OUTPUT}, {index}"
        if probabilities:
            calls.append(Call(softmax(head.logits, stem), stem, (result,), own, None))
        elif head.logits.dtype != dtype:
            calls.append(Call(widened(stem, head.logits, dtype), stem, (result,), own, None))
        elif result in given.values() or result in results:  # codes that are elsewhere, too, are copied
            calls.append(Call(bounds(stem, head.logits, head.logits.bounds), stem, (result,), own, None))
        else:
            own = result
        results.append(own)
    return calls, results
