"""Evaluation graph of a state of a run, with which exports are compared."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.export.integers.frozen_state import Arrays, settings_state
from qatviz.export.integers.model import IntegerTensor
from qatviz.export.progress import Progress
from qatviz.export.proof.parity import codes_of
from qatviz.export.proof.scores import WholeScores, score
from qatviz.export.source import WholePart
from qatviz.network.graph import Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.quant.live import Modes
from qatviz.quant.oscillation import FROZEN_LEVELS
from qatviz.training.building import quick_building
from qatviz.training.lowering.forward_pass import lower

#: Batch size of the evaluation.
BATCH = 64
#: Number of examples that are scored between two reports of progress.
_SCORED = 8 * BATCH

#: A tensor before and after its quantizer, float32.
Rounded = Tuple[np.ndarray, np.ndarray]


class EvaluationGraph:
    """A network in inference form, with parameters, ranges and settings of one state as constants.

    It has its own session and may be used during training, by one thread at a time. Use as a context
    manager.

    Parameters
    ----------
    network : Network
    book : SettingsBook
    arrays : dict of str to np.ndarray
        See :func:`qatviz.export.integers.lowering.integer_model`.
    step : int, optional
        Number of training steps done; without it, delays of quantization count as over.
    """

    def __init__(self, network: Network, book: SettingsBook, arrays: Arrays, step: Optional[int] = None):
        self.output_names = network.output_names
        layout = live_state.layout(book.plan)
        state = {name: arrays[name] for name in live_state.initial_ranges(layout)}
        state.update({name: arrays[name] for name in (FROZEN_LEVELS,) if name in arrays})
        state.update(settings_state(layout, book, step))
        self._graph = tf.Graph()
        with self._graph.as_default(), quick_building():
            tf.logging.set_verbosity(tf.logging.ERROR)  # TensorFlow warns of its own deprecations
            self._images = tf.placeholder(tf.float32, (None, *network.input_shape))
            self._quantized = tf.placeholder(tf.bool, [])
            parameters = {name: tf.constant(arrays[name]) for name in network.all_parameter_shapes()}
            self._lowered = lower(
                network,
                book.plan,
                self._images,
                parameters,
                {name: tf.constant(value) for name, value in state.items()},
                training=False,
                modes=Modes(self._quantized, self._quantized),
                has_methods=bool(state["any_map"]) or FROZEN_LEVELS in state,
            )
        config = tf.ConfigProto()
        # As in training, where TensorFlow does not rewrite the graph.
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tf.Session(graph=self._graph, config=config)

    def logits(self, images: np.ndarray, quantized: bool = True) -> np.ndarray:
        """Return the first of :meth:`outputs`."""
        return self.outputs(images, quantized)[0]

    def outputs(self, images: np.ndarray, quantized: bool = True) -> List[np.ndarray]:
        """Return the network's outputs, float32 ``[n, ...]``, for float32 ``images`` ``[n] + input shape``.

        If not ``quantized``, they are computed in float.
        """
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        fetches = list(self._lowered.outputs)
        parts = [self._session.run(fetches, {self._images: batch, self._quantized: quantized}) for batch in batches]
        return [np.concatenate(part) for part in zip(*parts)]

    def rounded(self, images: np.ndarray) -> Dict[str, Rounded]:
        """Return all quantized tensors by name (``conv1.weights``, ``conv1.activations``) for one batch of examples."""
        tensors = {name: (known.source, known.values) for name, known in self._lowered.quantizers.quantized.items()}
        found: Dict[str, Rounded] = self._session.run(tensors, {self._images: images, self._quantized: True})
        return found

    def __enter__(self) -> "EvaluationGraph":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()


def whole_scores(
    graph: EvaluationGraph,
    whole: WholePart,
    quantized: bool = True,
    logits: Optional[Sequence[IntegerTensor]] = None,
    progress: Progress = Progress(),
) -> WholeScores:
    """Return the scores of each output in float and, if ``quantized``, of the evaluation on the held-out part.

    With ``logits``, the outputs of the evaluation are rounded to the codes of these tensors first, so that some are
    ties.
    """
    found: Dict[str, List[List[np.ndarray]]] = {"float": []}
    if quantized:
        found["evaluation graph"] = []
    for place, images in enumerate(whole.batches(_SCORED)):
        progress.at("scoring the held-out part", place * _SCORED / whole.count)
        found["float"].append(graph.outputs(images, quantized=False))
        if not quantized:
            continue
        evaluated = graph.outputs(images)
        if logits is not None:
            evaluated = [
                (codes_of(values, tensor) - tensor.zero_point) * np.float64(tensor.scale)
                for values, tensor in zip(evaluated, logits)
            ]
        found["evaluation graph"].append(evaluated)
    targets = zip((whole.labels, *whole.further), whole.metrics)
    first, *further = [
        {name: score(np.concatenate([part[index] for part in parts]), *own) for name, parts in found.items()}
        for index, own in enumerate(targets)
    ]
    return WholeScores(whole.count, whole.held_out, first, tuple(further))
