"""Export of a recorded run in a process of its own, whose output reports progress: see :mod:`qatviz.cli.followed`."""

import json
import os
import subprocess
import sys
from typing import Any, Dict, List

from qatviz.errors import ExportError
from qatviz.export.progress import Progress
from qatviz.option_names import option_name
from qatviz.session.processes import python_path
from qatviz.session.record_requests import ExportRequest

#: Variables that limit computing libraries to one thread in an export; training uses the others.
_ONE_THREAD = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
#: Number of the last characters that are kept of what libraries print.
_KEPT = 4000


def export_arguments(request: ExportRequest) -> List[str]:
    """Return the command-line arguments for Python that export a permanent checkpoint and report progress."""
    arguments = ["export", request.directory, "--progress"]
    named = {
        "format": request.format,
        "out": request.out,
        "checkpoint": request.checkpoint,
        "examples": request.examples,
    }
    for name, value in {**named, **request.options}.items():
        if value is not None and value is not False:
            arguments += [option_name(name)] if value is True else [option_name(name), str(value)]
    return ["-m", "qatviz", *arguments]


def export_environment() -> Dict[str, str]:
    """Return the variables of an export's process in addition to those of this one."""
    return dict(dict.fromkeys(_ONE_THREAD, "1"), PYTHONPATH=python_path())


def run_export(request: ExportRequest, progress: Progress) -> Dict[str, Any]:
    """Export in a process of its own, and return the record of the proof.

    Raises
    ------
    ExportError
        If the export fails.
    Cancelled
        If ``progress`` is cancelled, which is noticed at the next report of the process.
    """
    process = subprocess.Popen(
        [sys.executable, *export_arguments(request)],
        env={**os.environ, **export_environment()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    result, reason, printed = None, "", ""
    try:
        for line in process.stdout:
            message = _message(line)
            if "progress" in message:
                progress.at(str(message.get("what", "")), float(message["progress"]))
            elif "result" in message:
                result = message["result"]
            elif "error" in message:
                reason = str(message["error"].get("message", ""))
            else:
                printed = (printed + line.decode("utf-8", "replace"))[-_KEPT:]
    except BaseException:  # cancelled, or the report of progress has failed
        process.stdin.close()  # cancels on every system
        process.terminate()
        for _ in process.stdout:  # the process can't end while it waits to write
            continue
        raise
    finally:
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe.close()
    if result is None:
        raise ExportError(reason or printed.strip().rpartition("\n")[2] or f"the export ended with code {code}")
    record: Dict[str, Any] = result
    return record


def _message(line: bytes) -> Dict[str, Any]:
    """Return the message in a line; empty for anything that a library has printed."""
    try:
        message = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return {}
    known = isinstance(message, dict) and {"progress", "result", "error"} & set(message)
    found: Dict[str, Any] = message if known else {}
    return found
