"""Export to a frozen TensorFlow graph: a single ``.pb`` file."""

# A separate module because the registry of formats imports it by name.

from pathlib import Path
from typing import Any, Dict

from qatviz.export.formats import Options, Written
from qatviz.export.graphs.export import Packed, export_graph
from qatviz.export.graphs.lowering import InferenceGraph
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource


def export(source: ExportSource, path: Path, options: Options, progress: Progress) -> Written:
    """Write a state of a run as a serialized GraphDef; see :func:`qatviz.export.graphs.export.export_graph`."""
    return export_graph(source, path, options, progress, "Frozen graph", packed)


def packed(graph: InferenceGraph, about: Dict[str, Any]) -> Packed:
    """Return the serialized GraphDef."""
    content = graph.definition.SerializeToString()
    return Packed(content, content, len(content))
