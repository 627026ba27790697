"""Pauses of Python's garbage collection, where it would take time or free what is in use."""

import contextlib
import gc
from typing import Iterator


@contextlib.contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Pause garbage collection in this context, in all threads of the process."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
