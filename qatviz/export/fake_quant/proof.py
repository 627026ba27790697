"""Proof of exports that compute in float: code by code if everything is quantized, else value by value."""

from dataclasses import replace
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.errors import ExportError
from qatviz.export.fake_quant.model import FakeQuantModel
from qatviz.export.guide.guide import real_vectors
from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.model import IntegerModel, IntegerOp, IntegerTensor
from qatviz.export.integers.softmax import softmax_of
from qatviz.export.progress import Progress
from qatviz.export.proof.graph import BATCH, EvaluationGraph, whole_scores
from qatviz.export.proof.parity import Agreement, LayerAgreement, Runtime, codes_of
from qatviz.export.proof.report import Exported, ParityReport, prove
from qatviz.export.proof.values import Bar, ValueReport, value_report
from qatviz.export.source import ExportSource
from qatviz.inputs import packed_examples
from qatviz.network.layer import element_count
from qatviz.network.layers import AveragePool
from qatviz.number_format import names_text
from qatviz.quant.affine import dequantize
from qatviz.quant.exact_sums import EXACT_SUM_BITS
from qatviz.quant.int16_kernels import NARROW_BITS

#: Function from float32 examples and names of layers to the values of these layers, by name.
Values = Callable[[np.ndarray, Sequence[str]], Dict[str, np.ndarray]]

#: Agreement that float arithmetic reaches in networks of a few layers, with activations of up to 8 bits and of more.
#: Sums in float32 are off by some 1e-7 of their terms; one that close to a tie may get the other code.
REACHED, REACHED_WIDE = Agreement(0.995, 1, 0.999), Agreement(0.5, 3, 0.999)
#: The same if average pools round ties up: one of four means of four codes is a tie, and differs below the center.
REACHED_TIES_UP = Agreement(0.3, 4, 0.98)
_MANTISSA_BITS = 24
#: Largest product of the number of averaged codes and the number of values that a code has, for which a float32 mean
#: is rounded correctly.
_LARGEST_MEAN = 2**16
#: Bars for a network in float, and for one with some tensors in float and others rounded, a few of which differ.
FLOAT_BAR, PARTLY_BAR = Bar(1e-5), Bar(1e-3, 0.98, 0.98)


class Simulation(NamedTuple):
    """A file that computes in float, with the function that runs it.

    Attributes
    ----------
    format, runtime : str
        Display names.
    values : callable
        Function that computes its output and its layers from the network's input.
    nbytes : int
    notes : tuple of str
    pool_ties_up : bool
        True if average pools round ties up instead of as in evaluation.
    exact_sums : bool
        True if the file rounds the accumulators that its sums in float32 stand for.
    """

    format: str
    runtime: str
    values: Values
    nbytes: int
    notes: Tuple[str, ...] = ()
    pool_ties_up: bool = False
    exact_sums: bool = False


def prove_simulation(
    model: FakeQuantModel, simulation: Simulation, source: ExportSource, quantized: bool, progress: Progress
) -> Union[ParityReport, ValueReport]:
    """Run a file and compare it with the evaluation graph, with quantization or without.

    Returns
    -------
    ParityReport or ValueReport
        A parity report if everything is quantized and there are integers to compare with.
    """
    held_out = source.held_out()
    progress.at("building the evaluation graph", 0.0)
    with EvaluationGraph(source.network, source.book, source.arrays, source.step) as graph:
        integers: Optional[IntegerModel] = None
        reason: Optional[str] = None
        if quantized and model.everything_quantized:
            try:
                integers = integer_model(source.network, source.book, source.arrays, source.step, source.metadata)
            except ExportError as error:
                reason = f"compared by values, because there is no integer model: {error}"
        if integers is not None:
            wide = max(tensor.num_bits for tensor in integers.tensors) > NARROW_BITS
            run = codes_runtime(integers, simulation.values, integers.outputs)
            run_layers = codes_runtime(integers, simulation.values, [op.output for op in integers.ops])
            exported = Exported(
                simulation.format,
                simulation.runtime,
                run,
                run_layers,
                simulation.nbytes,
                REACHED_TIES_UP if simulation.pool_ties_up else REACHED_WIDE if wide else REACHED,
                (*simulation.notes, *(_large_sums(integers) if simulation.exact_sums and not wide else ())),
            )
            report = prove(integers, exported, graph, *held_out, progress.part(0.1, 1.0))
            layers = ignore_float_rounding(integers, report.layers, simulation.pool_ties_up)
            return replace(report, layers=layers)
        progress.at("running the evaluation graph", 0.1)
        in_float = graph.outputs(held_out.images, quantized=False)
        expected = graph.outputs(held_out.images) if quantized else in_float
        assert held_out.whole is not None
        whole = whole_scores(graph, held_out.whole, quantized, progress=progress.part(0.2, 0.4))
    found = _in_batches(simulation.values, model.network.outputs, held_out.images, progress.part(0.4, 1.0))
    values, *further = [
        {"float": plain, **({"evaluation graph": rounded} if quantized else {}), "file": own}
        for plain, rounded, own in zip(in_float, expected, found)
    ]
    about = dict(source.metadata, format=simulation.format, runtime=simulation.runtime, network=model.network.name)
    return value_report(
        about,
        "evaluation graph" if quantized else "float",
        values,
        held_out,
        {"file": simulation.nbytes, "float32 parameters": model.float_bytes},
        PARTLY_BAR if quantized else FLOAT_BAR,
        simulation.notes + ((reason,) if reason else ()),
        whole,
        dict(zip(model.network.output_names, [values, *further])) if further else None,
        model.network.inputs,
        model.network.id_counts,
    )


