"""Calls of the command line within the test's process."""

import contextlib
import io
import json
import os

import numpy as np

from qatviz.cli import main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Answer:
    """Result of a call: exit code, standard output, standard error."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        """Return the last line of standard output, which must be strict JSON."""
        return json.loads(self.out.splitlines()[-1], parse_constant=lambda word: 1 / 0)


def call(*arguments):
    """Return the `Answer` to ``qatviz ARGUMENTS``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Answer(code, out.getvalue(), err.getvalue())


def error_of(*arguments):
    """Return the single line of the error of a refused call."""
    answer = call(*arguments)
    assert answer.code == 2 and answer.out == ""
    lines = answer.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("qatviz: error: "), answer.err
    return lines[0]


def write_data(path, poisoned=None):
    """Write a small data set with 200 examples of 6x6 for training; of these, ``poisoned`` overflows in float32."""
    random = np.random.RandomState(0)
    labels = np.arange(240) % 4
    images = random.rand(240, 6, 6, 1).astype(np.float32) + labels[:, None, None, None] / 2
    images /= 4  # like scaled pixels, about which there is nothing to warn of
    if poisoned is not None:
        images[poisoned] = 3e38
    np.savez(str(path), x_train=images[:200], y_train=labels[:200], x_test=images[200:], y_test=labels[200:])
    return path
