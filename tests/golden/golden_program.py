"""The program in a process of its own, which carries out one command line after the other.

TensorFlow is imported once for all of them, and their threads are not those of the tests. ``qatviz.__version__`` is set
before any other module of qatviz is imported: exports tell the version they were written by, and what is stored was
written by STORED_VERSION.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
STORED_VERSION = "0.1.0"


class Answer(NamedTuple):
    """What a command line gave: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of standard output, which must be strict JSON."""
        return json.loads(self.out.splitlines()[-1], parse_constant=lambda word: 1 / 0)


class Program:
    """The process; it starts with the first call, in ``folder``, where its standard error goes to a file too."""

    def __init__(self, folder: Path):
        self._folder, self._process, self._told = folder, None, folder / "stderr.txt"

    def call(self, *arguments: Any) -> Answer:
        """Return the answer to ``qatviz ARGUMENTS``."""
        if self._process is None:
            self._start()
        self._process.stdin.write(json.dumps([str(argument) for argument in arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the program died at {arguments}: {self._told.read_text(errors='replace')[-3000:]}"
        return Answer(*json.loads(line))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()

    def _start(self) -> None:
        # Times are told in the zone of the machine, tables fit the terminal.
        environment = dict(os.environ, PYTHONPATH=str(ROOT), TF_CPP_MIN_LOG_LEVEL="2", TZ="UTC", COLUMNS="80")
        with open(str(self._told), "wb") as told:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                universal_newlines=True,
                cwd=str(self._folder),
                env=environment,
            )


def _serve() -> None:
    import qatviz

    qatviz.__version__ = STORED_VERSION
    from qatviz.cli import main

    answers = sys.stdout
    for line in sys.stdin:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(json.loads(line))
        answers.write(json.dumps([code, out.getvalue(), err.getvalue()]) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
