"""Running an exported graph in TensorFlow: from examples to values of its tensors."""

from typing import Any, Dict, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.export.graph_lowering import INPUT

#: What the proof calls it.
RUNTIME = "TensorFlow {}".format(tf.__version__)


class GraphRunner:
    """A graph in a session of its own, as its users run it. One thread at a time; use as a context manager.

    Parameters
    ----------
    content : bytes, or str
        A serialized GraphDef; or the directory of a SavedModel.
    tensors : dict of str to str
        Names of the graph's tensors by those they go by here.
    """

    def __init__(self, content: Any, tensors: Mapping[str, str]):
        self._tensors = dict(tensors)
        graph = tf.Graph()
        with graph.as_default():
            self._session = tf.Session(graph=graph)
            if isinstance(content, bytes):
                definition = tf.GraphDef()
                definition.ParseFromString(content)
                tf.import_graph_def(definition, name="")
            else:
                tf.saved_model.loader.load(self._session, [tf.saved_model.tag_constants.SERVING], content)

    def values(self, images: np.ndarray, names: Sequence[str]) -> Dict[str, np.ndarray]:
        """Values of tensors by name for float32 ``images`` ``[n] + input shape``."""
        return self._session.run({name: self._tensors[name] for name in names}, {INPUT + ":0": images})

    def __enter__(self) -> "GraphRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
