"""A pickle reader that can only build plain containers and byte-sized arrays, for the CIFAR batches.

A pickle is a program; `pickle.load` runs what it says. Here every name that a pickle may look up is replaced by a
stand-in that merely records its arguments, so that nothing else can be called, and NumPy's own unpickling code, which
trusts its input, is not reached.
"""

import io
import pickle

import numpy as np

from qatviz.data.checks import check_size, reading
from qatviz.errors import DataError


def read_pickled_arrays(path, stream, n_bytes):
    """Read a dictionary of uint8 arrays and plain values.

    Parameters
    ----------
    path : str
        For messages.
    stream : binary file
    n_bytes : int
        Size of the pickle.

    Returns
    -------
    dict
        Keys are str (bytes are decoded as latin-1); values are ndarray of uint8, or what plain containers, numbers and
        strings the pickle holds.

    Raises
    ------
    DataError
        If the pickle is damaged, is no dictionary, or names anything but NumPy's arrays.
    """
    check_size(path, n_bytes)
    with reading(path, "a pickled batch"):
        content = _Reader(io.BytesIO(stream.read(n_bytes)), encoding="bytes").load()
        if not isinstance(content, dict):
            raise DataError(f"{path}: found a pickled {type(content).__name__}: expected a dictionary")
        return {
            key.decode("latin1") if isinstance(key, bytes) else key: _resolved(value, path)
            for key, value in content.items()
        }


def _resolved(value, path):
    if isinstance(value, _Array):
        return value.to_array(path)
    if isinstance(value, (_Record, _Name)):
        raise DataError(f"{path}: found a value that is part of an array: expected arrays and plain values")
    return value


class _Record:
    """The result of a call in a pickle: what was called, and the state that was set on it."""

    __slots__ = ("state",)

    def __init__(self):
        self.state = None

    def __setstate__(self, state):
        self.state = state


class _Array(_Record):
    __slots__ = ()

    def to_array(self, path):
        """Return the array; ndarray.__setstate__ takes (version, shape, dtype, is_fortran, raw bytes)."""
        _, shape, dtype, is_fortran, raw = self.state
        if not isinstance(dtype, _Dtype) or dtype.code not in ("u1", "|u1") or not isinstance(raw, bytes):
            raise DataError(f"{path}: found a pickled array of dtype {getattr(dtype, 'code', dtype)!r}: expected uint8")
        return np.frombuffer(raw, dtype=np.uint8).reshape(shape, order="F" if is_fortran else "C")


class _Dtype(_Record):
    __slots__ = ("code",)

    def __init__(self, code):
        super().__init__()
        self.code = code.decode("latin1") if isinstance(code, bytes) else code


class _Name:
    """What a pickle gets for a name it looks up: callable where allowed, and impossible to set a state on."""

    __slots__ = ("_make",)

    def __init__(self, make):
        self._make = make

    def __call__(self, *arguments):
        if self._make is None:
            raise pickle.UnpicklingError("an array class is called")
        return self._make(*arguments)

    def __setstate__(self, state):
        raise pickle.UnpicklingError("a state is set on a name")


# Pickles of Python 3 with an early protocol hold bytes as latin-1 text and a call of _codecs.encode.
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _Name(lambda *arguments: _Array()),
    ("numpy._core.multiarray", "_reconstruct"): _Name(lambda *arguments: _Array()),
    ("numpy", "ndarray"): _Name(None),
    ("numpy", "dtype"): _Name(lambda code, *arguments: _Dtype(code)),
    ("_codecs", "encode"): _Name(lambda text, encoding: text.encode("latin1")),
}


# The Python implementation, not the C one: there a few bytes can make the memo table take gigabytes.
class _Reader(pickle._Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}: expected arrays and plain values only")
        return _NAMES[module, name]
