"""Archives and folders with examples of several inputs: ``x_NAME``, or ``x_train_NAME`` and ``x_test_NAME``."""

# Apart from qatviz.data.arrays, whose arrays have usual names, and which uses it.

from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import numpy as np

from qatviz.data.build import name_from_path
from qatviz.data.dataset import Dataset
from qatviz.data.head_arrays import about_targets, keys_about, unused_notes
from qatviz.data.inputs import from_inputs
from qatviz.data.several import arrays_in
from qatviz.data.stated import string_in
from qatviz.errors import DataError, SettingError
from qatviz.scaling import check_scaling, scalings_by_input

#: Function from names of arrays to those arrays that exist.
Reader = Callable[[Sequence[str]], Mapping[str, np.ndarray]]


def load_inputs(
    path: str,
    names: Sequence[str],
    read: Reader,
    validation_fraction: float,
    seed: int,
    task: Optional[str],
    tasks: Optional[Mapping[str, str]],
) -> Optional[Dataset]:
    """Load a data set with examples of several inputs; return None if there are no such arrays.

    Beside them, there are targets ``y``, or ``y_train`` and ``y_test``, or those of several outputs, with the same
    descriptions of targets as in :mod:`qatviz.data.head_arrays`.

    Parameters
    ----------
    path : str
    names : sequence of str
        Names of the arrays.
    read : callable
        Function that returns some of them by name.
    validation_fraction, seed, task, tasks
        As in :func:`qatviz.data.head_arrays.load_heads`.

    Raises
    ------
    DataError
        If the arrays are not a data set.
    """
    begin = next((each for each in ("x_train", "x") if len(arrays_in(names, each)) > 1 and each not in names), None)
    if begin is None:
        return None
    keys = arrays_in(names, begin)
    tests = {name: f"x_test_{name}" for name in keys if f"x_test_{name}" in names}
    if tests and len(tests) < len(keys):
        missing = next(name for name in keys if name not in tests)
        raise DataError(f"{path}: found no x_test_{missing}; expected test examples of each input, or of none")
    label = "y" + begin[1:]
    heads = {} if label in names else arrays_in(names, label)
    if label not in names and not heads:
        raise DataError(f"{path}: found {', '.join(keys.values())} without {label}; expected the targets")
    labels = {"train": heads or {"": label}}
    outputs = list(labels["train"])
    if tests:
        labels["test"] = {output: f"y_test_{output}" if output else "y_test" for output in outputs}
    wanted = [*keys.values(), *tests.values(), *(key for own in labels.values() for key in own.values())]
    for key in wanted:
        if key not in names:
            raise DataError(f"{path}: found no {key}; expected it beside {', '.join(keys.values())}")
    wanted += [name for name in ("scaling", *keys_about(outputs)) if name in names]
    arrays = read(wanted)
    targets: Dict[str, Any] = {
        part: {output: arrays[key] for output, key in own.items()} for part, own in labels.items()
    }
    about = about_targets(arrays, outputs, path, task, tasks)
    return from_inputs(
        name_from_path(path),
        path,
        ({name: arrays[key] for name, key in keys.items()}, targets["train"] if heads else targets["train"][""]),
        None
        if not tests
        else ({name: arrays[key] for name, key in tests.items()}, targets["test"] if heads else targets["test"][""]),
        about.class_names if heads else about.class_names.get(""),
        validation_fraction,
        seed,
        {
            "x_train": f"{path}: {begin}_{{}}",
            "x_test": f"{path}: x_test_{{}}",
            "y_train": f"{path}: {label}" + ("_{}" if heads else ""),
            "y_test": f"{path}: y_test" + ("_{}" if heads else ""),
        },
        None if heads else about.tasks.get(""),
        unused_notes(names, wanted),
        about.weights if heads else about.weights.get(""),
        about.tasks if heads else {},
        _stated_scalings(arrays, path),
    )


def _stated_scalings(arrays: Mapping[str, np.ndarray], path: str) -> Dict[str, str]:
    """Return the scalings by name of the input that the array "scaling" states."""
    if "scaling" not in arrays:
        return {}
    text = string_in(arrays["scaling"], f"{path}: scaling")
    try:
        return scalings_by_input(check_scaling(text))
    except SettingError as error:
        raise DataError(f"{path}: {error}") from error
