"""Fixtures for every test: TensorFlow is quiet, no time-out decides, and no test leaves a thread running."""

import ctypes
import gc
import os
import sys
import threading

import hypothesis
import pytest
from repeated_cases import mark_repeated_cases
from tensorflow_needed import REASON
from thread_leaks import still_running
from waiting import ENDLESS_S

from qatviz.tensorflow_presence import has_tensorflow, spare_xla

# Before any import of TensorFlow, whose C++ side reads them once: errors only, and graphs as programs run them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
spare_xla()

# The same examples each time: what passed once passes again. `--hypothesis-profile=search` looks for new ones.
# On a loaded machine, neither an example nor its making may take too long to pass.
UNTIMED = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("fixed", derandomize=True, **UNTIMED)
hypothesis.settings.register_profile("search", derandomize=False, **UNTIMED)
hypothesis.settings.load_profile("fixed")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that are marked slow, too")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Leave out slow tests, unless they are asked for: by the option, by a marker or by name."""
    are_named = any("::" in name for name in config.args)
    mark_repeated_cases(items, are_named)
    if config.getoption("--slow") or config.getoption("markexpr") or are_named:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


class WithoutTensorFlow:
    """Finder that skips each test module that imports TensorFlow, or ONNX for exports, where it is not installed.

    Later imports fail as they would without it: a test in a function says itself that it needs TensorFlow, see
    :mod:`tensorflow_needed`, so that no test of the window or of records is skipped by mistake.
    """

    def __init__(self):
        self.is_collecting = True

    def find_spec(self, name, path=None, target=None):
        if self.is_collecting and name.split(".")[0] in ("tensorflow", "onnx", "onnxruntime"):
            pytest.skip(REASON, allow_module_level=True)


_FINDER = WithoutTensorFlow()
if not has_tensorflow():
    sys.meta_path.insert(0, _FINDER)


def pytest_collection_finish():
    _FINDER.is_collecting = False
    # What is imported and collected stays: each collection of garbage would look at its million objects again.
    _first_example()  # hypothesis looks for the random generators of modules, which it would not find afterwards
    gc.collect()
    gc.freeze()


@hypothesis.given(hypothesis.strategies.none())
def _first_example(_):
    pass


def pytest_configure():
    """Refuse to run outside of the main thread, where no test can handle signals or use Qt.

    execnet's worker processes may do so if ``-n`` is used with ``-v``, which sends them a first task.
    """
    if threading.current_thread() is not threading.main_thread():
        raise pytest.UsageError("the tests are not in the main thread of this process: leave out -v beside -n")


@pytest.fixture(autouse=True, scope="session")
def patient_product():
    """Raise the time-outs of the package that a user should not wait for but a loaded machine may run into.

    Tests of what happens when they run out set their own.
    """
    from qatviz.telemetry import history_feed
    from qatviz.telemetry.record import schema
    from qatviz.telemetry.record.run_record import RunRecord
    from qatviz.training import server

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_feed, "READ_TIMEOUT_S", ENDLESS_S)
        patch.setattr(schema, "BUSY_TIMEOUT_S", ENDLESS_S)
        patch.setattr(server, "SESSION_TIMEOUT_S", ENDLESS_S)
        patch.setattr(RunRecord.flush, "__defaults__", (ENDLESS_S,))
        patch.setattr(RunRecord.close, "__defaults__", (ENDLESS_S,))
        yield


#: Growth of this process in MB after which unused memory is returned to the system.
_GROWTH_MB = 600
_RETURNED_AT_MB = [0.0]


@pytest.fixture(autouse=True, scope="module")
def unused_memory_returned():
    """Free what a module has left in cycles, such as graphs, and return it to the system, where it has become much.

    The memory of threads that have ended would otherwise stay with the process: it grew to several gigabytes.
    """
    yield
    if sys.platform == "linux" and _resident_mb() > _RETURNED_AT_MB[0] + _GROWTH_MB:
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the C library of some systems has none
        if trim is not None:
            trim(0)
        _RETURNED_AT_MB[0] = _resident_mb()


def _resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture(autouse=True)
def no_thread_left_running():
    """Fail the test that leaves a thread running, daemon or not."""
    before = set(threading.enumerate())
    yield
    left = still_running(before)
    assert not left, f"the test left threads running: {', '.join(repr(thread.name) for thread in left)}"
