"""Conversion of raw arrays to a `Dataset`; some of the examples are held out if there is no test part."""

import math
import os
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np

from qatviz.data.checks import are_pixels, check_memory, check_not_empty, convert_examples
from qatviz.data.dataset import Assumptions, Dataset, Note
from qatviz.data.example_weights import convert_weights
from qatviz.data.masks import convert_masks
from qatviz.data.split import random_split, stratified_split
from qatviz.data.streamed import Array, StreamedArray, is_streamed
from qatviz.data.targets import (
    convert_label_rows,
    convert_labels,
    convert_targets,
    has_strings,
    indices_of_names,
    infer_task,
)
from qatviz.data_options import AUTO
from qatviz.errors import DataError
from qatviz.scaling import SCALINGS, UNIT
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION, check_task

Part = Tuple[Any, Any]
"""Examples (array-like or :class:`StreamedArray`) and labels (array-like) of the training or test part."""
_Given = TypeVar("_Given")


class _Labels(NamedTuple):
    """Labels before their conversion; `where` names them in messages."""

    array: Any
    n_examples: int
    where: str


def from_arrays(
    name: str,
    source: str,
    train: Part,
    test: Optional[Part] = None,
    class_names: Optional[Sequence[str]] = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    where: Optional[Dict[str, str]] = None,
    task: Optional[str] = None,
    notes: Sequence[Note] = (),
    weights: Any = None,
    inputs: Tuple[Any, ...] = (),
    ignored_label: str = AUTO,
) -> Dataset:
    """Check and convert raw arrays, and hold out a part of them if no test part is given.

    Parameters
    ----------
    name, source : str
        See `Dataset`.
    train, test : (array, array)
        Examples, in a form that :func:`qatviz.data.checks.convert_examples` accepts, or streamed: float32, or uint8
        images. Labels: names of classes (strings), or in a form that :func:`~qatviz.data.targets.convert_labels` (class
        indices or one-hot rows), :func:`~qatviz.data.targets.convert_label_rows` (several labels for each example),
        :func:`qatviz.data.masks.convert_masks` (masks) or :func:`~qatviz.data.targets.convert_targets` (regression
        targets) accepts. Without `test`, some examples of `train` become the test part: stratified by class, or at
        random for another task.
    class_names : sequence of str, optional
        Names in the order of the class indices, or of the labels; by default those in the labels, in alphabetical
        order, or the numbers 0, 1, ....
    validation_fraction : float
        Fraction that is held out if `test` is None, above 0 and below 1.
    seed : int
        Seed of the split, at least 0.
    where : dict of str, optional
        Names for "x_train", "y_train", "x_test" and "y_test" in messages; by default ``"<source>: <key>"``.
    task : str, optional
        One of :data:`qatviz.task.TASKS`; by default inferred from the training labels, see
        :func:`qatviz.data.targets.infer_task`, but never as regression if there are `class_names`.
    notes : sequence of Note
        Notes of the reader.
    weights : ndarray, optional
        Weight of each example of `train` in the loss, at least 0.
    inputs : tuple of DataInput
        Inputs of a network with several; the examples are then rows as :func:`qatviz.data.data_input.packed` returns
        them.
    ignored_label : str
        Label of the pixels of masks that are ignored, a value of the data option of this name.

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
    names = {**{key: f"{source}: {key}" for key in ("x_train", "y_train", "x_test", "y_test")}, **(where or {})}
    is_inferred, are_names = task is None and class_names is None, False
    if task != REGRESSION and has_strings(train[1]):
        train, test, class_names = _with_indices(train, test, class_names, names)
        are_names = class_names is not None
    task = check_task(_inferred_task(train[1], class_names) if task is None else task)
    x_train, x_test = _examples(train, test, names, are_converted=bool(inputs))
    labels = [_Labels(train[1], len(x_train), names["y_train"])]
    if test is not None:
        labels.append(_Labels(test[1], len(x_test), names["y_test"]))
    targets = _targets(task, labels, class_names, source, x_train.dtype == np.uint8, ignored_label)
    y_train, y_test = targets.parts[0], targets.parts[-1]
    w_train = None if weights is None else convert_weights(weights, len(x_train), f"{source}: w_train")
    if test is None:
        x_train, y_train, x_test, y_test, rows = _hold_out(
            x_train, y_train, task, validation_fraction, seed, names["y_train"]
        )
        w_train = None if w_train is None else w_train[rows]
    return Dataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        source=source,
        class_names=targets.class_names,
        task=task,
        assumed=Assumptions(
            task=is_inferred,
            is_index=not are_names and (np.ndim(train[1]) == 1 or np.shape(train[1])[1:] == (1,)),
            held_out=validation_fraction if test is None else None,
            strings=are_names,
            numbered=task == CLASSIFICATION and class_names is None and np.size(train[1]) == len(train[1]),
            scaling=True,
            integers=_integer_type(train[0]),
            **targets.assumed,
        ),
        notes=tuple(notes),
        w_train=w_train,
        inputs=inputs,
    )


def _inferred_task(labels: Any, class_names: Optional[Sequence[str]]) -> str:
    """Return the task that labels suggest; with names of classes, numbers are class indices."""
    task = infer_task(labels)
    has_names = class_names is not None and np.ndim(labels) <= 2
    return CLASSIFICATION if task == REGRESSION and has_names else task


def _integer_type(array: Any) -> str:
    """Return the name of the dtype of examples if it is an integer type; empty for others."""
    dtype = array.dtype if is_streamed(array) else np.asarray(array).dtype
    return str(dtype.name) if dtype.kind in "iu" else ""


def _examples(train: Part, test: Optional[Part], names: Mapping[str, str], are_converted: bool) -> Tuple[Array, Any]:
    """Return the converted examples of both parts, which have one form; None for a missing test part."""
    x_train = train[0] if are_converted else converted_examples(train[0], names["x_train"])
    if test is None:
        return x_train, None
    is_bytes = x_train.dtype == np.uint8
    x_test = test[0] if are_converted else converted_examples(test[0], names["x_test"], pixels=is_bytes)
    check_same_form(x_test, x_train, names["x_test"], names["x_train"])
    return x_train, x_test


def check_same_form(array: Array, first: Array, where: str, where_first: str) -> None:
    """Raise a `DataError` if examples have another dtype or shape than those of the training part, ``first``."""
    if array.shape[1:] != first.shape[1:] or array.dtype != first.dtype:
        raise DataError(
            f"{where}: found {array.dtype} examples of shape {list(array.shape[1:])}; expected {first.dtype} of shape "
            f"{list(first.shape[1:])} as in {where_first}"
        )


class _Targets(NamedTuple):
    """Converted targets of each part, names of the classes or labels, and what was inferred, by `Assumptions` field."""

    parts: Sequence[np.ndarray]
    class_names: Tuple[str, ...]
    assumed: Dict[str, Any]


def _targets(
    task: str,
    labels: Sequence[_Labels],
    class_names: Optional[Sequence[str]],
    source: str,
    for_pixels: bool,
    ignored_label: str,
) -> _Targets:
    """Return the targets for a task; those that are pixels are scaled if the examples are, too (``for_pixels``)."""
    if task == SEGMENTATION:
        masks = convert_masks(labels, None if class_names is None else len(class_names), ignored_label)
        names = _checked_or_numbers(class_names, masks.num_classes, source)
        return _Targets(masks.parts, names, {"ignored_label": masks.ignored, "foreground": masks.is_foreground})
    parts, names = _CONVERSIONS[task](labels, class_names, source)
    if task == REGRESSION and for_pixels and _are_target_pixels(labels):
        return _Targets([SCALINGS[UNIT].apply(part) for part in parts], names, {"target_pixels": True})
    return _Targets(parts, names, {})


def _with_indices(
    train: Part, test: Optional[Part], class_names: Optional[Sequence[str]], where: Mapping[str, str]
) -> Tuple[Part, Optional[Part], Optional[Sequence[str]]]:
    """Return the parts with class indices in place of labels that are strings, and the names of the classes, if any.

    ``where`` has the names of the labels in messages, by "y_train" and "y_test".
    """
    parts = [(train[1], where["y_train"])] + ([] if test is None else [(test[1], where["y_test"])])
    found, indices = indices_of_names(parts, class_names)
    return (train[0], indices[0]), None if test is None else (test[0], indices[1]), found


def train_and_test(parts: Sequence[_Given]) -> Tuple[_Given, Optional[_Given]]:
    """Return the training part, which is the first one, and the part to hold out if there is another."""
    return parts[0], parts[1] if len(parts) > 1 else None


def name_from_path(path: str) -> str:
    """Return the name of a data set in a file or directory: the last part of the path without its extension."""
    last = os.path.basename(os.path.abspath(path))
    for extension in (".npz", ".tar.gz", ".gz", ".zip", ".csv", ".tsv"):
        if last.endswith(extension) and last != extension:
            return last[: -len(extension)]
    return last


def _class_labels(
    parts: Sequence[_Labels], class_names: Optional[Sequence[str]], source: str
) -> Tuple[List[np.ndarray], Tuple[str, ...]]:
    """Return the class indices of each part (int32 ``[N]``), and the class names."""
    (y_train, num_classes), *others = [convert_labels(*part) for part in parts]
    where = parts[0].where
    names = None if class_names is None else _checked_names(class_names, num_classes, source)
    num_classes = (num_classes if names is None else len(names)) or int(y_train.max()) + 1
    _check_range(y_train, num_classes, where)
    if np.ptp(y_train) == 0:
        raise DataError(f"{where}: found the single class {y_train[0]}; expected at least two classes")
    for (labels, classes), part in zip(others, parts[1:]):
        if classes not in (None, num_classes):
            raise DataError(
                f"{part.where}: found one-hot rows of {classes} classes; expected {num_classes} classes as in {where}"
            )
        _check_range(labels, num_classes, part.where)
    return [y_train] + [labels for labels, _ in others], names or tuple(map(str, range(num_classes)))


def _regression_targets(
    parts: Sequence[_Labels], class_names: Optional[Sequence[str]], source: str
) -> Tuple[List[np.ndarray], Tuple[str, ...]]:
    """Return the regression targets of each part (float32 ``[N, ...]``), and an empty tuple of class names."""
    if class_names is not None:
        raise DataError(f"{source}: found class names for regression; expected none")
    targets = [convert_targets(*part) for part in parts]
    where, first = parts[0].where, targets[0]
    if (first == first[0]).all():
        raise DataError(
            f"{where}: found the same targets in all examples ({np.array2string(first[0], threshold=8)}); expected "
            "different ones"
        )
    for others, part in zip(targets[1:], parts[1:]):
        if others.shape[1:] != first.shape[1:]:
            shapes = [", ".join(map(str, ("N", *targets.shape[1:]))) for targets in (others, first)]
            raise DataError(f"{part.where}: found shape [{shapes[0]}]; expected [{shapes[1]}] as in {where}")
    return targets, ()


def _label_rows(
    parts: Sequence[_Labels], class_names: Optional[Sequence[str]], source: str
) -> Tuple[List[np.ndarray], Tuple[str, ...]]:
    """Return the labels of each part (int32 ``[N, labels]``), and the names of the labels."""
    rows = [convert_label_rows(*part) for part in parts]
    count = rows[0].shape[1]
    for others, part in zip(rows[1:], parts[1:]):
        if others.shape[1] != count:
            raise DataError(
                f"{part.where}: found {others.shape[1]} labels for each example; expected {count} as in "
                f"{parts[0].where}"
            )
    return rows, _checked_or_numbers(class_names, count, source)


#: Conversions of the labels of each part by task; they also return the names of classes or labels.
_CONVERSIONS: Dict[
    str, Callable[[Sequence[_Labels], Optional[Sequence[str]], str], Tuple[List[np.ndarray], Tuple[str, ...]]]
] = {CLASSIFICATION: _class_labels, MULTILABEL: _label_rows, REGRESSION: _regression_targets}


def _are_target_pixels(parts: Sequence[_Labels]) -> bool:
    """Return whether targets are pixels in all parts, as those for training are."""
    arrays = [np.asarray(part.array) for part in parts]
    return all(array.dtype == np.uint8 for array in arrays) and are_pixels(arrays[0])


def converted_examples(array: Any, where: str, pixels: Optional[bool] = None) -> Array:
    """Return examples in the form that `Dataset` requires; ``pixels`` is that of `convert_examples`."""
    if not isinstance(array, StreamedArray):
        return convert_examples(array, where, pixels)
    check_not_empty(array.shape, where)
    if array.ndim == 3:
        array = array.reshape((*array.shape, 1))
    is_image = array.ndim == 4 and (array.dtype == np.uint8 if pixels else are_pixels(array))
    if not is_image and (array.dtype != np.float32 or array.ndim not in (2, 4)):
        raise DataError(
            f"{where}: found {array.dtype} of shape {list(array.shape)}, larger than memory; expected float32, or "
            "uint8 images other than masks of 0 and 1, which are read when they are used"
        )
    if not is_image and not math.isfinite(array.statistics().mean):
        raise DataError(f"{where}: found values that are not finite; expected none")
    return array


def _hold_out(
    examples: Array, labels: np.ndarray, task: str, fraction: float, seed: int, where: str
) -> Tuple[Array, np.ndarray, Array, np.ndarray, np.ndarray]:
    """Split examples and labels: x_train, y_train, x_test, y_test, and the indices of the training part (``[n]``)."""
    try:
        if task == CLASSIFICATION:
            train, test = stratified_split(labels, fraction, seed)
        else:
            train, test = random_split(len(labels), fraction, seed)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    if isinstance(examples, StreamedArray):
        return examples.rows(train), labels[train], examples.rows(test), labels[test], train
    # Both parts are copies, made while the original still exists.
    check_memory(where, examples.nbytes, "holding out a part of the examples")
    return examples[train], labels[train], examples[test], labels[test], train


def _checked_or_numbers(class_names: Optional[Sequence[str]], count: int, source: str) -> Tuple[str, ...]:
    """Return the checked names of ``count`` classes or labels, by default their numbers."""
    return tuple(map(str, range(count))) if class_names is None else _checked_names(class_names, count, source)


def _checked_names(class_names: Sequence[str], num_classes: Optional[int], source: str) -> Tuple[str, ...]:
    """Return names of classes or labels; raise a `DataError` unless they are unique, and as many as ``num_classes``."""
    names = tuple(str(name) for name in class_names)
    if num_classes is not None and len(names) != num_classes:
        raise DataError(
            f"{source}: found {len(names)} class names for rows of {num_classes} classes or labels; expected one name "
            "for each"
        )
    if len(set(names)) != len(names):
        raise DataError(f"{source}: found class names {list(names)} with a duplicate; expected unique names")
    return names


def _check_range(labels: np.ndarray, num_classes: int, where: str) -> None:
    """Raise a `DataError` if a class index is not below the number of classes."""
    if labels.max() >= num_classes:
        raise DataError(
            f"{where}: found label {labels.max()} in example {int(labels.argmax())}; expected 0 to {num_classes - 1} "
            f"for {num_classes} classes"
        )
