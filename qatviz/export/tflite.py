"""Export to TFLite: the file, its proof, both written."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Union

import numpy as np

from qatviz.data import Dataset
from qatviz.export.errors import ExportError
from qatviz.export.frozen_state import Arrays
from qatviz.export.lower_integer import integer_model
from qatviz.export.parity_files import write_export
from qatviz.export.parity_graph import EvaluationGraph
from qatviz.export.parity_report import Exported, ParityReport, prove
from qatviz.export.tflite_lowering import tflite_model
from qatviz.export.tflite_runtime import REACHED, RUNTIME, TfliteRunner
from qatviz.network.graph import Network
from qatviz.training.settings_book import SettingsBook

#: Held-out examples that a file is run on by default: at most, at least, and multiplications of all together. (The
#: interpreter does some 150 million a second.)
_MOST, _FEWEST, _MACS = 1000, 16, 2 * 10**9


class Written(NamedTuple):
    """The files, the export first, and the proof."""

    paths: List[Path]
    report: ParityReport


def export_tflite(path: Union[str, Path], network: Network, book: SettingsBook, arrays: Arrays, dataset: Dataset,
                  step: Optional[int] = None, examples: Optional[int] = None, softmax: bool = False,
                  multiply_codes: bool = True, metadata: Optional[Dict[str, Any]] = None) -> Written:
    """Write a moment of a run as a TFLite file, with the proof that it computes what was seen.

    Any thread; it has its own session and touches no run. See :mod:`qatviz.export.parity_files` for what is written.

    Parameters
    ----------
    path : str or Path
    network, book, arrays, step, metadata
        As of :func:`qatviz.export.lower_integer.integer_model`.
    dataset : Dataset
        Its held-out part proves the file.
    examples : int, optional
        How many of it, from 1; by default 1,000, or fewer where the network is large. Where there are fewer, all.
    softmax, multiply_codes : bool
        As of :func:`qatviz.export.tflite_lowering.tflite_model`. The proof compares logits all the same.

    Raises
    ------
    ExportError
        If there is no integer model of it, TFLite can't hold it, or a file can't be written; then none is.
    """
    if examples is None:
        examples = min(_MOST, max(_FEWEST, _MACS // network.macs))
    if examples < 1:
        raise ExportError("examples is {}: expected a whole number of at least 1".format(examples))
    model = integer_model(network, book, arrays, step, metadata)
    file = tflite_model(model, softmax, multiply_codes)
    logits = tflite_model(model, multiply_codes=multiply_codes) if softmax else file
    layers = tflite_model(model, multiply_codes=multiply_codes, outputs=[op.output for op in model.ops])
    exported = Exported("TFLite {}".format(file.dtype.name), RUNTIME, TfliteRunner(logits).run,
                        TfliteRunner(layers).run, len(file.content), REACHED, file.notes)
    images = dataset.x_test[:examples].astype(np.float32)
    if dataset.pixel_scale != 1.0:
        images *= np.float32(dataset.pixel_scale)
    with EvaluationGraph(network, book, arrays, step) as graph:
        report = prove(model, exported, graph, images, dataset.y_test[:examples])
    return Written(write_export(path, file.content, report), report)
