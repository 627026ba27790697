"""What comes to each quantizer of the evaluation graph, and what goes on from there."""

from typing import Dict, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.export.integers.frozen_state import Arrays
from qatviz.network.graph import Network
from qatviz.quant import live_state
from qatviz.training.lowering import lower
from qatviz.training.settings_book import SettingsBook

#: A tensor before and after its quantizer, float32.
Rounded = Tuple[np.ndarray, np.ndarray]


class QuantizerGraph:
    """The quantized evaluation graph of a moment, whose quantizers can be looked at.

    As :class:`qatviz.export.proof.graph.EvaluationGraph`: with a session of its own, for one thread at a time, and a
    context manager.
    """

    def __init__(self, network: Network, book: SettingsBook, arrays: Arrays, step: Optional[int] = None):
        place = live_state.layout(book.plan)
        last = max(s.quant_delay for s in book.quantizers) if step is None else step
        state = {name: arrays[name] for name in live_state.initial_ranges(place)}
        state.update(live_state.settings_arrays(place, book.quantizers, book.run, last))
        names = ["{}.{}".format(layer.name, name) for layer in network.layers
                 for name in network.parameter_shapes(layer.name)]
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.logging.set_verbosity(tf.logging.ERROR)
            self._images = tf.placeholder(tf.float32, (None,) + tuple(network.input_shape))
            quantizers = lower(network, book.plan, self._images, {name: tf.constant(arrays[name]) for name in names},
                               {name: tf.constant(value) for name, value in state.items()}, training=False).quantizers
        self._tensors = {name: (quantized.source, quantized.values) for name, quantized in quantizers.quantized.items()}
        config = tf.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        self._session = tf.Session(graph=self._graph, config=config)

    def run(self, images: np.ndarray) -> Dict[str, Rounded]:
        """All quantized tensors by their names (``conv1.weights``, ``conv1.activations``) for a batch of examples."""
        return self._session.run(self._tensors, {self._images: images})

    def __enter__(self) -> "QuantizerGraph":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
