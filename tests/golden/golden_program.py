"""A process that runs command lines of qatviz one after the other.

TensorFlow is imported once for all of them, and never by the tests themselves; equal runs share a graph. The process
sets ``qatviz.__version__`` before it imports any other module of qatviz: exports contain the version, and the stored
ones contain STORED_VERSION.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[2]
STORED_VERSION = "0.1.0"


class Answer(NamedTuple):
    """Exit code, standard output and standard error of a command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of standard output, parsed as strict JSON."""
        return json.loads(self.out.splitlines()[-1], parse_constant=lambda word: 1 / 0)


class Program:
    """The process. It starts with the first call, with ``folder`` as its working directory."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stderr = folder, folder / "stderr.txt"
        self._process: Optional[subprocess.Popen] = None

    def call(self, *arguments: Any) -> Answer:
        """Run ``qatviz ARGUMENTS``."""
        return Answer(*self._ask("call", [str(argument) for argument in arguments]))

    def describe(self, folder: Path) -> Dict[str, Dict[str, Any]]:
        """Return `golden_content.describe_all` of a folder."""
        return self._ask("describe", str(folder))

    def train(self, exported: Path, **options: Any) -> Dict[str, Any]:
        """Call `qatviz.train` with ``options``, export the result as ``npz``, and return its members."""
        return self._ask("train", [str(exported), options])

    def api(self) -> Dict[str, Any]:
        """Return `golden_surface.api`."""
        return self._ask("api", None)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()

    def _ask(self, what: str, given: Any) -> Any:
        if self._process is None:
            self._start()
        self._process.stdin.write(json.dumps([what, given]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process ended at {what} {given}: {self._stderr.read_text(errors='replace')[-3000:]}"
        return json.loads(line)

    def _start(self) -> None:
        environment = dict(
            os.environ,
            PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            TF_CPP_MIN_LOG_LEVEL="2",
            TZ="UTC",
            COLUMNS="80",
            QATVIZ_TFLM_PYTHON="/nowhere/python",  # arenas are computed, not measured where there is tflite-micro
        )
        with open(str(self._stderr), "wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                universal_newlines=True,
                cwd=str(self._folder),
                env=environment,
            )


def _call(arguments: List[str]) -> Answer:
    from qatviz.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return Answer(code, out.getvalue(), err.getvalue())


def _describe(folder: str) -> Dict[str, Dict[str, Any]]:
    from golden_content import describe_all

    return describe_all(Path(folder))


def _api(_: None) -> Dict[str, Any]:
    from golden_surface import api

    return api()


def _train(given: List[Any]) -> Dict[str, Any]:
    import qatviz

    exported, options = given
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        trained = qatviz.train(quiet=True, **options)
        written = trained.export(exported, format="npz", examples=4)
    outcome, moment = trained.outcome, trained.moment
    return {
        "members": sorted(name for name in dir(trained) if not name.startswith("_")),
        "network": trained.network.name,
        "directory": trained.directory,
        "scores": trained.scores,
        "accuracy": trained.accuracy,
        "outcome": [outcome.step, outcome.loss, outcome.evaluations, outcome.tensors(), outcome.to_dict()],
        "settings": moment.book.to_dict(),
        "arrays": {name: list(array.shape) for name, array in moment.arrays.items()},
        "paths": [str(path) for path in written.paths],
        "proof": [written.report.to_text(), written.report.faults, written.report.as_expected],
    }


def _serve() -> None:
    import qatviz

    qatviz.__version__ = STORED_VERSION
    from shared_graphs import GraphPool

    from qatviz.export.c import footprint, runner
    from qatviz.training import state_evaluator, trainer

    trainer.TrainingGraph = state_evaluator.TrainingGraph = GraphPool().take
    footprint.ARM, runner.FLAGS = "no-such-compiler", (*runner.FLAGS, "-O0")  # as tests/quick_c.py
    known: Dict[str, Callable] = {"call": _call, "describe": _describe, "train": _train, "api": _api}
    answers = sys.stdout
    for line in sys.stdin:
        what, given = json.loads(line)
        answers.write(json.dumps(known[what](given)) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
