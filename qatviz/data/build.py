"""From raw arrays to a checked `Dataset`, split where there is no test part."""

import os

import numpy as np

from qatviz.data.checks import as_examples, as_labels, check_size
from qatviz.data.dataset import Dataset
from qatviz.data.split import stratified_split
from qatviz.errors import DataError


def from_arrays(name, source, train, test=None, class_names=None, validation_fraction=0.2, seed=0, where=None):
    """Check and convert raw arrays, and hold out a part of them where no test part is given.

    Parameters
    ----------
    name, source : str
        See `Dataset`.
    train, test : (ndarray, ndarray)
        Examples and labels in any form that :func:`qatviz.data.checks.as_examples` and
        :func:`~qatviz.data.checks.as_labels` take. Without `test`, a stratified part of `train` becomes the test part.
    class_names : sequence of str, optional
        Names in the order of the labels; the digits 0, 1, ... by default.
    validation_fraction : float
        Share that is held out where `test` is None, above 0 and below 1.
    seed : int
        Of the split, at least 0.
    where : dict of str, optional
        What messages call "x_train", "y_train", "x_test" and "y_test": by default ``"<source>: <key>"``.

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
    names = {key: "{}: {}".format(source, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    names.update(where or {})
    x_train = as_examples(train[0], names["x_train"])
    y_train, num_classes = as_labels(train[1], len(x_train), names["y_train"])
    if class_names is not None:
        class_names = _checked_names(class_names, num_classes, source)
        num_classes = len(class_names)
    num_classes = num_classes or int(y_train.max()) + 1
    _check_range(y_train, num_classes, names["y_train"])
    if np.ptp(y_train) == 0:
        raise DataError("{}: found the single class {}: expected at least two classes to tell apart".format(
            names["y_train"], y_train[0]))
    if test is None:
        x_train, y_train, x_test, y_test = _held_out(x_train, y_train, validation_fraction, seed, names["y_train"])
    else:
        x_test = as_examples(test[0], names["x_test"])
        y_test, test_classes = as_labels(test[1], len(x_test), names["y_test"])
        if test_classes not in (None, num_classes):
            raise DataError("{}: found one-hot rows of {} classes: expected {} as in {}".format(
                names["y_test"], test_classes, num_classes, names["y_train"]))
        _check_range(y_test, num_classes, names["y_test"])
        if x_test.shape[1:] != x_train.shape[1:] or x_test.dtype != x_train.dtype:
            raise DataError("{}: found {} examples of shape {}: expected {} of shape {} as in {}".format(
                names["x_test"], x_test.dtype, list(x_test.shape[1:]), x_train.dtype, list(x_train.shape[1:]),
                names["x_train"]))
    return Dataset(name=name, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, source=source,
                   class_names=class_names or tuple(str(index) for index in range(num_classes)))


def name_of(path):
    """Return the short name of a data set in a file or directory: its last part without the ending."""
    last = os.path.basename(os.path.abspath(path))
    for ending in (".npz", ".tar.gz", ".gz"):
        if last.endswith(ending) and last != ending:
            return last[:-len(ending)]
    return last


def _held_out(examples, labels, fraction, seed, where):
    try:
        train, test = stratified_split(labels, fraction, seed)
    except DataError as error:
        raise DataError("{}: {}".format(where, error)) from error
    # Both parts are copies, made while the whole is still there.
    check_size(where, examples.nbytes, "holding out a part of the examples")
    return examples[train], labels[train], examples[test], labels[test]


def _checked_names(class_names, num_classes, source):
    class_names = tuple(str(name) for name in class_names)
    if num_classes is not None and len(class_names) != num_classes:
        raise DataError("{}: found {} class names for one-hot labels of {} classes: expected one name a class".format(
            source, len(class_names), num_classes))
    if len(set(class_names)) != len(class_names):
        raise DataError("{}: found class names {} with a duplicate: expected them to differ".format(
            source, list(class_names)))
    return class_names


def _check_range(labels, num_classes, where):
    if labels.max() >= num_classes:
        raise DataError("{}: found label {} in example {}: expected 0 to {}, as there are {} classes".format(
            where, labels.max(), int(labels.argmax()), num_classes - 1, num_classes))
