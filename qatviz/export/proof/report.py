"""Report of a proof: what was compared, with which result, and golden vectors to check another runtime with."""

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.integers.input_formula import input_formulas
from qatviz.export.integers.model import IntegerModel
from qatviz.export.integers.simulator import quantize_input
from qatviz.export.progress import Progress
from qatviz.export.proof.footprint import Footprint
from qatviz.export.proof.graph import EvaluationGraph, whole_scores
from qatviz.export.proof.parity import (
    Agreement,
    LayerAgreement,
    Runtime,
    codes_of,
    compare_layers,
    compare_logits,
    inner_examples,
    run_outputs,
)
from qatviz.export.proof.report_lines import closing_lines, size_in_words, title_line
from qatviz.export.proof.scores import (
    WholeScores,
    default_metric,
    metric_entries,
    output_entries,
    score,
    score_codes,
    score_entries,
    score_lines,
)
from qatviz.export.source import WholePart
from qatviz.metric import ACCURACY, Metric
from qatviz.name_lookup import numbered
from qatviz.number_format import share_text
from qatviz.task import CLASSIFICATION, REGRESSION
from qatviz.text_columns import aligned

#: Number of examples in the golden vectors.
GOLDEN_EXAMPLES = 16
#: Name of the reference in comparisons and scores.
_EVALUATION = "evaluation graph"


class Exported(NamedTuple):
    """File to prove, with the functions that run it.

    Attributes
    ----------
    format : str
        Display name, such as "TFLite int8".
    runtime : str
        Name of the runtime that runs it.
    run : callable
        Runs the file, from codes of the input to codes of its output.
    run_layers : callable
        Runs the same operations and returns the codes of all tensors.
    nbytes : int
        Size of the file.
    reached : Agreement
        Agreement that the runtime is known to reach in networks of a few layers.
    notes : tuple of str
    """

    format: str
    runtime: str
    run: Runtime
    run_layers: Runtime
    nbytes: int
    reached: Agreement
    notes: Tuple[str, ...] = ()


class OutputProof(NamedTuple):
    """Result of a proof for one of several outputs.

    Attributes
    ----------
    output : str
        Name of the output.
    outputs, metric, scores
        As in :class:`ParityReport`.
    """

    output: str
    outputs: Dict[str, Agreement]
    metric: Metric
    scores: Dict[str, float]

    def to_record(self) -> Dict[str, Any]:
        """Return the result as a JSON-able dict."""
        return {
            "output": self.output,
            "outputs": {name: found.to_record() for name, found in self.outputs.items()},
            **score_entries(self.metric, self.scores),
        }


