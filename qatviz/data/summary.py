"""Summary of a data set, as data and as text."""

from typing import Any, Dict, List

import numpy as np

from qatviz.data.dataset import Dataset
from qatviz.metric import REGRESSION

Rows = List[Dict[str, Any]]

# Rows per chunk of the mean, which limits the memory for the conversion to float64.
_ROWS = 1024
# Maximum number of outputs that are listed.
_OUTPUTS_SHOWN = 20
# Examples per class; with fewer, the labels may be regression targets.
_FEW_EXAMPLES = 4
# Outputs of an untrained network are of the order of 1; targets larger or smaller by this factor slow down training.
_MAX_SCALE = 100.0
# The representable range contains 0. If all targets are far from 0, few of the 256 codes represent them.
_CODES, _FEW_CODES = 256, 64


def describe(dataset: Dataset) -> Dict[str, Any]:
    """Summarize a data set.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dict
        JSON-serializable. Keys: `name`, `source`, `fingerprint`, `task` (str), `input_shape` (list of int), `dtype`
        (str), `pixel_scale` (float), `num_classes` (int), `classes` (list of dict with `name` and the counts `train`,
        `test`; empty for regression), `targets` (list with a dict per regression target, with `train` and `test`: dict
        with `min`, `max`, `mean`, `std`; empty for classification), `train` and `test` (dict with `examples`, `min`,
        `max`, `mean`, in units of the stored values), `notes` (list of str: likely mistakes).
    """
    n_classes = dataset.num_classes
    is_regression = dataset.task == REGRESSION
    counts: List[np.ndarray] = (
        []
        if is_regression
        else [np.bincount(labels, minlength=n_classes) for labels in (dataset.y_train, dataset.y_test)]
    )
    summary: Dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "task": dataset.task,
        "input_shape": [int(size) for size in dataset.input_shape],
        "dtype": dataset.x_train.dtype.name,
        "pixel_scale": dataset.pixel_scale,
        "num_classes": n_classes,
        "classes": [
            {"name": name, "train": int(n_train), "test": int(n_test)}
            for name, n_train, n_test in zip(dataset.class_names, *counts)
        ],
        "targets": [
            {"train": train, "test": test}
            for train, test in zip(_target_statistics(dataset.y_train), _target_statistics(dataset.y_test))
        ]
        if is_regression
        else [],
        "train": _statistics(dataset.x_train),
        "test": _statistics(dataset.x_test),
    }
    summary["notes"] = (_target_notes(summary) if is_regression else _class_notes(summary)) + _example_notes(summary)
    return summary


def format_description(summary: Dict[str, Any]) -> str:
    """Return the result of :func:`describe` as text for a terminal."""
    shape = "x".join(str(size) for size in summary["input_shape"])
    fed_as = "x / 255" if summary["dtype"] == "uint8" else "x"
    lines = [
        f"{summary['name']} from {summary['source']}",
        f"examples   {shape} {summary['dtype']}, fed to the network as {fed_as}",
    ]
    for part in ("train", "test"):
        lines.append(
            "{:<10} {examples:,} examples, values from {min:g} to {max:g}, mean {mean:.4g}".format(
                part, **summary[part]
            )
        )
    lines += _target_lines(summary["targets"]) if summary["targets"] else _class_lines(summary["classes"])
    lines += ["note: " + note for note in summary["notes"]]
    return "\n".join(lines)


def _class_lines(classes: Rows) -> List[str]:
    width = max([len("class")] + [len(entry["name"]) for entry in classes])
    lines = [f"{'class':<{width}} {'train':>9} {'test':>9}"]
    return lines + ["{name:<{width}} {train:>9,} {test:>9,}".format(width=width, **entry) for entry in classes]


