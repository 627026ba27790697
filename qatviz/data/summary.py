"""What a data set holds, for people and for programs."""

import numpy as np

from qatviz.metric import REGRESSION

# Rows taken at once for the mean: bounds the memory that converting to float64 needs.
_ROWS = 1024
# Outputs whose targets are listed one by one.
_OUTPUTS_SHOWN = 20
# Examples a class: with fewer, labels may be numbers rather than classes.
_FEW_EXAMPLES = 4
# A network's first outputs are about 1 in size; targets a hundred times larger or smaller take it long to reach.
_FAR = 100.0
# Every grid contains 0: of the codes of 8 bits, fewer than so many are left for targets that all lie far from it.
_CODES, _FEW_CODES = 256, 64


def describe(dataset):
    """Summarize a data set.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dict
        Ready for JSON. Keys: `name`, `source`, `fingerprint`, `task` (str), `input_shape` (list of int), `dtype` (str),
        `pixel_scale` (float), `num_classes` (int), `classes` (list of dict with `name`, `train`, `test`: counts; empty
        for regression), `targets` (list of dict for each number to predict, with `train` and `test`: dict with `min`,
        `max`, `mean`, `std`; empty for classification), `train` and `test` (dict with `examples`, `min`, `max`, `mean`,
        in units of the stored values), `notes` (list of str: what looks unintended).
    """
    n_classes = dataset.num_classes
    is_regression = dataset.task == REGRESSION
    counts = (
        []
        if is_regression
        else [np.bincount(labels, minlength=n_classes) for labels in (dataset.y_train, dataset.y_test)]
    )
    summary = {
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


def format_description(summary):
    """Return what :func:`describe` found as lines of text for a terminal."""
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


def _class_lines(classes):
    width = max([len("class")] + [len(entry["name"]) for entry in classes])
    lines = [f"{'class':<{width}} {'train':>9} {'test':>9}"]
    return lines + ["{name:<{width}} {train:>9,} {test:>9,}".format(width=width, **entry) for entry in classes]


def _target_lines(targets):
    lines = [
        f"to predict {len(targets)} number{'' if len(targets) == 1 else 's'} an example",
        ("{:<8}" + 5 * " {:>11}").format("output", "least", "greatest", "mean", "std", "test std"),
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


def _statistics(examples):
    total = sum(
        float(examples[start : start + _ROWS].sum(dtype=np.float64)) for start in range(0, len(examples), _ROWS)
    )
    return {
        "examples": len(examples),
        "min": float(examples.min()),
        "max": float(examples.max()),
        "mean": total / examples.size,
    }


def _target_statistics(targets):
    exact = targets.astype(np.float64)
    rows = zip(exact.min(axis=0), exact.max(axis=0), exact.mean(axis=0), exact.std(axis=0))
    return [dict(zip(("min", "max", "mean", "std"), map(float, row))) for row in rows]


def _class_notes(summary):
    notes = []
    for part in ("train", "test"):
        absent = [entry["name"] for entry in summary["classes"] if entry[part] == 0]
        if absent:
            notes.append(
                f"no {part} examples of {len(absent)} of {summary['num_classes']} classes: "
                f"{', '.join(absent[:5]) + (' ...' if absent[5:] else '')}"
            )
    if summary["num_classes"] * _FEW_EXAMPLES > summary["train"]["examples"] and summary["num_classes"] > 20:
        notes.append(
            f"{summary['num_classes']:,} classes for {summary['train']['examples']:,} examples: if the labels "
            "are numbers to predict, give the task: "
            "regression"
        )
    return notes


def _target_notes(summary):
    notes = []
    parts = [entry["train"] for entry in summary["targets"]]
    constant = [str(index) for index, part in enumerate(parts) if part["min"] == part["max"]]
    if constant:
        notes.append(
            "the same number in all training examples for output "
            f"{', '.join(constant[:5]) + (' ...' if constant[5:] else '')}"
        )
    for index, part in enumerate(parts):
        n_codes = _CODES * (part["max"] - part["min"]) / (max(part["max"], 0.0) - min(part["min"], 0.0) or 1.0)
        if 0 < n_codes < _FEW_CODES:
            notes.append(
                f"numbers to predict of output {index} lie from {part['min']:.5g} to {part['max']:.5g}, far "
                "from 0, which every grid "
                f"contains: of {_CODES} codes some {n_codes:.0f} are left to tell them apart; subtract their mean"
            )
            break
    size = max(max(abs(part["min"]), abs(part["max"])) for part in parts)
    if not 1 / _FAR <= size <= _FAR:
        notes.append(
            f"numbers to predict reach {size:.4g} in size, far from the 1 or so that a network puts out at first: "
            "divide them by their standard deviation to train in fewer steps"
        )
    return notes


def _example_notes(summary):
    notes = []
    values = summary["train"]
    if summary["dtype"] == "float32" and values["min"] >= 0 and 2 < values["max"] <= 255:
        notes.append(
            f"floating-point values reach {values['max']:g} and are fed as they are: if these are pixels, "
            "store them as "
            "uint8 or divide by 255"
        )
    if summary["dtype"] == "uint8" and values["max"] <= 1:
        notes.append(
            f"integer values reach only {values['max']:g} of 255 and are divided by 255: if these are not "
            "pixels, store "
            "them as float32"
        )
    if values["min"] == values["max"]:
        notes.append("all training examples are the same")
    shape = summary["input_shape"]
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] > 4:
        notes.append(f"read as {shape[0]} pixels high with {shape[2]} channels: expected channels last, not first")
    return notes