@dataclass(frozen=True)
class ParityReport:
    """Result of a proof.

    Attributes
    ----------
    about : dict
        JSON-able: format, runtime, network, and the integer model's metadata.
    examples, layer_examples : int
        Number of held-out examples on which outputs and inner layers were compared.
    outputs : dict of str to Agreement
        Codes of the network's output: "file to simulator", "file to evaluation graph", "simulator to evaluation graph".
    layers : tuple of LayerAgreement
        File to simulator.
    more_layers : dict of str to tuple of LayerAgreement
        The same for further runtimes of the file, by their names.
    scores : dict of str to float
        The metric on the same examples: "float", "evaluation graph", "simulator", "file".
    nbytes : dict of str to int
        "file", and "float32 parameters": the size of weights and biases in float.
    reached : Agreement
        Agreement that is expected of "file to evaluation graph" (see :class:`Exported`).
    notes : tuple of str
    golden : dict of str to np.ndarray
        Golden vectors, by the keys of :data:`qatviz.export.guide.guide.GOLDEN_KEYS`.
    metric : Metric
    whole : WholeScores or None
        The metric on the whole held-out part.
    footprints : tuple of Footprint
        Sizes of the compiled file, for sources.
    output : str
        Name of the output that was compared, if the network has several.
    further : tuple of OutputProof
        Results for the further outputs.
    """

    about: Dict[str, Any]
    examples: int
    layer_examples: int
    outputs: Dict[str, Agreement]
    layers: Tuple[LayerAgreement, ...]
    scores: Dict[str, float]
    nbytes: Dict[str, int]
    reached: Agreement
    notes: Tuple[str, ...] = ()
    golden: Dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    metric: Metric = ACCURACY
    more_layers: Dict[str, Tuple[LayerAgreement, ...]] = field(default_factory=dict)
    whole: Optional[WholeScores] = None
    footprints: Tuple[Footprint, ...] = ()
    output: str = ""
    further: Tuple[OutputProof, ...] = ()

    @property
    def faults(self) -> List[str]:
        """Descriptions of operations with wrong results; empty for a correct file."""
        return [
            f"{where}layer {layer.layer!r}: alone, {layer.unexplained:,} of its codes differ by more than rounding "
            f"explains, by up to {layer.own.largest}"
            for where, layers in (("", self.layers), *((f"{name}, ", more) for name, more in self.more_layers.items()))
            for layer in layers
            if layer.unexplained
        ]

    @property
    def as_expected(self) -> bool:
        """True if the outputs agree with the evaluation graph's as closely as the runtime is known to."""
        proofs = (self.outputs, *(each.outputs for each in self.further))
        return all(found["file to evaluation graph"].reaches(self.reached) for found in proofs)

    def with_golden(self, more: Dict[str, np.ndarray]) -> "ParityReport":
        """Return a report with further golden vectors."""
        return replace(self, golden={**self.golden, **more})

    def with_notes(self, notes: Tuple[str, ...]) -> "ParityReport":
        """Return a report with these notes instead."""
        return replace(self, notes=notes)

    def with_footprints(self, footprints: Tuple[Footprint, ...]) -> "ParityReport":
        """Return a report with sizes of the compiled file."""
        return replace(self, footprints=footprints)

    def to_record(self) -> Dict[str, Any]:
        """Return the report as a JSON-able dict."""
        compiled = {"footprints": [each.to_record() for each in self.footprints]} if self.footprints else {}
        return {
            "about": self.about,
            "examples": self.examples,
            "layer_examples": self.layer_examples,
            "outputs": {name: found.to_record() for name, found in self.outputs.items()},
            "layers": _layer_records(self.layers),
            "more_layers": {name: _layer_records(layers) for name, layers in self.more_layers.items()},
            **metric_entries(self.metric, self.scores, self.whole, self.further),
            "bytes": self.nbytes,
            **compiled,
            "notes": list(self.notes),
            "faults": self.faults,
            "reached": self.reached.to_record(),
            "as_expected": self.as_expected,
            **output_entries(self.output, self.further),
        }

    def to_text(self) -> str:
        """Return tables for a terminal, of at most 80 columns if names are short."""
        lines = [title_line(self.about), ""]
        for name, metric, outputs in (
            (self.output, self.metric, self.outputs),
            *((each.output, each.metric, each.outputs) for each in self.further),
        ):
            lines += _output_lines(name, metric, outputs, self.examples)
        for runtime, layers in {"file": self.layers, **self.more_layers}.items():
            lines += aligned([_LAYER_HEAD, *map(_layer_row, layers)], left=(0, 1))
            lines += [
                "",
                f"{runtime} to simulator for {self.layer_examples:,} held-out examples; alone: each operation on the "
                "file's own inputs",
                "",
            ]
        lines += self.score_lines()
        lines += self.sizes_in_words()
        lines.append("input: {input}".format(**self.about))
        shortfall = ""
        if not self.as_expected:
            bar = self.reached if self.metric.task == CLASSIFICATION else self.reached._replace(top1=None)
            shortfall = (
                f"in networks of a few layers this runtime reaches {bar.in_words()}. Here, each operation is correct "
                "up to rounding; the differences add up over the layers."
            )
        return "\n".join([*lines, *closing_lines(self.notes, self.faults, shortfall)])

    def sizes_in_words(self) -> List[str]:
        """Return a line with the size of the file, and one for each compiler that compiled it."""
        return [size_in_words(self.nbytes), *(f"size: {each.in_words()}" for each in self.footprints)]

    def score_lines(self) -> List[str]:
        """Return lines such as ``accuracy on 200 held-out examples: float 97.12 %, evaluation graph 97.02 %``."""
        return score_lines(self.metric, self.scores, self.examples, self.whole, self.output, self.further)


