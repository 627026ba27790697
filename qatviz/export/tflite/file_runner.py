"""Runner of a TFLite file in the process of a runtime that needs a newer Python."""

from typing import Any, Dict, TypeVar

import numpy as np

from qatviz.export.newer_python import NewerProcess
from qatviz.export.tflite.written import TfliteModel

_Runner = TypeVar("_Runner", bound="FileRunner")


class FileRunner:
    """Runner of a file. One thread at a time; use as a context manager, which ends the process.

    Parameters
    ----------
    file : TfliteModel
    process : NewerProcess
        Process that runs the content of the file.
    """

    def __init__(self, file: TfliteModel, process: NewerProcess):
        self._file, self._process = file, process

    def run(self, codes: np.ndarray) -> Dict[str, np.ndarray]:
        """Return int32 codes of the outputs, by name, for the integer model's codes of the input, ``[n] + shape``.

        Raises
        ------
        ExportError
            If the runtime refuses the file, ends or does not answer in time.
        """
        return self._file.from_file(self._process.run(self._file.to_file(codes)))

    def __enter__(self: _Runner) -> _Runner:
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.__exit__()
