"""The process that LiteRT runs in: requests, answers, errors and timeouts.

A program stands in for the newer Python with LiteRT: this Python, with a package of that name.
"""

import os
import stat
import sys

import numpy as np
import pytest

from qatviz.errors import ExportError
from qatviz.export.tflite import litert as litert_runtime
from qatviz.export.tflite.litert import Litert, LitertMissing, LitertRunner, find_litert
from qatviz.export.tflite.written import TfliteModel

FILE = TfliteModel(b"the content", np.dtype(np.uint8), {"input": 128, "first": 128, "second": 3})
#: Returns its input, and its input plus one, after running the test's code in ``invoke``.
STAND_IN = """
import os, time
import numpy as np
print("a library's own words")

class OpResolverType:
    AUTO, BUILTIN_WITHOUT_DEFAULT_DELEGATES = "auto", "builtin"

class Interpreter:
    def __init__(self, model_path, experimental_op_resolver_type):
        with open(model_path, "rb") as file:
            assert file.read() == b"the content"
        self.kernels, self.tensors = experimental_op_resolver_type, {{}}

    def get_input_details(self):
        return [{{"index": 7, "shape": np.int32([1, 3]), "dtype": np.uint8}}]

    def get_output_details(self):
        return [{{"index": 8}}, {{"index": 9}}]

    def resize_tensor_input(self, index, shape):
        self.shape = shape

    def allocate_tensors(self):
        self.tensors = {{}}

    def set_tensor(self, index, values):
        assert values.shape == self.shape and values.dtype == np.uint8
        self.tensors[index] = values

    def invoke(self):
        {invoke}
        self.tensors[8], self.tensors[9] = self.tensors[7], self.tensors[7] + np.uint8(1)

    def get_tensor(self, index):
        return self.tensors[index]
"""


def program(path, text):
    """Write an executable file."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def runner(tmp_path):
    """Return a function that makes a runner whose LiteRT runs the given code in ``invoke``."""
    made = []

    def make(invoke="pass", **options):
        package = tmp_path / "packages" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "interpreter.py").write_text(STAND_IN.format(invoke=invoke))
        python = program(
            tmp_path / "python", f"#!/bin/sh\nPYTHONPATH='{package.parent}' exec '{sys.executable}' \"$@\"\n"
        )
        made.append(LitertRunner(Litert(python, "9.9"), FILE, **options))
        return made[-1]

    yield make
    for runner in made:
        runner.__exit__()
        process = runner._process
        assert process._process.returncode is not None and not os.path.exists(process._directory.name)


def test_codes_are_passed_to_the_process_and_back(runner):
    run = runner().run
    for shape in ((2, 3), (2, 3), (1, 3)):
        codes = np.arange(-3, 3, dtype=np.int32)[: shape[0] * shape[1]].reshape(shape)
        found = run(codes)
        assert list(found) == ["first", "second"]
        np.testing.assert_array_equal(found["first"], codes)
        np.testing.assert_array_equal(found["second"], codes + 128 + 1 - 3)
        assert found["first"].dtype == np.int32


@pytest.mark.parametrize("kernels, name", [(litert_runtime.XNNPACK, "auto"), (litert_runtime.BUILTIN, "builtin")])
def test_the_requested_kernels_are_used(kernels, name, runner):
    with pytest.raises(ExportError, match="LiteRT 9.9: refuses the file: RuntimeError: kernels of " + name):
        runner("raise RuntimeError('kernels\\nof ' + self.kernels)", kernels=kernels).run(np.zeros((1, 3), np.int32))


def test_a_process_that_ends_is_an_error(runner):
    failing = runner("os._exit(5)")
    for _ in range(2):
        with pytest.raises(ExportError, match="LiteRT 9.9: ended without an answer, with exit code 5"):
            failing.run(np.zeros((1, 3), np.int32))


def test_a_process_that_does_not_answer_in_time_is_killed(runner):
    with pytest.raises(ExportError, match="did not answer within 3 s"):
        runner("time.sleep(600)", timeout_s=3).run(np.zeros((1, 3), np.int32))


def test_a_missing_python_is_an_error(tmp_path):
    with pytest.raises(ExportError, match="nowhere: can't be run: No such file"):
        LitertRunner(Litert(str(tmp_path / "nowhere"), "9.9"), FILE)


def test_nothing_is_imported_from_the_working_directory(runner, tmp_path, monkeypatch):
    """A user's module in the working directory does not shadow a library."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert runner().run(np.zeros((1, 3), np.int32))


# Search


def test_the_first_python_on_the_path_with_litert_is_used(tmp_path, monkeypatch):
    for name, text in (("a", "exit 1"), ("b", "echo 4.5.6"), ("c", "echo 7.8.9")):
        (tmp_path / name).mkdir()
        program(tmp_path / name / ("python3.13" if name != "c" else "python3.9"), "#!/bin/sh\n" + text)
    monkeypatch.delenv(litert_runtime.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/b:{tmp_path}/c:/bin")
    assert find_litert() == Litert(str(tmp_path / "b" / "python3.13"), "4.5.6")
    assert find_litert().name == "LiteRT 4.5.6"
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/c:/bin")
    assert find_litert() == Litert(str(tmp_path / "c" / "python3.9"), "7.8.9")
    monkeypatch.setenv("PATH", f"{tmp_path}/a:/nowhere")
    with pytest.raises(LitertMissing, match="no Python on PATH has the package ai-edge-litert.*QATVIZ_LITERT_PYTHON"):
        find_litert()


@pytest.mark.parametrize("named", ["/nowhere/python", "/bin/false", "/"])
def test_a_python_named_by_the_variable_is_used_or_refused(named, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path / "python3.12", "#!/bin/sh\necho 1.2.3")
    monkeypatch.setenv(litert_runtime.VARIABLE, named)
    with pytest.raises(LitertMissing, match=f"{litert_runtime.VARIABLE} is '{named}', which is not a Python"):
        find_litert()
    monkeypatch.setenv(litert_runtime.VARIABLE, str(tmp_path / "python3.12"))
    assert find_litert().version == "1.2.3"
