"""Python's garbage collection, paused where much is made that stays in use."""

import contextlib
import gc
from typing import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Pause garbage collection in this context, in all threads of the process."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
