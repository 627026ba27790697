"""Temporary graph and session in which Keras models of the user are built."""

import contextlib
from typing import Any, Iterator

from qatviz.errors import require_tensorflow


@contextlib.contextmanager
def isolated_keras() -> Iterator[Any]:
    """Make a new graph and session the default, yield the session, and close it at the end."""
    require_tensorflow("running the code of a model")
    import tensorflow.compat.v1 as tf
    from tensorflow.python.keras.layers import core

    tf.logging.set_verbosity(tf.logging.ERROR)  # hides TensorFlow's deprecation warnings
    names_before = dict(vars(core))
    config = tf.ConfigProto()
    # Keras accesses the variables of each layer in a separate run, which would optimize the whole graph each time.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=config).as_default() as session:
        try:
            yield session
        finally:
            session.close()
            # Loading a Lambda adds all names of its module to Keras' module of layers, permanently.
            for name in set(vars(core)) - set(names_before):
                delattr(core, name)
            vars(core).update(names_before)
