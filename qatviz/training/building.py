"""Faster construction of large graphs."""

import contextlib
import gc
from typing import Iterator

from tensorflow.python.util import deprecation


@contextlib.contextmanager
def quick_building() -> Iterator[None]:
    """Speed up the construction of a graph in this context: by 20 % for 35,000 operations.

    TensorFlow then skips the check of each call for deprecated arguments, and Python does not collect garbage: the
    objects of the graph stay in use.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with deprecation.silence():
            yield
    finally:
        if collects:
            gc.enable()