def prove(
    model: IntegerModel,
    exported: Exported,
    graph: EvaluationGraph,
    images: np.ndarray,
    labels: np.ndarray,
    whole: Optional[WholePart] = None,
    further: Sequence[np.ndarray] = (),
    metrics: Sequence[Metric] = (),
    progress: Progress = Progress(),
) -> ParityReport:
    """Run a file on examples, and compare it with the simulator and the evaluation graph.

    Parameters
    ----------
    model : IntegerModel
        Model that the file was written from.
    exported : Exported
    graph : EvaluationGraph
        Graph of the same state.
    images, labels : np.ndarray
        Held-out examples, float32 ``[n] + input shape``, at least one, and their targets, see
        :func:`qatviz.export.proof.scores.default_metric`.
    whole : WholePart, optional
        The whole held-out part, for the scores of the evaluation graph.
    further : sequence of np.ndarray
        Targets of further outputs.
    metrics : sequence of Metric
        Metric of each output; by default those for the targets.
    progress : Progress
    """
    progress.at("running the evaluation graph", 0.0)
    heads, all_targets = model.heads, (labels, *further)
    metrics = metrics or [default_metric(targets) for targets in all_targets]
    in_float = graph.outputs(images, quantized=False)
    evaluated = [codes_of(values, head.logits) for values, head in zip(graph.outputs(images), heads)]
    first, *others = [
        {
            "float": score(values, targets, metric),
            _EVALUATION: score_codes(codes, head.logits, targets, metric),
        }
        for values, codes, head, targets, metric in zip(in_float, evaluated, heads, all_targets, metrics)
    ]
    on_whole: Optional[WholeScores] = None
    if whole is not None and whole.count == len(images):
        on_whole = WholeScores(whole.count, whole.held_out, dict(first), tuple(map(dict, others)))
    elif whole is not None:
        on_whole = whole_scores(graph, whole, True, [head.logits for head in heads], progress.part(0.05, 0.2))
    ran = run_outputs(model, exported.run, images, progress.part(0.2, 0.5))
    inner = inner_examples(images)
    about = dict(model.metadata, format=exported.format, runtime=exported.runtime, network=model.name)
    about["input"] = input_formulas(model)
    names = graph.output_names if further else ("",)
    proofs = [
        _output_proof(name, head, targets, metric, scores, codes, *pair)
        for name, head, targets, metric, scores, codes, pair in zip(
            names, heads, all_targets, metrics, (first, *others), evaluated, ran
        )
    ]
    return ParityReport(
        about,
        len(images),
        len(inner),
        proofs[0].outputs,
        tuple(compare_layers(model, exported.run_layers, inner, progress.part(0.5, 1.0))),
        proofs[0].scores,
        {"file": exported.nbytes, "float32 parameters": _float_bytes(model)},
        exported.reached,
        model.notes + exported.notes,
        _golden(model, images, all_targets, ran),
        proofs[0].metric,
        whole=on_whole,
        output=proofs[0].output,
        further=tuple(proofs[1:]),
    )


def _output_proof(
    name: str,
    model: IntegerModel,
    labels: np.ndarray,
    metric: Metric,
    scores: Dict[str, float],
    evaluated: np.ndarray,
    simulated: np.ndarray,
    found: np.ndarray,
) -> OutputProof:
    """Return the result for one output, from the codes of the evaluation, the simulator and the file."""
    for who, codes in (("simulator", simulated), ("file", found)):
        scores[who] = score_codes(codes, model.logits, labels, metric)
    pairs = {
        "file to evaluation graph": (evaluated, found),
        "file to simulator": (simulated, found),
        "simulator to evaluation graph": (evaluated, simulated),
    }
    zero = model.logits.zero_point
    compared = {what: compare_logits(*codes, metric.task == CLASSIFICATION, zero) for what, codes in pairs.items()}
    return OutputProof(name, compared, metric, scores)


