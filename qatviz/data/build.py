"""From raw arrays to a checked `Dataset`, split where there is no test part."""

import os

import numpy as np

from qatviz.data.checks import as_examples, check_size
from qatviz.data.dataset import Dataset
from qatviz.data.split import random_split, stratified_split
from qatviz.data.targets import as_labels, as_targets, task_of
from qatviz.errors import DataError
from qatviz.metric import CLASSIFICATION, REGRESSION, check_task


def from_arrays(
    name, source, train, test=None, class_names=None, validation_fraction=0.2, seed=0, where=None, task=None
):
    """Check and convert raw arrays, and hold out a part of them where no test part is given.

    Parameters
    ----------
    name, source : str
        See `Dataset`.
    train, test : (ndarray, ndarray)
        Examples and labels: the examples in any form that :func:`qatviz.data.checks.as_examples` takes, classes in any
        that :func:`~qatviz.data.targets.as_labels` takes (indices or one-hot rows), numbers to predict as
        :func:`~qatviz.data.targets.as_targets` takes them. Without `test`, a part of `train` becomes the test part:
        stratified by class, or at random for regression.
    class_names : sequence of str, optional
        Names in the order of the labels; the digits 0, 1, ... by default.
    validation_fraction : float
        Share that is held out where `test` is None, above 0 and below 1.
    seed : int
        Of the split, at least 0.
    where : dict of str, optional
        What messages call "x_train", "y_train", "x_test" and "y_test": by default ``"<source>: <key>"``.
    task : str, optional
        ``"classification"`` or ``"regression"``; by default it is told from the labels for training: floating-point
        numbers that are not all whole are to be predicted (see :func:`qatviz.data.targets.task_of`), all others, and
        those with `class_names`, are classes.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If the arrays do not fit; the message names what was found, where, and what is expected.
    SettingError
        If `validation_fraction` or `seed` is out of range.
    """
    names = {key: f"{source}: {key}" for key in ("x_train", "y_train", "x_test", "y_test")}
    names.update(where or {})
    if task is None:
        task = CLASSIFICATION if class_names is not None else task_of(train[1])
    x_train = as_examples(train[0], names["x_train"])
    given = [(train[1], len(x_train), names["y_train"])]
    if test is not None:
        x_test = as_examples(test[0], names["x_test"])
        given.append((test[1], len(x_test), names["y_test"]))
    labels, class_names = (_targets if check_task(task) == REGRESSION else _labels)(given, class_names, source)
    y_train, y_test = labels[0], labels[-1]
    if test is None:
        x_train, y_train, x_test, y_test = _held_out(
            x_train, y_train, task, validation_fraction, seed, names["y_train"]
        )
    elif x_test.shape[1:] != x_train.shape[1:] or x_test.dtype != x_train.dtype:
        raise DataError(
            f"{names['x_test']}: found {x_test.dtype} examples of shape {list(x_test.shape[1:])}: expected "
            f"{x_train.dtype} of shape {list(x_train.shape[1:])} as in {names['x_train']}"
        )
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        source=source,
        class_names=class_names,
        task=task,
    )


def name_of(path):
    """Return the short name of a data set in a file or directory: its last part without the ending."""
    last = os.path.basename(os.path.abspath(path))
    for ending in (".npz", ".tar.gz", ".gz"):
        if last.endswith(ending) and last != ending:
            return last[: -len(ending)]
    return last


def _labels(given, class_names, source):
    """Return the class indices of each part that is given (labels, number of examples, where), and names of classes."""
    (y_train, num_classes), *others = [as_labels(*part) for part in given]
    where = given[0][2]
    if class_names is not None:
        class_names = _checked_names(class_names, num_classes, source)
        num_classes = len(class_names)
    num_classes = num_classes or int(y_train.max()) + 1
    _check_range(y_train, num_classes, where)
    if np.ptp(y_train) == 0:
        raise DataError(f"{where}: found the single class {y_train[0]}: expected at least two classes to tell apart")
    for (labels, classes), (_, _, place) in zip(others, given[1:]):
        if classes not in (None, num_classes):
            raise DataError(f"{place}: found one-hot rows of {classes} classes: expected {num_classes} as in {where}")
        _check_range(labels, num_classes, place)
    return [y_train] + [labels for labels, _ in others], class_names or tuple(map(str, range(num_classes)))


def _targets(given, class_names, source):
    """Return the numbers to predict of each part that is given (targets, number of examples, where), and no names."""
    if class_names is not None:
        raise DataError(f"{source}: found class names for numbers to predict: expected none for regression")
    targets = [as_targets(*part) for part in given]
    where, first = given[0][2], targets[0]
    if (first == first[0]).all():
        raise DataError(
            f"{where}: found the same numbers in all examples ({np.array2string(first[0], threshold=8)}): "
            "expected some to predict"
        )
    for others, (_, _, place) in zip(targets[1:], given[1:]):
        if others.shape[1] != first.shape[1]:
            raise DataError(
                f"{place}: found {others.shape[1]} numbers an example: expected {first.shape[1]} as in {where}"
            )
    return targets, ()


def _held_out(examples, labels, task, fraction, seed, where):
    try:
        if task == REGRESSION:
            train, test = random_split(len(labels), fraction, seed)
        else:
            train, test = stratified_split(labels, fraction, seed)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    # Both parts are copies, made while the whole is still there.
    check_size(where, examples.nbytes, "holding out a part of the examples")
    return examples[train], labels[train], examples[test], labels[test]


def _checked_names(class_names, num_classes, source):
    class_names = tuple(str(name) for name in class_names)
    if num_classes is not None and len(class_names) != num_classes:
        raise DataError(
            f"{source}: found {len(class_names)} class names for one-hot labels of {num_classes} classes: "
            "expected one name a class"
        )
    if len(set(class_names)) != len(class_names):
        raise DataError(f"{source}: found class names {list(class_names)} with a duplicate: expected them to differ")
    return class_names


def _check_range(labels, num_classes, where):
    if labels.max() >= num_classes:
        raise DataError(
            f"{where}: found label {labels.max()} in example {int(labels.argmax())}: expected 0 to "
            f"{num_classes - 1}, as there are {num_classes} classes"
        )
