"""What an exported graph says of itself: how to feed it, what comes out, and where it is from."""

from typing import Any, Dict, Tuple

from qatviz import __version__
from qatviz.export.graphs.lowering import CLASS, INPUT, LOGITS, PROBABILITIES
from qatviz.export.source import ExportSource
from qatviz.metric import CLASSIFICATION

#: What an exported graph rounds: as was trained; the same with exact sums; nothing.
FAKE_QUANT, EXACT, FLOAT = "fake-quant", "exact", "float"


#: What is to be said of a form.
_NOTES = {
    FAKE_QUANT: (
        "sums in float32 are off by a ten-millionth or so, and one that falls to the other side of a tie gets the next "
        'code: in deep networks some logits of a hundred differ; with the form "exact" they are the same',
    )
}


def notes_on(form: str) -> Tuple[str, ...]:
    """For the proof of a graph of this form."""
    return _NOTES.get(form, ())


def graph_about(source: ExportSource, form: str) -> Dict[str, Any]:
    """JSON-able; kept as the constant ``about`` of the graph."""
    scale = source.dataset.pixel_scale
    values = "examples as they are in the data"
    if scale != 1.0:
        values = f"pixels 0 to 255, multiplied by {float(scale)!r}: 0 to 1"
    shape = [None, *list(source.network.input_shape)]
    outputs = {LOGITS: f"float32 [batch, {source.network.num_outputs}]"}
    if source.dataset.task == CLASSIFICATION:
        outputs[PROBABILITIES] = "softmax of the logits"
        outputs[CLASS] = "int64 [batch], index of the largest logit"
    return {
        "made_by": f"qatviz {__version__}",
        "network": source.network.name,
        "form": form,
        "input": {"name": INPUT + ":0", "dtype": "float32", "shape": shape, "values": values},
        "task": source.dataset.task,
        "outputs": outputs,
        "classes": list(source.dataset.class_names),
        "source": dict(source.metadata),
    }
