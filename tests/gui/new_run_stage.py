"""A launcher that answers the New run dialog without reading files, and its answers."""

import os
import threading

import numpy as np
from waiting import wait_for

from qatviz.errors import DataError, NetworkError
from qatviz.gui.model.launcher import Launcher
from qatviz.presentation.previews import GREY, RGB, ROWS, DataInfo

NAMES = [("mnist-5k", "digits"), ("cifar10", "photographs")]


def info_of(shape=(28, 28, 1), classes=10, train=4000, test=1000, task="classification", notes=(), name="digits"):
    """Information on data that does not exist."""
    kind, n = (ROWS if len(shape) == 1 else GREY if shape[2] == 1 else RGB), 32
    pixels = shape if kind != GREY else shape[:2]
    names = tuple(map(str, range(classes))) if task == "classification" else ("0 to 1", "1 to 2", "2 to 3")
    samples = (np.arange(n * int(np.prod(pixels))) % 256).astype(np.uint8).reshape((n, *tuple(pixels)))
    counts = [np.full(len(names), part // len(names), np.int64) for part in (train, test)]
    captions = tuple(names[index % len(names)] for index in range(n))
    return DataInfo(
        name,
        task,
        tuple(shape),
        (classes,),
        train,
        test,
        "uint8 from 0 to 255, fed as x / 255",
        kind,
        samples,
        captions,
        names,
        () if task == "classification" else (0.0, 1.0, 2.0, 3.0),
        counts[0],
        counts[1],
        tuple(notes),
        scaling="unit",
    )


DIGITS, PHOTOGRAPHS = info_of(), info_of((32, 32, 3), 10, 50000, 10000, notes=("dark",))
MISTAKEN = info_of(notes=("dark",))._replace(mistakes=("all training examples are identical",))


class StagedChecks(Launcher):
    """Launcher whose checks answer at once, or once ``gate`` is set; records the questions."""

    def __init__(self, data=None, models=None):
        super().__init__()
        self.data, self.models = (
            data or {"mnist-5k": DIGITS, "cifar10": PHOTOGRAPHS, "mistaken": MISTAKEN},
            models or {},
        )
        self.asked, self.ended, self.gate, self.begun = [], 0, None, threading.Event()

    def data_names(self):
        return NAMES

    def check_data(self, question):
        self.begun.set()
        if self.gate is not None:
            wait_for(self.gate)
        self.asked.append(question)
        found = self.data.get(question.source, DataError(f"{question.source!r} is no data set"))
        if isinstance(found, Exception):
            raise found
        return found

    def check_model(self, question):
        self.asked.append(question)
        found = self.models.get(os.path.basename(question.path), NetworkError("there is no such file"))
        found = found(question) if callable(found) else found
        if isinstance(found, Exception):
            raise found
        return found

    def cancel_checks(self):
        self.ended += 1
