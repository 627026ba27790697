"""Where a user's Keras model is built: in a graph and session of its own, that leave nothing behind."""

import contextlib
from typing import Any, Iterator


@contextlib.contextmanager
def own_keras() -> Iterator[Any]:
    """A graph and a session (which it gives) that are the default until the context ends, and then are closed."""
    import tensorflow.compat.v1 as tf
    from tensorflow.python.keras.layers import core

    tf.logging.set_verbosity(tf.logging.ERROR)  # warnings about TensorFlow's own deprecations are nobody's here
    kept = dict(vars(core))
    config = tf.ConfigProto()
    # Keras reads and writes in one run a layer, each of which would have the whole graph optimized.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=config).as_default() as session:
        try:
            yield session
        finally:
            session.close()
            # Keras puts all names of the module that a Lambda is from among its own layers, for good.
            for name in set(vars(core)) - set(kept):
                delattr(core, name)
            vars(core).update(kept)
