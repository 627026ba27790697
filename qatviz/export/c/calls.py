"""Calls of a C model in order, with the memory of their inputs and outputs."""

from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.export.c.arena import Buffer, plan_arena
from qatviz.export.c.names import unique_stems
from qatviz.export.c.operations import SUFFIXES, Source, bounds, operation, softmax
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.network.layers import Flatten, Reshape

#: Names of the memory that the caller passes; no layer has these names.
INPUT, OUTPUT = "input", "output"
_CLAMPED = "input, clamped"


class Step(NamedTuple):
    """Call of a runtime function.

    Attributes
    ----------
    source : Source or None
        None if the codes are in place already, as for a Reshape.
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

    steps: List[Step]
    arena: int
    constants: int

    @property
    def names(self) -> List[str]:
        """Names of the layers of the calls, in order."""
        return [step.stem if step.op is None else step.op.name for step in self.steps if step.source is not None]


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
    steps, result = _unplaced_steps(model, pack, probabilities)
    buffers = []
    for index, step in enumerate(steps):
        if step.source is not None and step.output != result:
            last = max([index] + [later for later, other in enumerate(steps) if step.output in other.inputs])
            buffers.append(Buffer(step.output, step.source.output_nbytes, index, last))
    arena = plan_arena(buffers)
    pointers = {name: f"arena + {offset}" for name, offset in arena.offsets.items()}
    pointers.update({INPUT: "input", result: "output"})
    placed = [
        step._replace(inputs=tuple(pointers[slot] for slot in step.inputs), output=pointers[step.output])
        for step in steps
    ]
    return Plan(placed, arena.nbytes, sum(step.source.nbytes for step in steps if step.source is not None))


def _unplaced_steps(model: IntegerModel, pack: bool, probabilities: bool) -> Tuple[List[Step], str]:
    """Return steps with names of tensors in place of pointers, and the name of the result."""
    stems = list(unique_stems(["input"] + [op.name for op in model.ops] + ["output"], SUFFIXES))
    source: IntegerTensor = model.tensor(model.input)
    steps: List[Step] = []
    slots: Dict[str, str] = {model.input: INPUT}
    if source.bounds != (np.iinfo(source.dtype).min, np.iinfo(source.dtype).max):
        # Codes outside the grid could overflow the accumulators.
        steps.append(Step(bounds(stems[0], source, source.bounds), stems[0], (INPUT,), _CLAMPED, None))
        slots[model.input] = _CLAMPED
    for op, stem in zip(model.ops, stems[1:]):
        inputs = tuple(slots[name] for name in op.inputs)
        in_place = isinstance(op.layer, (Flatten, Reshape))
        slots[op.output] = inputs[0] if in_place else op.output
        steps.append(Step(None if in_place else operation(model, op, stem, pack), stem, inputs, slots[op.output], op))
    result = slots[model.output]
    if probabilities:
        steps.append(Step(softmax(model.logits, stems[-1]), stems[-1], (result,), OUTPUT, None))
        result = OUTPUT
    if result == INPUT:
        steps.append(Step(bounds(stems[-1], model.logits, model.logits.bounds), stems[-1], (INPUT,), OUTPUT, None))
        result = OUTPUT
    return steps, result
