"""What a data set holds, for people and for programs."""

import numpy as np

# Rows taken at once for the mean: bounds the memory that converting to float64 needs.
_ROWS = 1024


def describe(dataset):
    """Summarize a data set.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dict
        Ready for JSON. Keys: `name`, `source`, `fingerprint` (str), `input_shape` (list of int), `dtype` (str),
        `pixel_scale` (float), `num_classes` (int), `classes` (list of dict with `name`, `train`, `test`: counts),
        `train` and `test` (dict with `examples`, `min`, `max`, `mean`, in units of the stored values), `notes` (list of
        str: what looks unintended).
    """
    n_classes = dataset.num_classes
    counts = [np.bincount(labels, minlength=n_classes) for labels in (dataset.y_train, dataset.y_test)]
    summary = {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "input_shape": [int(size) for size in dataset.input_shape],
        "dtype": dataset.x_train.dtype.name,
        "pixel_scale": dataset.pixel_scale,
        "num_classes": n_classes,
        "classes": [{"name": name, "train": int(n_train), "test": int(n_test)}
                    for name, n_train, n_test in zip(dataset.class_names, *counts)],
        "train": _statistics(dataset.x_train),
        "test": _statistics(dataset.x_test),
    }
    summary["notes"] = _notes(summary)
    return summary


def format_description(summary):
    """Return what :func:`describe` found as lines of text for a terminal."""
    shape = "x".join(str(size) for size in summary["input_shape"])
    fed_as = "x / 255" if summary["dtype"] == "uint8" else "x"
    lines = [
        "{} from {}".format(summary["name"], summary["source"]),
        "examples   {} {}, fed to the network as {}".format(shape, summary["dtype"], fed_as),
    ]
    for part in ("train", "test"):
        lines.append("{:<10} {examples:,} examples, values from {min:g} to {max:g}, mean {mean:.4g}".format(
            part, **summary[part]))
    width = max([len("class")] + [len(entry["name"]) for entry in summary["classes"]])
    lines.append("{:<{width}} {:>9} {:>9}".format("class", "train", "test", width=width))
    lines += ["{name:<{width}} {train:>9,} {test:>9,}".format(width=width, **entry) for entry in summary["classes"]]
    lines += ["note: " + note for note in summary["notes"]]
    return "\n".join(lines)


def _statistics(examples):
    total = sum(float(examples[start:start + _ROWS].sum(dtype=np.float64)) for start in range(0, len(examples), _ROWS))
    return {"examples": len(examples), "min": float(examples.min()), "max": float(examples.max()),
            "mean": total / examples.size}


def _notes(summary):
    notes = []
    for part in ("train", "test"):
        absent = [entry["name"] for entry in summary["classes"] if entry[part] == 0]
        if absent:
            notes.append("no {} examples of {} of {} classes: {}".format(
                part, len(absent), summary["num_classes"], ", ".join(absent[:5]) + (" ..." if absent[5:] else "")))
    values = summary["train"]
    if summary["dtype"] == "float32" and values["min"] >= 0 and 2 < values["max"] <= 255:
        notes.append("floating-point values reach {:g} and are fed as they are: if these are pixels, store them as "
                     "uint8 or divide by 255".format(values["max"]))
    if summary["dtype"] == "uint8" and values["max"] <= 1:
        notes.append("integer values reach only {:g} of 255 and are divided by 255: if these are not pixels, store "
                     "them as float32".format(values["max"]))
    if values["min"] == values["max"]:
        notes.append("all training examples are the same")
    shape = summary["input_shape"]
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] > 4:
        notes.append("read as {} pixels high with {} channels: expected channels last, not first".format(
            shape[0], shape[2]))
    return notes
