"""Runtime of exported graphs: TensorFlow, from examples to values of tensors."""

# A separate module, like the runtime of every format.

from typing import Dict, Mapping, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.inputs import split_examples
from qatviz.network.checks import INPUT

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
    inputs : sequence of (str, tuple of int)
        Names and shapes of its placeholders; by default of the only one, whose shape need not be known.
    """

    def __init__(
        self, content: bytes, tensors: Mapping[str, str], inputs: Sequence[Tuple[str, Tuple[int, ...]]] = ((INPUT, ()),)
    ):
        self._tensors, self._inputs = dict(tensors), [(name + ":0", shape) for name, shape in inputs]
        definition = tf.GraphDef()
        definition.ParseFromString(content)
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(definition, name="")
        self._session = tf.Session(graph=graph)

    def values(self, images: np.ndarray, names: Sequence[str]) -> Dict[str, np.ndarray]:
        """Return the values of tensors by name for float32 ``images`` ``[n] + input shape``."""
        tensors = {name: self._tensors[name] for name in names}
        found: Dict[str, np.ndarray] = self._session.run(tensors, split_examples(self._inputs, images))
        return found

    def __enter__(self) -> "GraphRunner":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
