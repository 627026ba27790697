"""Limits of the address space (``ulimit -v``): a clear message, exit code 1, and a record that stays valid."""

import os
import shutil
import subprocess
import sys

import pytest
from cli_calls import ROOT, call, write_data
from exhaustive import EXHAUSTIVE, tries
from tensorflow_needed import needs_tensorflow
from waiting import run_process

from qatviz.errors import RecordError
from qatviz.memory import memory_shortage
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = [
    needs_tensorflow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space"),
]

OPTIONS = ["--network", "mlp", "--batch-size", "8", "--evaluation-interval", "20", "--quiet"]
SHORTAGE = "there is not enough memory"
MIB = 2**20
#: ``qatviz ARGUMENTS`` of a process whose address space is limited to a number of bytes.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
from qatviz.cli import main
sys.exit(main(sys.argv[2:]))
"""
#: The same, but from the 30th training step on, when the process may grow by the number of bytes.
LIMITED_WHILE_TRAINING = """
import resource, sys
from qatviz.cli import main
from qatviz.memory import proc_bytes
from qatviz.training.graph import TrainingGraph

step, calls = TrainingGraph.step, [0]

def limited(*arguments):
    calls[0] += 1
    if calls[0] == 30:
        limit = proc_bytes("/proc/self/status", "VmSize:", 0) + int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return step(*arguments)

TrainingGraph.step = limited
sys.exit(main(sys.argv[2:]))
"""


def limited(size, *arguments, program=LIMITED):
    """Return the end of ``qatviz ARGUMENTS`` by a program that gets ``size`` bytes."""
    environment = dict(os.environ, PYTHONPATH=ROOT, TF_CPP_MIN_LOG_LEVEL="2")
    return run_process(
        [sys.executable, "-c", program, str(size), *map(str, arguments)], env=environment, universal_newlines=True
    )


def assert_short_of_memory(ended):
    assert ended.returncode == 1 and SHORTAGE in ended.stderr.splitlines()[-1], ended
    assert "Traceback" not in ended.stderr and "ulimit -v" in ended.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "small.npz")


@pytest.fixture(scope="module")
def recorded(data, tmp_path_factory):
    """A run of 40 steps."""
    directory = tmp_path_factory.mktemp("recorded") / "run"
    assert call("train", "--data", data, *OPTIONS, "--steps", 40, "--out", directory).code == 0
    return directory


def commands(data, recorded, tmp_path):
    """Return the arguments of commands that need memory, by their names."""
    own = tmp_path / "resumed"
    shutil.copytree(str(recorded), str(own))
    return {
        "show": ["show", recorded],
        "report": ["report", recorded, "--out", tmp_path / "r.html"],
        "export": ["export", recorded, "--format", "npz", "--out", tmp_path / "x.npz", "--verify", 8],
        "evaluate": ["evaluate", recorded],
        "train": ["train", "--data", data, *OPTIONS, "--steps", 5, "--out", tmp_path / "new"],
        "resume": ["train", "--resume", own, "--steps", 60, "--quiet"],
    }


@pytest.mark.parametrize("size", tries([70], [40, 55, 70, 85, 100]))
@pytest.mark.parametrize("name", tries(["show", "train"], ["show", "report", "export", "evaluate", "train", "resume"]))
def test_without_memory_for_numpy_every_command_says_so(data, recorded, tmp_path, name, size):
    assert_short_of_memory(limited(size * MIB, *commands(data, recorded, tmp_path)[name]))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("size", tries([400], [200, 400, 700, 1000, 1200]))
@pytest.mark.parametrize("name", tries(["train", "export"], ["export", "evaluate", "train", "resume"]))
def test_without_memory_for_tensorflow_nothing_begins(data, recorded, tmp_path, name, size):
    assert_short_of_memory(limited(size * MIB, *commands(data, recorded, tmp_path)[name]))
    assert not (tmp_path / "new").exists() and not (tmp_path / "x.npz").exists()
    assert RunRecord.read(tmp_path / "resumed").last_step == 40


@pytest.mark.skipif(not EXHAUSTIVE, reason="where memory ends depends on the number of processors")
@pytest.mark.parametrize("size", range(1300, 2000, 20))
def test_with_almost_enough_memory_a_run_ends_with_a_message_or_finishes(data, tmp_path, size):
    run = tmp_path / "run"
    ended = limited(size * MIB, "train", "--data", data, *OPTIONS, "--steps", 40, "--out", run)
    if ended.returncode:
        assert_short_of_memory(ended)
    try:
        RunRecord.read(run)
    except RecordError as error:
        assert "not found" in str(error) and ended.returncode
        return
    assert call("train", "--resume", run, "--steps", 60, "--quiet").code == 0
    assert RunRecord.read(run).steps().steps.tolist() == list(range(1, 61))


@pytest.mark.parametrize("headroom", tries([0], [0, 2**12, 2**16, 2**18, 2**20, 2**21, 2**22]))
def test_a_run_whose_memory_ends_while_it_trains_can_be_resumed(data, tmp_path, headroom):
    run = tmp_path / "run"
    arguments = ["train", "--data", data, *OPTIONS[:2], "--batch-size", 200, "--quiet", "--out", run, "--steps", 60]
    ended = limited(headroom, *arguments, program=LIMITED_WHILE_TRAINING)
    if ended.returncode:
        assert_short_of_memory(ended)
    assert call("train", "--resume", run, "--steps", 65, "--quiet").code == 0
    assert RunRecord.read(run).steps().steps.tolist() == list(range(1, 66))


#: A C++ exception in a thread that is not Python's, as TensorFlow's threads throw.
NATIVE = """
import ctypes, sys
from qatviz.memory import exit_on_native_shortage
exit_on_native_shortage(3)
library = ctypes.CDLL("libstdc++.so.6")
throw = library[sys.argv[1]]
throw.argtypes = [ctypes.c_char_p]
throw(b"odd")
"""


@pytest.mark.parametrize(
    "thrower, code", [("_ZSt17__throw_bad_allocv", 3), ("_ZSt20__throw_length_errorPKc", -6)], ids=["memory", "other"]
)
def test_a_native_shortage_ends_the_process_with_a_message(thrower, code):
    environment = dict(os.environ, PYTHONPATH=ROOT)
    ended = run_process([sys.executable, "-c", NATIVE, thrower], env=environment, universal_newlines=True)
    assert ended.returncode == code, ended
    if code == 3:
        assert ended.stderr == f"qatviz: error: {SHORTAGE}: an allocation failed\n"
    else:
        assert "length_error" in ended.stderr


def test_words_of_the_loader_mean_a_shortage_only_under_a_limit():
    """Without a limit, a folder mounted with ``noexec`` causes them."""
    error = ImportError("a long explanation\n/x/y.so: failed to map segment from shared object\nmore")
    assert memory_shortage(error) is None
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "from qatviz.memory import memory_shortage\n"
        f"print(memory_shortage(ImportError({str(error)!r})), memory_shortage(ImportError('no module x')))"
    )
    out = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
    words = f"{SHORTAGE}: /x/y.so: failed to map segment from shared object"
    assert out == f"{words} (the limit of this process is 8.59 GB: ulimit -v) None\n"
