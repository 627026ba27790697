"""Export of a TensorFlow graph, shared by SavedModel and frozen graph."""

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple, Union

from qatviz import __version__
from qatviz.export.fake_quant.model import FakeQuantModel, fake_quant_model
from qatviz.export.fake_quant.proof import Simulation, prove_simulation, with_real_vectors
from qatviz.export.formats import Options, Written
from qatviz.export.graphs.lowering import (
    CLASS,
    LABELS,
    LOGITS,
    PROBABILITIES,
    InferenceGraph,
    inference_graph,
    output_prefixes,
)
from qatviz.export.graphs.runtime import RUNTIME, GraphRunner
from qatviz.export.guide.guide import Guide, real_check
from qatviz.export.integers.input_formula import values_formulas
from qatviz.export.progress import Progress
from qatviz.export.proof.files import write_export
from qatviz.export.source import ExportSource
from qatviz.losses import is_single_logit
from qatviz.network.graph import Network
from qatviz.number_format import names_text
from qatviz.quant.exact_sums import EXACT_SUM_BITS
from qatviz.task import CLASSIFICATION, MULTILABEL, SEGMENTATION

#: Forms of a graph: rounded as in training; the same with exact accumulators; what TensorFlow 1.15's converter, TOCO,
#: knows in integers; not rounded.
FAKE_QUANT, EXACT, TOCO, FLOAT = "fake-quant", "exact", "toco", "float"
#: Differences of codes in networks with tensors of more than 8 bits, in every form that rounds.
_WIDE_DIFFERENCES = "measured with 16-bit activations: half of the logits, by up to 5"


class Packed(NamedTuple):
    """Serialized graph.

    Attributes
    ----------
    content : bytes or dict of str to bytes
        Content of the file, or of the files of a directory by their paths in it.
    definition : bytes
        The GraphDef in it, which the proof runs.
    nbytes : int
        Size of all files that are needed to load the graph.
    """

    content: Union[bytes, Dict[str, bytes]]
    definition: bytes
    nbytes: int


def export_graph(
    source: ExportSource,
    path: Path,
    options: Options,
    progress: Progress,
    title: str,
    pack: Callable[[InferenceGraph, Dict[str, Any]], Packed],
) -> Written:
    """Write a state of a run as a graph of :mod:`qatviz.export.graphs.lowering`, with its proof.

    Safe on any thread; uses graphs and sessions of its own. With the option ``form``, the graph rounds ("fake-quant"),
    rounds exact accumulators ("exact"), rounds by operations that TOCO converts ("toco"), or does not ("float").

    Parameters
    ----------
    title : str
        Name of the format in the proof.
    pack : callable
        Function that serializes the graph; its second argument is the description of the graph.

    Raises
    ------
    ExportError
        If an array is missing, no ranges were observed yet, or something can't be written; then nothing is.
    Cancelled
    """
    progress.at("folding the parameters", 0.0)
    form = options["form"]
    quantized = form != FLOAT
    model = _model(source, form)
    progress.at("writing the operations", 0.05)
    about = graph_about(source, form)
    graph = _graph(model, source, about)
    packed = pack(graph, about)
    with GraphRunner(packed.definition, graph.tensors, graph.inputs) as runner:
        notes = (*_accumulator_notes(model, form), *_converter_notes(model, form))
        ties_up = form == TOCO and bool(_average_pools(model))
        simulation = Simulation(
            f"{title} ({_form_title(model, form)})",
            RUNTIME,
            runner.values,
            packed.nbytes,
            notes,
            ties_up,
            form == EXACT,
        )
        report = prove_simulation(model, simulation, source, quantized, progress.part(0.1, 0.98))
    report = with_real_vectors(report)
    progress.at("writing the files", 0.98)
    outputs = tuple(f"`{name}:0`: {what}." for name, what in about["outputs"].items())
    guide = Guide(
        source,
        f"TensorFlow {title}, {_form_title(model, form)}",
        tuple(
            f"`{name}:0`: {source.network.input_type(name)} {['batch', *shape]}."
            for name, shape in source.network.inputs
        ),
        outputs,
        (),
        real_check(report, "tensorflow", "TensorFlow (1.15 or 2)", False, **_fed_text(source.network)),
    )
    return Written(write_export(path, packed.content, report, source.book, guide=guide), report)


def _fed_text(network: Network) -> Dict[str, str]:
    """Return the part of the check program that names the placeholders of several inputs."""
    names = [name + ":0" for name in network.input_names]
    return {"fed": f"dict(zip({names!r}, inputs))"} if len(names) > 1 else {}


def graph_nbytes(
    source: ExportSource, options: Options, pack: Callable[[InferenceGraph, Dict[str, Any]], Packed]
) -> int:
    """Return the size of an export (bytes); see :func:`export_graph`."""
    about = graph_about(source, options["form"])
    return pack(_graph(_model(source, options["form"]), source, about), about).nbytes


