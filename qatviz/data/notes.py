"""Notes on a data set: likely mistakes in it, and properties that were inferred because nothing states them.

The command line, the window and the API show these notes, and none of their own.
"""

from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from qatviz.data.dataset import Dataset, Note
from qatviz.data.masks import USUAL_IGNORED, ignored_fraction
from qatviz.data.targets import class_counts, columns_of
from qatviz.number_format import names_text, share_text
from qatviz.scaling import SCALING_FORM, SCALINGS, SIGNED, UNIT, UNSCALED, scaling_of
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

#: With more classes than these, and fewer examples per class, the labels may be regression targets.
_MANY_CLASSES, _FEW_EXAMPLES = 20, 4
#: Outputs of an untrained network are of the order of 1; targets larger or smaller by this factor slow down training.
_MAX_SCALE = 100.0
#: The representable range contains 0. If all targets are far from 0, few of the 256 codes represent them.
_CODES, _FEW_CODES = 256, 64
#: Rows with fewer floating-point numbers are not images.
_FEW_PIXELS = 64

#: Note on labels that look like classes, for a network with an output for numbers only.
BY_NETWORK = (
    "the network has a single output, so that the labels, whole numbers, are regression targets; set the task to "
    "classification if they are classes"
)
#: Advice for examples that were inferred to be features but may be pixels.
_SET_SCALING = f"set the scaling to {UNIT} ({SCALINGS[UNIT].formula}) or {SIGNED} ({SCALINGS[SIGNED].formula})"


def data_notes(dataset: Dataset, value_range: Optional[Tuple[float, float]] = None) -> Tuple[Note, ...]:
    """Return the notes on a data set, those of its reader among them; likely mistakes first.

    Parameters
    ----------
    dataset : Dataset
    value_range : (float, float), optional
        Smallest and largest value of `x_train`, if already known.
    """
    x = dataset.x_train
    low, high = value_range if value_range is not None else (float(x.min()), float(x.max()))
    heads = dataset.heads
    mistakes = [text for head in heads for text in _of_head(head, dataset, _TARGET_MISTAKES[head.task](head))]
    mistakes += _example_mistakes(dataset, low, high)
    inferred = _scaling(dataset, low, high)
    for head in heads:
        inferred += _of_head(head, dataset, _target_scaling(head) + _task(head) + _mask_labels(head))
    inferred += _held_out(dataset)
    for head in heads:
        inferred += _of_head(head, dataset, _weights(head))
    found = [Note(text, True) for text in mistakes] + [Note(text) for text in inferred]
    return tuple(sorted((*dataset.notes, *found), key=lambda note: not note.is_mistake))


def _of_head(head: Dataset, dataset: Dataset, texts: List[str]) -> List[str]:
    """Return texts on the targets of a data set for one output, with its name if ``dataset`` has several outputs."""
    return [f"output {head.output!r}: {text}" for text in texts] if dataset.further else texts


# Inferred properties: functions that return texts of notes, none if nothing was inferred


def _scaling(dataset: Dataset, low: float, high: float) -> List[str]:
    if dataset.inputs:
        return _input_scalings(dataset)
    integers = dataset.assumed.integers
    if not dataset.assumed.scaling or not integers:
        return []
    if dataset.scaling == UNIT:
        return [
            f"examples are pixels, {SCALINGS[UNIT].found} ({integers} images); if the network expects other values, "
            f"set the scaling to {SIGNED} ({SCALINGS[SIGNED].formula}) or {UNSCALED}"
        ]
    what = f"{integers} {'rows' if len(dataset.input_shape) == 1 else 'values'} from {low:g} to {high:g}"
    return [
        f"examples are features, {SCALINGS[UNSCALED].found} ({what})"
        + (f"; if they are pixels, {_SET_SCALING}" if _could_be_pixels(low, high) else "")
    ]


def _input_scalings(dataset: Dataset) -> List[str]:
    if not dataset.assumed.scaling:
        return []
    listed = ", ".join(
        f"{each.name!r} {'pixels' if each.is_bytes else 'values'} {scaling_of(each.scaling).found}"
        for each in dataset.inputs
    )
    return [f"the inputs are {listed}; a scaling for each decides otherwise ({SCALING_FORM})"]


def _weights(dataset: Dataset) -> List[str]:
    if dataset.w_train is None:
        return []
    low, high = dataset.w_train.min(), dataset.w_train.max()
    return [f"training examples have weights from {low:g} to {high:g} in the loss; the metric has none"]


def _target_scaling(dataset: Dataset) -> List[str]:
    if not dataset.assumed.target_pixels:
        return []
    return [f"targets are pixels, {scaling_of(dataset.scaling).found} as the examples are (uint8 images)"]


def _task(dataset: Dataset) -> List[str]:
    assumed, is_regression = dataset.assumed, dataset.task == REGRESSION
    if assumed.by_network:
        return [BY_NETWORK]
    if not assumed.task:
        return []
    if is_regression and len(dataset.output_shape) > 1:
        return ["the labels are images, so that they are regression targets"]
    if is_regression:
        return ["the labels are not whole numbers, so that they are regression targets"]
    if dataset.task == SEGMENTATION:
        return [
            f"the labels are masks, so that each pixel has one of {dataset.num_classes:,} classes; set the task to "
            "regression if they are images to predict"
        ]
    if dataset.task == MULTILABEL:
        return [
            f"the labels are rows of 0 and 1 with several ones, so that an example has any of {dataset.num_classes:,} "
            "labels"
        ]
    if assumed.strings:
        return [f"the labels are strings, so that they are {dataset.num_classes:,} classes, in alphabetical order"]
    found = "whole numbers" if assumed.is_index else "one-hot rows"
    return [
        f"the labels are {found}, so that they are {dataset.num_classes:,} classes; set the task to regression if they "
        "are numbers to predict"
    ]


