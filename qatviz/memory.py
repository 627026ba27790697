"""Lack of memory: the limits of this process, and the messages of errors that a lack of memory causes."""

import errno
import functools
import os
import sys
from typing import Any, Dict, Iterator, List, Optional

from qatviz.number_format import bytes_text

#: Message of the dynamic loader for a library that does not fit under a limit; a folder mounted with ``noexec`` causes
#: the same message without a limit.
_LOADER_MESSAGE = "failed to map segment from shared object"
#: C++ exceptions due to a lack of memory, by their mangled names, and their meaning.
_NATIVE_SHORTAGES = {
    b"St9bad_alloc": "an allocation failed",
    b"St12system_error": "can't start new thread",
    b"N5Xbyak5ErrorE": "compiled code does not fit",
}
#: If less address space (bytes) is left, a failed import counts as a lack of memory: a library needs a few MB.
_LEAST_ROOM = 32 * 2**20
#: Address space (bytes) of NumPy's libraries, and of each thread that they start: one for each processor.
_NUMPY_BYTES, _STACK_BYTES = 80 * 2**20, 8 * 2**20
#: Address space (bytes) of TensorFlow's libraries and of the smallest network.
_TENSORFLOW_BYTES = 700 * 2**20
#: Greatest number of threads that TensorFlow starts for each processor, and the size (bytes) of a thread's heap.
_THREADS_PER_PROCESSOR, _HEAP_BYTES = 5, 64 * 2**20
#: The handler of uncaught C++ exceptions, which must exist as long as the process.
_installed: List[Any] = []


def address_space_limit() -> Optional[int]:
    """Return the limit (bytes) of the address space of this process (``ulimit -v``); None if there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def address_space_left() -> Optional[int]:
    """Return the number of bytes by which this process may grow; None if its address space has no limit."""
    limit = address_space_limit()
    return None if limit is None else max(0, limit - proc_bytes("/proc/self/status", "VmSize:", 0))


def proc_bytes(path: str, entry: str, default: int) -> int:
    """Return the bytes of an ``entry``, such as "VmSize:", in a file of Linux's ``/proc``.

    Numbers in these files are in units of 1,024 bytes. ``default`` is returned if there is no such file or entry.
    """
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                if line.startswith(entry):
                    return int(line.split()[1]) * 1024
    return default


def check_room_for_numpy() -> None:
    """Raise a MemoryError if NumPy does not fit in the address space of this process: its import would crash."""
    if "numpy" not in sys.modules:
        _check_room("NumPy needs", _NUMPY_BYTES + _processors() * _STACK_BYTES)


def check_room_for_tensorflow() -> None:
    """Raise a MemoryError if TensorFlow or its threads do not fit in the address space of this process.

    TensorFlow would crash, or wait forever: it waits with Python's lock held for threads to start, so that not even the
    handler of `exit_on_native_shortage` would run.
    """
    _check_tensorflow("tensorflow" in sys.modules)


@functools.lru_cache(maxsize=None)  # once it has passed, the threads exist
def _check_tensorflow(is_imported: bool) -> None:
    threads = _processors() * _THREADS_PER_PROCESSOR * (_STACK_BYTES + _HEAP_BYTES)
    _check_room("TensorFlow needs", threads + (0 if is_imported else _TENSORFLOW_BYTES))


def _check_room(what: str, needed: int) -> None:
    """Raise a MemoryError, which begins with ``what``, if fewer bytes than ``needed`` are left."""
    left = address_space_left()
    if left is not None and left < needed:
        raise MemoryError(f"{what} {bytes_text(needed)}, {bytes_text(left)} are left")


def _processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_shortage(error: BaseException) -> Optional[str]:
    """Return the message for an error that is due to a lack of memory; None for any other error."""
    for found in _chain(error) if isinstance(error, ImportError) else [error]:
        if _is_shortage(found):
            return _message(_detail(found))
    return None


def exit_on_native_shortage(code: int) -> None:
    """Install a handler that ends this process with a message and an exit code if C++ code runs out of memory.

    TensorFlow's threads throw exceptions that nobody catches; the C++ runtime then aborts the process. Call this
    function before TensorFlow is imported, in processes that belong to the program only, not in a user's script.

    Raises
    ------
    MemoryError
        If TensorFlow does not fit, see :func:`check_room_for_tensorflow`.
    """
    check_room_for_tensorflow()
    if _installed or not sys.platform.startswith("linux"):
        return
    import ctypes

    try:
        runtime = ctypes.CDLL("libstdc++.so.6")
        exception_type, set_handler = runtime["__cxa_current_exception_type"], runtime["_ZSt13set_terminatePFvvE"]
    except (OSError, AttributeError):  # TensorFlow has another C++ runtime
        return
    handler = ctypes.CFUNCTYPE(None)
    exception_type.restype, set_handler.restype, set_handler.argtypes = ctypes.c_void_p, handler, [handler]
    texts: Dict[bytes, bytes] = {  # made now, while there is memory
        name: f"qatviz: error: {_message(detail)}\n".encode() for name, detail in _NATIVE_SHORTAGES.items()
    }

    def end() -> None:
        info = exception_type()  # std::type_info: virtual functions, then the name
        name = ctypes.c_char_p.from_address(info + ctypes.sizeof(ctypes.c_void_p)).value if info else None
        if name in texts:
            os.write(2, texts[name])
            os._exit(code)
        before()  # aborts the process

    kept = handler(end)
    before = set_handler(kept)
    _installed.append(kept)


def _message(detail: str) -> str:
    """Return the message on a lack of memory with this reason, and the limit of this process if it has one."""
    limit = address_space_limit()
    limited = f" (the limit of this process is {bytes_text(limit)}: ulimit -v)" if limit is not None else ""
    return f"there is not enough memory{': ' + detail if detail else ''}{limited}"


def _chain(error: Optional[BaseException]) -> Iterator[BaseException]:
    """Yield an error, and those from which, or while handling which, it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_shortage(error: BaseException) -> bool:
    """Return whether an error, apart from those that it was raised from, is due to a lack of memory."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, RuntimeError) and "start new thread" in str(error):  # Python has no class for this error
        return True
    # By its name, since only training imports TensorFlow; it also reports a full disk.
    if type(error).__name__ == "ResourceExhaustedError" and os.strerror(errno.ENOSPC) not in str(error):
        return True
    left = address_space_left()
    if left is None:
        return False
    return _LOADER_MESSAGE in str(error) or (left < _LEAST_ROOM and isinstance(error, ImportError))


def _detail(error: BaseException) -> str:
    """Return the line of an error's message that gives the reason."""
    lines = str(getattr(error, "message", "") or error).strip().splitlines() or [""]
    quoted = [line for line in lines if _LOADER_MESSAGE in line]  # TensorFlow and NumPy quote it in long explanations
    if quoted:
        return quoted[0].strip()
    return lines[-1 if isinstance(error, ImportError) else 0].strip()