def _model(source: ExportSource, form: str) -> FakeQuantModel:
    return fake_quant_model(source.network, source.book, source.arrays, source.step, form != FLOAT, source.metadata)


def _graph(model: FakeQuantModel, source: ExportSource, about: Dict[str, Any]) -> InferenceGraph:
    form, tasks = about["form"], [head.task for head in source.dataset.heads]
    return inference_graph(model, about, tasks, form == EXACT, form != TOCO)


def _form_title(model: FakeQuantModel, form: str) -> str:
    """Return the display name of a form, which is "exact" only where the codes are."""
    return "rounded in double precision" if form == EXACT and model.has_wide_tensors else form


def _accumulator_notes(model: FakeQuantModel, form: str) -> Tuple[str, ...]:
    """Return a note on codes that differ because TensorFlow accumulates in float32."""
    wide = model.has_wide_tensors
    if form == EXACT and wide:
        return (
            "TensorFlow accumulates in float32, whose 24 bits do not hold the accumulators of tensors of more than 8 "
            f'bits: codes can differ, in spite of the form "exact" ({_WIDE_DIFFERENCES})',
        )
    if form not in (FAKE_QUANT, TOCO):
        return ()
    effect = (
        f'with tensors of more than 8 bits, codes can differ, also with the form "exact" ({_WIDE_DIFFERENCES})'
        if wide
        else 'in deep networks a few percent of the logits differ; with the form "exact" they are identical, as long '
        f"as accumulators have at most {EXACT_SUM_BITS} bits"
    )
    return (
        "accumulators in float32 have relative errors of about 1e-7, which changes the code of values that close to a "
        f"tie: {effect}",
    )


def _converter_notes(model: FakeQuantModel, form: str) -> Tuple[str, ...]:
    """Return a note on average pools, whose ties a converter to integers can't round as TFLite does."""
    pools = _average_pools(model)
    if not pools or form not in (FAKE_QUANT, TOCO):
        return ()
    if form == TOCO:
        return (
            f"{names_text(pools)}: ties of means are rounded up, as by the uint8 kernel of TOCO's file; evaluation and "
            "the format tflite round them away from zero, as LiteRT does",
        )
    return (
        f"{names_text(pools)}: TensorFlow 1.15's converter, TOCO, makes no integer file of this graph, because it has "
        'no integer form of the operations that round ties as TFLite does; it converts the form "toco"; the format '
        "tflite needs no converter",
    )


def _average_pools(model: FakeQuantModel) -> List[str]:
    """Return the names of the layers whose ties are rounded away from a center."""
    return [part.unit.name for part in model.units if part.tie is not None and part.tie.center is not None]


def graph_about(source: ExportSource, form: str) -> Dict[str, Any]:
    """Return the graph's description, JSON-able: its inputs, its outputs and its source."""
    rows = [
        {"name": name + ":0", "dtype": source.network.input_type(name), "shape": [None, *shape], "values": values}
        for (name, shape), values in zip(source.network.inputs, values_formulas(source.dataset))
    ]
    outputs: Dict[str, str] = {}
    heads, prefixes = source.dataset.heads, output_prefixes(source.network)
    for prefix, head, output in zip(prefixes, heads, source.network.output_shapes):
        outputs.update((prefix + part, text) for part, text in _part_texts(head.task, output).items())
    further = {"heads": [{"task": head.task, "classes": list(head.class_names)} for head in heads]}
    return {
        "made_by": f"qatviz {__version__}",
        "network": source.network.name,
        "form": form,
        **({"input": rows[0]} if len(rows) == 1 else {"inputs": rows}),
        "task": source.dataset.task,
        "outputs": outputs,
        "classes": list(source.dataset.class_names),
        "source": dict(source.metadata),
        **(further if len(heads) > 1 else {}),
    }


def _part_texts(task: str, shape: Tuple[int, ...]) -> Dict[str, str]:
    """Return texts on an output's nodes by their names."""
    texts = {LOGITS: f"float32 [batch, {', '.join(map(str, shape))}]"}
    if task in (CLASSIFICATION, SEGMENTATION):
        of = "" if task == CLASSIFICATION else " of each pixel"
        axes = ", ".join(map(str, ("batch", *shape[:-1])))
        single = is_single_logit(task, shape[-1])
        texts[PROBABILITIES] = "sigmoid of the logit: probability of class 1" if single else "softmax of the logits"
        texts[PROBABILITIES] += of
        texts[CLASS] = f"int64 [{axes}], " + ("1 if the logit is positive" if single else "index of the largest logit")
    elif task == MULTILABEL:
        texts[PROBABILITIES] = "sigmoids of the logits: probability of each label"
        texts[LABELS] = f"int64 [batch, {shape[-1]}], 1 where the logit is positive"
    return texts
