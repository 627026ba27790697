"""Archives and folders with examples of several inputs: ``x_NAME``, or ``x_train_NAME`` and ``x_test_NAME``."""

# Apart from qatviz.data.arrays, whose arrays have usual names, and which uses it.

import re
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import numpy as np

from qatviz.data.build import name_from_path
from qatviz.data.dataset import Dataset
from qatviz.data.heads import targets_in
from qatviz.data.inputs import from_inputs
from qatviz.data.stated import check_names, string_in
from qatviz.errors import DataError, SettingError
from qatviz.scaling import check_scaling, scalings_by_input

#: Names of arrays of one input, by what they begin with.
_OF_INPUT = {
    "x": re.compile(r"x_(?!(?:train|test|val|valid|validation)(?:_|$))(.+)"),
    "x_train": re.compile(r"x_train_(.+)"),
}
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

    Beside them, there are targets ``y``, or ``y_train`` and ``y_test``, or those of several outputs as in
    :mod:`qatviz.data.head_arrays`, and optionally ``w_train``, ``class_names``, ``task`` and ``scaling``.

    Parameters
    ----------
    path : str
    names : sequence of str
        Names of the arrays.
    read : callable
        Function that returns some of them by name.
    validation_fraction, seed, task, tasks
        As of :func:`qatviz.data.head_arrays.load_heads`.

    Raises
    ------
    DataError
        If the arrays are not a data set.
    """
    begins = [key for key in _OF_INPUT if len(inputs_in(names, key)) > 1 and key not in names]
    if not begins:
        return None
    begin = begins[-1]
    keys = inputs_in(names, begin)
    tests = {name: f"x_test_{name}" for name in keys if f"x_test_{name}" in names}
    if tests and len(tests) < len(keys):
        missing = next(name for name in keys if name not in tests)
        raise DataError(f"{path}: found no x_test_{missing}; expected test examples of each input, or of none")
    label = "y" + begin[1:]
    heads = {} if label in names else targets_in(names, begin)
    if label not in names and not heads:
        raise DataError(f"{path}: found {', '.join(keys.values())} without {label}; expected the targets")
    labels = {"train": heads or {"": label}}
    if tests:
        labels["test"] = {output: f"y_test_{output}" if output else "y_test" for output in labels["train"]}
    wanted = [*keys.values(), *tests.values(), *(key for own in labels.values() for key in own.values())]
    for key in wanted:
        if key not in names:
            raise DataError(f"{path}: found no {key}; expected it beside {', '.join(keys.values())}")
    about = ["w_train", "scaling", *(f"{key}{end}" for key in ("class_names", "task") for end in _ends(heads))]
    arrays = read([*wanted, *(name for name in about if name in names)])
    targets: Dict[str, Any] = {
        part: {output: arrays[key] for output, key in own.items()} for part, own in labels.items()
    }
    stated = {key: string_in(arrays[key], f"{path}: {key}") for key in arrays if key.split("_")[0] == "task"}
    class_names = arrays.get("class_names")
    if class_names is not None:
        check_names(class_names, f"{path}: class_names")
    return from_inputs(
        name_from_path(path),
        path,
        ({name: arrays[key] for name, key in keys.items()}, targets["train"] if heads else targets["train"][""]),
        None
        if not tests
        else ({name: arrays[key] for name, key in tests.items()}, targets["test"] if heads else targets["test"][""]),
        None if class_names is None else class_names.tolist() or None,
        validation_fraction,
        seed,
        {
            "x_train": f"{path}: {begin}_{{}}",
            "x_test": f"{path}: x_test_{{}}",
            "y_train": f"{path}: {label}" + ("_{}" if heads else ""),
            "y_test": f"{path}: y_test" + ("_{}" if heads else ""),
        },
        task or stated.get("task"),
        (),
        arrays.get("w_train"),
        {**{output: stated[f"task_{output}"] for output in heads if f"task_{output}" in stated}, **(tasks or {})},
        _stated_scalings(arrays, path),
    )


def inputs_in(names: Sequence[str], begin: str) -> Dict[str, str]:
    """Return the names of arrays of examples by name of the input, for what they begin with, x or x_train."""
    found = ((_OF_INPUT[begin].fullmatch(name), name) for name in names)
    return {match.group(1): name for match, name in found if match}


def _ends(heads: Mapping[str, str]) -> Sequence[str]:
    return [f"_{output}" for output in heads] or [""]


def _stated_scalings(arrays: Mapping[str, np.ndarray], path: str) -> Dict[str, str]:
    """Return the scalings by name of the input that the array "scaling" states."""
    if "scaling" not in arrays:
        return {}
    text = string_in(arrays["scaling"], f"{path}: scaling")
    try:
        return scalings_by_input(check_scaling(text))
    except SettingError as error:
        raise DataError(f"{path}: {error}") from error
