"""Summary of a data set, as data and as text."""

from typing import Any, Dict, List

import numpy as np

from qatviz.data.dataset import Dataset
from qatviz.data.notes import data_notes
from qatviz.data.streamed import Array, statistics_of
from qatviz.data.targets import class_counts, columns_of
from qatviz.scaling import scaling_of
from qatviz.task import MULTILABEL, REGRESSION, SEGMENTATION

#: Entries of the lists in the result of `describe`.
Rows = List[Dict[str, Any]]

#: Heading of the names of what is counted, by task; for masks, pixels are.
_COUNTED = {MULTILABEL: "label", SEGMENTATION: "pixels of"}
#: Largest number of regression targets that are listed.
_TARGETS_SHOWN = 20


def describe(dataset: Dataset) -> Dict[str, Any]:
    """Summarize a data set.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dict
        JSON-serializable, with the keys:

        - `name`, `source`, `fingerprint`, `task`, `dtype`, `scaling` (str), `input_shape` (list of int), `pixel_scale`
          (float), `num_classes` (int): the properties of the data set;
        - `classes` (list of dict; empty for regression): the `name` of each class or label, and the numbers of its
          examples, or of its pixels in masks, in the parts `train` and `test`;
        - `targets` (list of dict; empty without regression): for each target, `train` and `test`, each a dict with
          `min`, `max`, `mean` and `std`;
        - `train`, `test` (dict): number of `examples`, and `min`, `max` and `mean` of their values; those of uint8 are
          not scaled, those of float32 are as they are fed;
        - `notes`, `mistakes` (list of str): all texts of :func:`qatviz.data.notes.data_notes`, and those of them that
          are likely mistakes;
        - `outputs` (list of dict), only with targets of several outputs: for each, its name `output`, and its `task`,
          `num_classes`, `classes` and `targets`. These keys of the whole are those of the first output.
        - `inputs` (list of dict), only with several inputs: for each, its name `input`, and its `input_shape`, `dtype`
          and `scaling`. These keys of the whole are those of rows with the values of all inputs.
    """
    summary: Dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "fingerprint": dataset.fingerprint,
        "input_shape": [int(size) for size in dataset.input_shape],
        "dtype": dataset.x_train.dtype.name,
        "pixel_scale": dataset.pixel_scale,
        "scaling": dataset.scaling,
        **_targets_summary(dataset),
        "train": _statistics(dataset.x_train),
        "test": _statistics(dataset.x_test),
    }
    if dataset.inputs:
        summary["inputs"] = [
            {
                "input": each.name,
                "input_shape": list(each.shape),
                "dtype": "uint8" if each.is_bytes else "float32",
                "scaling": each.scaling,
            }
            for each in dataset.inputs
        ]
    if dataset.further:
        summary["outputs"] = [dict(output=head.output, **_targets_summary(head)) for head in dataset.heads]
    values = summary["train"]
    notes = data_notes(dataset, (values["min"], values["max"]))
    summary["notes"] = [note.text for note in notes]
    summary["mistakes"] = [note.text for note in notes if note.is_mistake]
    return summary


def _targets_summary(dataset: Dataset) -> Dict[str, Any]:
    """Return the entries of :func:`describe` on the targets of a data set, without those of further outputs."""
    n_classes, parts = dataset.num_classes, (dataset.y_train, dataset.y_test)
    counts = [class_counts(labels, n_classes) for labels in parts if dataset.task != REGRESSION]
    statistics = [_target_statistics(columns_of(y)) for y in parts if dataset.task == REGRESSION]
    return {
        "task": dataset.task,
        "num_classes": n_classes,
        "classes": [
            {"name": name, "train": int(n_train), "test": int(n_test)}
            for name, n_train, n_test in zip(dataset.class_names, *counts)
        ],
        "targets": [{"train": train, "test": test} for train, test in zip(*statistics)],
    }


def format_description(summary: Dict[str, Any]) -> str:
    """Return the result of :func:`describe` as text for a terminal."""
    lines = [f"{summary['name']} from {summary['source']}"]
    for row in summary.get("inputs", [summary]):
        shape = "x".join(str(size) for size in row["input_shape"])
        fed_as = f"{shape} {row['dtype']}, fed to the network as {scaling_of(row['scaling']).formula}"
        lines.append(f"{'input ' + row['input'] if 'input' in row else 'examples  '} {fed_as}")
    for part in ("train", "test"):
        lines.append(
            "{:<10} {examples:,} examples, values from {min:g} to {max:g}, mean {mean:.4g}".format(
                part, **summary[part]
            )
        )
    for row in summary.get("outputs", [summary]):
        lines += [f"output {row['output']}"] if "output" in row else []
        name = _COUNTED.get(row["task"], "class")
        lines += _target_lines(row["targets"]) if row["targets"] else _class_lines(row["classes"], name)
    lines += [f"{'warning' if note in summary['mistakes'] else 'note'}: {note}" for note in summary["notes"]]
    return "\n".join(lines)


def _class_lines(classes: Rows, head: str) -> List[str]:
    """Return a table of the numbers of examples; ``head`` is the title of the first column."""
    width = max([len(head)] + [len(entry["name"]) for entry in classes])
    lines = [f"{head:<{width}} {'train':>9} {'test':>9}"]
    return lines + ["{name:<{width}} {train:>9,} {test:>9,}".format(width=width, **entry) for entry in classes]


def _target_lines(targets: Rows) -> List[str]:
    """Return a table of the statistics of regression targets."""
    lines = [
        f"targets    {len(targets)} per example",
        ("{:<8}" + 5 * " {:>11}").format("output", "min", "max", "mean", "std", "test std"),
    ]
    for index, entry in enumerate(targets[:_TARGETS_SHOWN]):
        lines.append(
            "{:<8} {min:>11.5g} {max:>11.5g} {mean:>11.5g} {std:>11.5g} {:>11.5g}".format(
                index, entry["test"]["std"], **entry["train"]
            )
        )
    if len(targets) > _TARGETS_SHOWN:
        lines.append(f"and {len(targets) - _TARGETS_SHOWN} more")
    return lines


def _statistics(examples: Array) -> Dict[str, Any]:
    low, high, mean = statistics_of(examples)
    return {"examples": len(examples), "min": low, "max": high, "mean": mean}


def _target_statistics(targets: np.ndarray) -> Rows:
    """Return the statistics of each column of targets, ``[N, outputs]``."""
    exact = targets.astype(np.float64)
    rows = zip(exact.min(axis=0), exact.max(axis=0), exact.mean(axis=0), exact.std(axis=0))
    return [dict(zip(("min", "max", "mean", "std"), map(float, row))) for row in rows]