def named_values(outputs: Sequence[str], found: Sequence[np.ndarray], names: Sequence[str]) -> Dict[str, np.ndarray]:
    """Return the values of those ``outputs`` of a file that are in ``names``, by name; ``found`` are those of all."""
    return {name: values for name, values in zip(outputs, found) if name in names}


def with_real_vectors(
    report: Union[ParityReport, ValueReport], softmax: bool = False
) -> Union[ParityReport, ValueReport]:
    """Return a report with golden vectors of the file's own output, which is real numbers."""
    if isinstance(report, ParityReport):
        return report.with_golden(real_vectors(report.golden, False, softmax))
    if not softmax:
        return report
    return report.with_golden({"expected_output": softmax_of(report.golden["expected_output"])})


def ignore_float_rounding(
    model: IntegerModel, layers: Sequence[LayerAgreement], pool_ties_up: bool = False
) -> Tuple[LayerAgreement, ...]:
    """Return the agreement of layers without differences of one code due to float arithmetic.

    Accumulators of more bits than float32's mantissa, and means of many elements, have larger errors than the one unit
    that is allowed otherwise. ``pool_ties_up``: average pools round ties up, which can change every code by one.
    """
    inexact = {
        op.output
        for op in model.ops
        if op.accumulator_bits > _MANTISSA_BITS
        or op.rounds_twice
        or (isinstance(op.layer, AveragePool) and (pool_ties_up or _is_large_mean(model, op)))
    }
    return tuple(
        layer._replace(unexplained=0) if layer.layer in inexact and layer.own.largest <= 1 else layer
        for layer in layers
    )


def _is_large_mean(model: IntegerModel, op: IntegerOp) -> bool:
    assert isinstance(op.layer, AveragePool)
    return element_count(op.layer.pool_size) << model.tensor(op.output).num_bits > _LARGEST_MEAN


def _large_sums(integers: IntegerModel) -> List[str]:
    """Return a note on accumulators that sums in float32 may not determine."""
    large = {op.name: op.accumulator_bits - 1 for op in integers.ops if op.accumulator_bits - 1 > EXACT_SUM_BITS}
    if not large:
        return []
    return [
        f"{names_text(list(large))}: accumulators can have up to {max(large.values())} bits; where one has more than "
        f"{EXACT_SUM_BITS}, its sum in float32 may be off by one unit, which changes the code of a value that close to "
        "a tie (measured: 0.2 % of the logits in networks that have them)"
    ]


def codes_runtime(model: IntegerModel, values: Values, names: Sequence[str]) -> Runtime:
    """Return a runtime from codes to codes that runs a function of values."""

    def run(codes: np.ndarray) -> Dict[str, np.ndarray]:
        parts = model.split(codes)
        given = packed_examples([_values(tensor, parts[tensor.name]) for tensor in model.inputs])
        found = values(given, names)
        return {name: codes_of(found[name], model.tensor(name)) for name in names}

    return run


def _values(tensor: IntegerTensor, codes: np.ndarray) -> np.ndarray:
    return codes.astype(np.float32) if tensor.ids else dequantize(codes, tensor.grid)


def _in_batches(values: Values, names: Sequence[str], images: np.ndarray, progress: Progress) -> List[np.ndarray]:
    """Return the values of the named layers for all images."""
    found = []
    for start in range(0, len(images), BATCH):
        progress.at("running the file", start / len(images))
        found.append(values(images[start : start + BATCH], names))
    return [np.concatenate([each[name] for each in found]) for name in names]