def _target_lines(targets: Rows) -> List[str]:
    lines = [
        f"targets    {len(targets)} per example",
        ("{:<8}" + 5 * " {:>11}").format("output", "min", "max", "mean", "std", "test std"),
    ]
    for index, entry in enumerate(targets[:_OUTPUTS_SHOWN]):
        lines.append(
            "{:<8} {min:>11.5g} {max:>11.5g} {mean:>11.5g} {std:>11.5g} {:>11.5g}".format(
                index, entry["test"]["std"], **entry["train"]
            )
        )
    if len(targets) > _OUTPUTS_SHOWN:
        lines.append(f"and {len(targets) - _OUTPUTS_SHOWN} more")
    return lines


def _statistics(examples: np.ndarray) -> Dict[str, Any]:
    total = sum(
        float(examples[start : start + _ROWS].sum(dtype=np.float64)) for start in range(0, len(examples), _ROWS)
    )
    return {
        "examples": len(examples),
        "min": float(examples.min()),
        "max": float(examples.max()),
        "mean": total / examples.size,
    }


def _target_statistics(targets: np.ndarray) -> Rows:
    exact = targets.astype(np.float64)
    rows = zip(exact.min(axis=0), exact.max(axis=0), exact.mean(axis=0), exact.std(axis=0))
    return [dict(zip(("min", "max", "mean", "std"), map(float, row))) for row in rows]


def _class_notes(summary: Dict[str, Any]) -> List[str]:
    notes = []
    for part in ("train", "test"):
        absent = [entry["name"] for entry in summary["classes"] if entry[part] == 0]
        if absent:
            notes.append(
                f"no {part} examples for {len(absent)} of {summary['num_classes']} classes: "
                f"{', '.join(absent[:5]) + (' ...' if absent[5:] else '')}"
            )
    if summary["num_classes"] * _FEW_EXAMPLES > summary["train"]["examples"] and summary["num_classes"] > 20:
        notes.append(
            f"{summary['num_classes']:,} classes for {summary['train']['examples']:,} examples: if the labels are "
            "regression targets, set the task to regression"
        )
    return notes


def _target_notes(summary: Dict[str, Any]) -> List[str]:
    notes = []
    parts = [entry["train"] for entry in summary["targets"]]
    constant = [str(index) for index, part in enumerate(parts) if part["min"] == part["max"]]
    if constant:
        notes.append(
            "all training examples have the same target for output "
            f"{', '.join(constant[:5]) + (' ...' if constant[5:] else '')}"
        )
    for index, part in enumerate(parts):
        n_codes = _CODES * (part["max"] - part["min"]) / (max(part["max"], 0.0) - min(part["min"], 0.0) or 1.0)
        if 0 < n_codes < _FEW_CODES:
            notes.append(
                f"targets of output {index} are between {part['min']:.5g} and {part['max']:.5g}, far from 0, which the "
                f"representable range includes: only about {n_codes:.0f} of {_CODES} codes represent them; subtract "
                "their mean"
            )
            break
    size = max(max(abs(part["min"]), abs(part["max"])) for part in parts)
    if not 1 / _MAX_SCALE <= size <= _MAX_SCALE:
        notes.append(
            f"the largest absolute target is {size:.4g}, while outputs of an untrained network are of the order of 1: "
            "divide the targets by their standard deviation to train faster"
        )
    return notes


def _example_notes(summary: Dict[str, Any]) -> List[str]:
    notes = []
    values = summary["train"]
    if summary["dtype"] == "float32" and values["min"] >= 0 and 2 < values["max"] <= 255:
        notes.append(
            f"floating-point values reach {values['max']:g} and are fed unchanged: if they are pixels, store them as "
            "uint8 or divide them by 255"
        )
    if summary["dtype"] == "uint8" and values["max"] <= 1:
        notes.append(
            f"integer values reach only {values['max']:g} of 255 and are divided by 255: if they are not pixels, store "
            "them as float32"
        )
    if values["min"] == values["max"]:
        notes.append("all training examples are identical")
    shape = summary["input_shape"]
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] > 4:
        notes.append(f"images are {shape[0]} pixels high with {shape[2]} channels: expected channels last, not first")
    return notes