def _golden(
    model: IntegerModel,
    images: np.ndarray,
    labels: Sequence[np.ndarray],
    ran: Sequence[Tuple[np.ndarray, np.ndarray]],
) -> Dict[str, np.ndarray]:
    """Return golden vectors of the first examples, in codes of the integer model."""
    first = slice(GOLDEN_EXAMPLES)
    logits, (simulated, found) = model.logits, ran[0]
    values, codes = model.split(images[first]), model.split(quantize_input(model, images[first]))
    values = {tensor.name: codes[tensor.name] if tensor.ids else values[tensor.name] for tensor in model.inputs}
    source, *sources = model.inputs
    vectors = {
        "images": values[source.name],
        "labels": labels[0][first],
        "input": codes[source.name].astype(source.dtype),
        "simulator_output": simulated[first].astype(logits.dtype),
        "file_output": found[first].astype(logits.dtype),
        "input_scale": np.float32(source.scale),
        "input_zero_point": np.int32(source.zero_point),
        "logits_scale": np.float32(logits.scale),
        "logits_zero_point": np.int32(logits.zero_point),
    }
    for index, tensor in enumerate(sources, 1):
        own = {
            "images": values[tensor.name],
            "input": codes[tensor.name].astype(tensor.dtype),
            "input_scale": np.float32(tensor.scale),
            "input_zero_point": np.int32(tensor.zero_point),
        }
        vectors.update({numbered(key, index): value for key, value in own.items()})
    for index, head in enumerate(model.heads[1:], 1):
        own = {
            "labels": labels[index][first],
            "simulator_output": ran[index][0][first].astype(head.logits.dtype),
            "file_output": ran[index][1][first].astype(head.logits.dtype),
            "logits_scale": np.float32(head.logits.scale),
            "logits_zero_point": np.int32(head.logits.zero_point),
        }
        vectors.update({numbered(key, index): value for key, value in own.items()})
    return vectors


def _float_bytes(model: IntegerModel) -> int:
    weighted = {op.weights.name: op.weights for op in model.ops if op.weights is not None}.values()  # each once
    return 4 * sum(int(weights.codes.size + weights.bias.size) for weights in weighted)


def _output_lines(name: str, metric: Metric, outputs: Mapping[str, Agreement], examples: int) -> List[str]:
    """Return the table of the comparisons of an output, whose name is empty if there is only one."""
    kind = "outputs" if metric.task == REGRESSION else "logits"
    top1 = ("top-1",) if metric.task == CLASSIFICATION else ()
    rows = [
        (what, share_text(found.identical), str(found.largest), *([share_text(found.top1 or 0.0)] if top1 else ()))
        for what, found in outputs.items()
    ]
    of = f" of {name}" if name else ""
    note = f"codes of the {kind}{of} for {examples:,} held-out examples; largest difference in codes"
    return [*aligned([(kind + of, "identical", "largest", *top1), *rows], left=(0,)), "", note, ""]


_LAYER_HEAD = ("layer", "operation", "identical", "largest", "alone", "largest")


def _layer_row(layer: LayerAgreement) -> Tuple[str, ...]:
    own, whole = layer.own, layer.whole
    cells = [(share_text(found.identical), str(found.largest)) for found in (whole, own)]
    return (layer.layer, layer.kind, *cells[0], *cells[1])


def _layer_records(layers: Sequence[LayerAgreement]) -> List[Dict[str, Any]]:
    return [
        {
            "layer": layer.layer,
            "operation": layer.kind,
            "whole": layer.whole.codes_record(),
            "own": layer.own.codes_record(),
            "unexplained": layer.unexplained,
        }
        for layer in layers
    ]
