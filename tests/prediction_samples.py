"""Predictions of every task, made of random outputs."""

import numpy as np

from qatviz.analysis.predictions import OutputPredictions, Predictions
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

NAMES = ("cat", "dog", "bird")


def of_task(task, n=40, seed=0, single=False):
    """Return random predictions of a task, some of which flip; ``single``: of one logit for two classes."""
    random = np.random.RandomState(seed)
    if task == CLASSIFICATION:
        names = NAMES[:2] if single else NAMES
        targets = random.randint(0, len(names), n)
        centre = 2.0 * targets[:, np.newaxis] - 1 if single else 2.0 * np.eye(len(names))[targets]
    elif task == MULTILABEL:
        names, targets = NAMES, random.randint(0, 2, (n, 3))
        centre = 2.0 * targets - 1
    elif task == REGRESSION:
        names, targets = (), random.standard_normal((n, 2)) * 3
        centre = targets
    else:
        names, targets = NAMES, random.randint(0, 3, (n, 4, 5)).astype(np.uint8)
        targets[:, 0] = 255
        wrong = random.randint(0, 3, targets.shape)
        before = np.where(random.rand(*targets.shape) < 0.2, wrong, np.minimum(targets, 2))
        after = np.where(random.rand(*targets.shape) < 0.2, wrong, before)
        return OutputPredictions("", task, names, before.astype(np.uint8), after.astype(np.uint8), targets)
    before = centre + random.standard_normal(centre.shape)
    after = before + random.standard_normal(centre.shape)
    dtype = np.float32 if task == REGRESSION else np.int32
    return OutputPredictions(
        "", task, names, before.astype(np.float32), after.astype(np.float32), targets.astype(dtype)
    )


def predictions(*outputs, step=3, held_out=None):
    """Return predictions of these outputs, by default of a classification."""
    outputs = outputs or (of_task(CLASSIFICATION),)
    number = len(outputs[0].targets)
    return Predictions(step, number, held_out or number, outputs)


TASKS = (CLASSIFICATION, MULTILABEL, SEGMENTATION, REGRESSION)
