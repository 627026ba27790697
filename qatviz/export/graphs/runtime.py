"""Runtime of exported graphs: TensorFlow, from examples to values of tensors."""

# A separate module, like the runtime of every format.

from typing import Dict, Mapping, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.export.graphs.lowering import INPUT

#: Name of the runtime in the proof.
RUNTIME = f"TensorFlow {tf.__version__}"


class GraphRunner:
    """Runner of a graph in its own session. One thread at a time; use as a context manager.

    Parameters
    ----------
    content : bytes
        A serialized GraphDef.
    tensors : dict of str to str
        Names of the graph's tensors, by the network's names.
    """

    def __init__(self, content: bytes, tensors: Mapping[str, str]):
        self._tensors = dict(tensors)
        definition = tf.GraphDef()
        definition.ParseFromString(content)
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(definition, name="")
        self._session = tf.Session(graph=graph)

    def values(self, images: np.ndarray, names: Sequence[str]) -> Dict[str, np.ndarray]:
        """Return the values of tensors by name for float32 ``images`` ``[n] + input shape``."""
        tensors = {name: self._tensors[name] for name in names}
        found: Dict[str, np.ndarray] = self._session.run(tensors, {INPUT + ":0": images})
        return found

    def __enter__(self) -> "GraphRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
