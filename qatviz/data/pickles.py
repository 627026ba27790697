"""Safe reader of pickles that contain only plain containers and uint8 arrays, for the batches of CIFAR-10.

A pickle is a program, which `pickle.load` runs. This reader replaces the few names that the program may look up by
stand-ins that only record their arguments. Nothing else can be called, not even NumPy's own unpickling code, which
trusts its input.
"""

import io
import pickle
from typing import IO, Any, Callable, Dict, Optional

import numpy as np

from qatviz.data.checks import check_memory, wrap_read_errors
from qatviz.errors import DataError


def read_pickled_arrays(path: str, stream: IO[bytes], n_bytes: int) -> Dict[Any, Any]:
    """Read a dictionary of uint8 arrays and plain values.

    Parameters
    ----------
    path : str
        Name in messages.
    stream : binary file
        At the start of the pickle.
    n_bytes : int
        Size of the pickle.

    Returns
    -------
    dict
        Keys that are bytes are decoded as latin-1. Values are uint8 arrays, plain containers, numbers and strings.

    Raises
    ------
    DataError
        If the pickle is damaged, is not a dictionary, or looks up any name except those of NumPy's arrays.
    """
    check_memory(path, n_bytes)
    with wrap_read_errors(path, "a pickled batch"):
        content = _Reader(io.BytesIO(stream.read(n_bytes)), encoding="bytes").load()
        if not isinstance(content, dict):
            raise DataError(f"{path}: found a pickled {type(content).__name__}; expected a dictionary")
        return {
            key.decode("latin1") if isinstance(key, bytes) else key: _resolved(value, path)
            for key, value in content.items()
        }


def _resolved(value: Any, path: str) -> Any:
    """Return a value with a recorded array converted to an ndarray."""
    if isinstance(value, _RecordedArray):
        return value.to_array(path)
    if isinstance(value, (_RecordedCall, _AllowedName)):
        raise DataError(f"{path}: found a part of an array outside of an array; expected arrays and plain values")
    return value


class _RecordedCall:
    """Result of a call in a pickle, with the state that was set on it."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _RecordedArray(_RecordedCall):
    """Call that makes an array."""

    __slots__ = ()

    def to_array(self, path: str) -> np.ndarray:
        """Return the array of a state for ndarray.__setstate__: (version, shape, dtype, is_fortran, raw bytes)."""
        _, shape, dtype, is_fortran, raw = self.state
        if not isinstance(dtype, _RecordedDtype) or dtype.code not in ("u1", "|u1") or not isinstance(raw, bytes):
            raise DataError(f"{path}: found a pickled array of dtype {getattr(dtype, 'code', dtype)!r}; expected uint8")
        return np.frombuffer(raw, dtype=np.uint8).reshape(shape, order="F" if is_fortran else "C")


class _RecordedDtype(_RecordedCall):
    """Call that makes a dtype; ``code`` is its argument, such as "u1"."""

    __slots__ = ("code",)

    def __init__(self, code: Any):
        super().__init__()
        self.code = code.decode("latin1") if isinstance(code, bytes) else code


class _AllowedName:
    """Stand-in for a name that a pickle may look up: ``make`` is called in its place; None if it can't be called.

    No state can be set on it.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Optional[Callable[..., Any]]):
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        if self._make is None:
            raise pickle.UnpicklingError("an array class is called; expected calls of functions only")
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a state is set on a name; expected states of arrays only")


#: Stand-ins by module and name. Pickles of Python 3 with an early protocol store bytes as latin-1 text and a call of
#: _codecs.encode.
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _AllowedName(lambda *arguments: _RecordedArray()),
    ("numpy._core.multiarray", "_reconstruct"): _AllowedName(lambda *arguments: _RecordedArray()),
    ("numpy", "ndarray"): _AllowedName(None),
    ("numpy", "dtype"): _AllowedName(lambda code, *arguments: _RecordedDtype(code)),
    ("_codecs", "encode"): _AllowedName(lambda text, encoding: text.encode("latin1")),
}


# The Python implementation: in the C implementation, a few bytes can make the memo table allocate gigabytes.
class _Reader(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"found the name {module}.{name}; expected arrays and plain values only")
        return _NAMES[module, name]