def _mask_labels(dataset: Dataset) -> List[str]:
    if dataset.task != SEGMENTATION:
        return []
    if dataset.assumed.foreground:
        return [f"masks have the labels 0 and {USUAL_IGNORED}, which are the classes 0 and 1"]
    fraction, label = ignored_fraction(dataset.y_train), dataset.assumed.ignored_label
    if not fraction and label is None:
        return []
    of = "" if label is None else f", which have the label {label}"
    return [f"{share_text(fraction)} of the pixels of the training masks are ignored{of}"]


def _held_out(dataset: Dataset) -> List[str]:
    if dataset.assumed.held_out is None:
        return []
    count, total = len(dataset.x_test), len(dataset.x_test) + len(dataset.x_train)
    return [
        f"no test part is used: {count:,} of {total:,} examples were chosen at random and held out (validation "
        f"fraction {dataset.assumed.held_out:g})"
    ]


def _could_be_pixels(low: float, high: float) -> bool:
    """Return whether unscaled values may be pixels; values up to about 1 may be pixels that are scaled already."""
    return low >= 0 and 2 < high <= 255


# Likely mistakes: functions that return texts of notes, none if nothing was found


def _class_mistakes(dataset: Dataset) -> List[str]:
    notes, names = [], dataset.class_names
    for part, labels in (("train", dataset.y_train), ("test", dataset.y_test)):
        absent = [name for name, count in zip(names, class_counts(labels, len(names))) if count == 0]
        if absent:
            notes.append(f"no {part} examples for {len(absent)} of {len(names)} classes: {names_text(absent)}")
    if len(names) * _FEW_EXAMPLES > len(dataset.y_train) and len(names) > _MANY_CLASSES:
        notes.append(
            f"{len(names):,} classes for {len(dataset.y_train):,} examples: if the labels are regression targets, set "
            "the task to regression"
        )
    return notes


def _mask_mistakes(dataset: Dataset) -> List[str]:
    notes, names = [], dataset.class_names
    for part, masks in (("train", dataset.y_train), ("test", dataset.y_test)):
        absent = [name for name, count in zip(names, class_counts(masks, len(names))) if count == 0]
        if absent:
            number = f"{len(absent)} of {len(names)} classes"
            notes.append(f"no pixels of {number} in the {part} masks: {names_text(absent)}")
    return notes


def _label_mistakes(dataset: Dataset) -> List[str]:
    notes, names = [], dataset.class_names
    for part, labels in (("train", dataset.y_train), ("test", dataset.y_test)):
        counts = class_counts(labels, len(names))
        constant = [name for name, count in zip(names, counts) if count in (0, len(labels))]
        if constant:
            notes.append(
                f"{len(constant)} of {len(names)} labels are the same in all {part} examples: {names_text(constant)}"
            )
    return notes


def _regression_mistakes(dataset: Dataset) -> List[str]:
    notes = []
    targets = columns_of(dataset.y_train)
    lows, highs = (getattr(targets, name)(axis=0).astype(np.float64).tolist() for name in ("min", "max"))
    constant = [str(index) for index, (low, high) in enumerate(zip(lows, highs)) if low == high]
    if constant:
        notes.append(f"all training examples have the same target for output {names_text(constant)}")
    for index, (low, high) in enumerate(zip(lows, highs)):
        n_codes = _CODES * (high - low) / (max(high, 0.0) - min(low, 0.0) or 1.0)
        if 0 < n_codes < _FEW_CODES:
            notes.append(
                f"targets of output {index} are between {low:.5g} and {high:.5g}, far from 0, which the "
                f"representable range includes: only about {n_codes:.0f} of {_CODES} codes represent them; subtract "
                "their mean"
            )
            break
    size = float(np.abs(lows + highs).max())
    if not 1 / _MAX_SCALE <= size <= _MAX_SCALE:
        notes.append(
            f"the largest absolute target is {size:.4g}, while outputs of an untrained network are of the order of 1: "
            "divide the targets by their standard deviation to train faster"
        )
    return notes


def _example_mistakes(dataset: Dataset, low: float, high: float) -> List[str]:
    notes: List[str] = []
    if dataset.inputs:
        return ["all training examples are identical"] if low == high else notes
    is_float, shape = dataset.x_train.dtype == np.float32, dataset.input_shape
    may_be_images = len(shape) > 1 or shape[0] >= _FEW_PIXELS
    is_inferred = dataset.assumed.scaling and not dataset.assumed.integers
    if is_float and is_inferred and may_be_images and _could_be_pixels(low, high):
        notes.append(f"floating-point values reach {high:g} and are not scaled: if they are pixels, {_SET_SCALING}")
    largest = round(high * 255, 3) if is_float else high
    if dataset.scaling == UNIT and largest <= 1:
        notes.append(
            f"values reach only {largest:g} of 255 and are {SCALINGS[UNIT].found}: if they are not pixels, set the "
            f"scaling to {UNSCALED}"
        )
    if low == high:
        notes.append("all training examples are identical")
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] > 4:
        notes.append(f"images are {shape[0]} pixels high with {shape[2]} channels: expected channels last, not first")
    return notes


#: Likely mistakes in labels and targets, by task.
_TARGET_MISTAKES: Dict[str, Callable[[Dataset], List[str]]] = {
    CLASSIFICATION: _class_mistakes,
    MULTILABEL: _label_mistakes,
    SEGMENTATION: _mask_mistakes,
    REGRESSION: _regression_mistakes,
}
