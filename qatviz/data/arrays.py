"""Data sets of named arrays: an .npz archive, or .npy files in one directory."""

import os
import re
from dataclasses import replace
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import check_memory, list_directory, wrap_read_errors
from qatviz.data.class_folders import skipped_notes
from qatviz.data.dataset import Dataset
from qatviz.data.head_arrays import load_heads
from qatviz.data.npy import read_array
from qatviz.data.npz import names_in_npz, read_npz
from qatviz.data.split_names import TEST, TRAIN, part_of_name
from qatviz.data.stated import check_names, in_stated_scaling, string_in
from qatviz.data_options import AUTO, SKIP, SPLIT, DataOptions
from qatviz.errors import ChoiceNeeded, DataError

KEYS_HELP = (
    "x, y or x_train, y_train, and optionally x_test, y_test, w_train, class_names, task; for several outputs y_NAME, "
    "or y_train_NAME and y_test_NAME"
)
#: Names of the data options that apply to arrays.
ARRAY_OPTIONS = ("features", "targets", "held_out", "unusable")

_NPY = ".npy"
#: Names of arrays that say more about the data.
_ABOUT = ("class_names", "task", "scaling", "w_train")
_EXAMPLES, _LABELS = "features", "targets"
_ROLES = {
    **dict.fromkeys(("x", "features", "images", "inputs", "data", "samples", "examples"), _EXAMPLES),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), _LABELS),
}
_ALL = "all"  # the part of arrays whose names mention none
_NAMES_SHOWN, _NAME_LENGTH = 8, 40

Pair = Tuple[str, str]
"""Names of the arrays with examples and with labels."""


class _Choice(NamedTuple):
    """Arrays to use, by name, and those that are not used."""

    train: Pair
    held_out: Optional[Pair]
    unused: Tuple[str, ...]


def load_npz(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    name: Optional[str] = None,
    source: Optional[str] = None,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
    tasks: Optional[Mapping[str, str]] = None,
) -> Dataset:
    """Load a data set from an .npz archive.

    The arrays with examples and labels are `x` and `y`, or have another usual name (`images`, `labels`, ...), alone or
    with that of a part: `x_train`, `test_labels`, `valX`. Without a test or validation part, a part of the examples is
    held out. Otherwise, the options name the two arrays. Further arrays are `w_train`, a weight of each example for
    training in the loss, `class_names`, an array of strings, and `task`, a name of :data:`qatviz.task.TASKS`. Files
    that qatviz writes also have `scaling`, a name of
    :data:`qatviz.scaling.SCALINGS`, which floating-point examples have already. Arrays that are not used are noted.
    Archives with targets of several outputs are those of :mod:`qatviz.data.head_arrays`.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        See :func:`qatviz.data.build.from_arrays`.
    name, source : str, optional
        Name and origin of the data set; default: name and path of the file.
    task : str, optional
        Task; default: the task in the archive; without that, see :func:`qatviz.data.build.from_arrays`.
    options : DataOptions
        `ARRAY_OPTIONS` of them are used.
    tasks : mapping of str to str, optional
        Tasks by name of the output, if there are targets of several; for others, `task`.

    Returns
    -------
    Dataset

    Raises
    ------
    ChoiceNeeded
        If the names do not tell which arrays to use.
    DataError
        If the file is damaged, or the arrays are not a data set.
    """
    names = names_in_npz(path)
    if not (options.features or options.targets):
        several = load_heads(path, names, validation_fraction, seed, task, tasks)
        if several is not None:
            return several
    chosen = _chosen(names, options, path)
    arrays = read_npz(path, (*chosen.train, *(chosen.held_out or ()), *_ABOUT))
    return _dataset(
        name or name_from_path(path), source or path, chosen, arrays, validation_fraction, seed, task, names
    )


def load_npy(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
) -> Dataset:
    """Load a data set from .npy files in one directory, whose names are those of the arrays in :func:`load_npz`.

    Parameters
    ----------
    path : str
        The directory; or a file in it, which has the examples if the names do not tell.

    Other parameters and errors are those of :func:`load_npz`.
    """
    is_file = not os.path.isdir(path)
    directory = os.path.dirname(path) or "." if is_file else path
    names = [name[: -len(_NPY)] for name in list_directory(directory) if _is_npy_name(name)]
    own = os.path.basename(path)[: -len(_NPY)] if is_file else ""
    if is_file and not options.features and (options.targets or _part_and_role(own) is None):
        options = replace(options, features=own)
    chosen = _chosen(names, options, directory)
    wanted = (*chosen.train, *(chosen.held_out or ()), *(name for name in _ABOUT if name in names))
    arrays = {name: _read_npy(os.path.join(directory, name + _NPY)) for name in wanted}
    return _dataset(name_from_path(directory), path, chosen, arrays, validation_fraction, seed, task, names)


def is_npy(path: str) -> bool:
    """Return whether a path is an .npy file, or a directory with several of them."""
    if os.path.isdir(path):
        return sum(map(_is_npy_name, list_directory(path))) > 1
    return _is_npy_name(path)


def _is_npy_name(name: str) -> bool:
    return name.endswith(_NPY) and not os.path.basename(name).startswith(".")


def _read_npy(path: str) -> np.ndarray:
    if not os.path.isfile(path):  # opening a pipe would block forever
        raise DataError(f"{path}: not a regular file; expected an .npy array")
    with wrap_read_errors(path, "an .npy array"), open(path, "rb") as stream:
        check_memory(path, os.path.getsize(path))
        return read_array(stream, path)


def _dataset(
    name: str,
    source: str,
    chosen: _Choice,
    arrays: Dict[str, np.ndarray],
    validation_fraction: float,
    seed: int,
    task: Optional[str],
    names: Sequence[str],
) -> Dataset:
    """Return the data set of the chosen arrays, and of those that say more about it."""
    class_names = arrays.get("class_names")
    if class_names is not None:
        check_names(class_names, f"{source}: class_names")
    if task is None and "task" in arrays:
        task = string_in(arrays["task"], f"{source}: task")
    where = dict(zip(("x_train", "y_train", "x_test", "y_test"), (*chosen.train, *(chosen.held_out or ()))))
    dataset = from_arrays(
        name,
        source,
        (arrays[chosen.train[0]], arrays[chosen.train[1]]),
        None if chosen.held_out is None else (arrays[chosen.held_out[0]], arrays[chosen.held_out[1]]),
        None if class_names is None else class_names.tolist() or None,
        validation_fraction,
        seed,
        {key: f"{source}: {array}" for key, array in where.items()},
        task,
        skipped_notes("arrays", chosen.unused),
        arrays.get("w_train"),
    )
    dataset = replace(dataset, choices={role: tuple(names) for role in (_EXAMPLES, _LABELS)})
    return in_stated_scaling(dataset, arrays, source)


# The choice of arrays


def _chosen(names: Sequence[str], options: DataOptions, path: str) -> _Choice:
    """Return the arrays to use: those of the options, else those whose names tell."""
    named = {_EXAMPLES: options.features, _LABELS: options.targets}
    for role, name in named.items():
        if name and name not in names:
            raise _choice_needed(names, path, f"{role} is {name!r}, but the file has {_listed(names)}", role)
    if options.features and options.targets:
        return _with_unused((options.features, options.targets), None, names)
    if any(named.values()):
        missing = _LABELS if options.features else _EXAMPLES
        raise _choice_needed(names, path, f"{missing} is missing: the file has {_listed(names)}", missing)
    parts = _parts(names)
    complete = {part: pair for part, pair in parts.items() if set(pair) == {_EXAMPLES, _LABELS}}
    train = [complete[part] for part in (TRAIN, _ALL) if part in complete]
    if len(train) == 2 and _pair(train[1]) != ("x", "y"):  # arrays of a part have the name of the part
        train = train[:1]
    is_test_incomplete = TEST in parts and TEST not in complete and options.unusable != SKIP
    if len(train) != 1 or is_test_incomplete:
        raise _choice_needed(names, path, f"no data set: the file has {_listed(names)}", _EXAMPLES)
    return _with_unused(_pair(train[0]), _held_out(complete, options, path), names)


def _parts(names: Sequence[str]) -> Dict[str, Dict[str, str]]:
    """Return the name of the array by part and role, where a single one is called so, or has the name of Keras."""
    found: Dict[Tuple[str, str], List[str]] = {}
    for name in names:
        place = _part_and_role(name)
        if place is not None:
            found.setdefault(place, []).append(name)
    parts: Dict[str, Dict[str, str]] = {}
    for (part, role), candidates in found.items():
        first = "x" if role == _EXAMPLES else "y"
        usual = first if part == _ALL else f"{first}_{part}"
        if len(candidates) == 1 or usual in candidates:
            parts.setdefault(part, {})[role] = usual if usual in candidates else candidates[0]
    return parts


def _held_out(complete: Dict[str, Dict[str, str]], options: DataOptions, path: str) -> Optional[Pair]:
    wanted = options.held_out_parts
    for part in wanted:
        if part in complete:
            return _pair(complete[part])
    if options.held_out in (AUTO, SPLIT):
        return None
    raise DataError(f"{path}: found no {options.held_out} part to hold out", "held_out")


def _pair(roles: Dict[str, str]) -> Pair:
    return roles[_EXAMPLES], roles[_LABELS]


def _with_unused(train: Pair, held_out: Optional[Pair], names: Sequence[str]) -> _Choice:
    used = {*train, *(held_out or ()), *_ABOUT}
    return _Choice(train, held_out, tuple(name for name in names if name not in used))


def _part_and_role(name: str) -> Optional[Tuple[str, str]]:
    """Return the part and the role that an array's name tells; None if it tells no role."""
    spaced = re.sub(r"^([xyXY])(?=(?:train|test|val)\w*$)|(?<=[ntld])(?=[XYxy]$)", r"\1_", name)
    words = [word for word in re.split(r"[\W_]+", spaced.lower()) if word]
    roles = [word for word in words if word in _ROLES]
    others = [word for word in words if word not in _ROLES]
    if len(roles) != 1 or len(others) > 1:
        return None
    part = part_of_name(others[0], is_decorated=False) if others else _ALL
    return None if part is None else (part, _ROLES[roles[0]])


def _choice_needed(names: Sequence[str], path: str, what: str, field: str) -> ChoiceNeeded:
    return ChoiceNeeded(
        f"{path}: {what}; expected {KEYS_HELP}, or the names of two arrays as features and targets",
        field,
        {role: tuple(names) for role in (_EXAMPLES, _LABELS)},
    )


def _listed(names: Sequence[str]) -> str:
    """Return the names of arrays for a message, some of them."""
    shown = [
        repr(name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 3] + "...") for name in names[:_NAMES_SHOWN]
    ]
    return ", ".join(shown + ["..."] * (len(names) > _NAMES_SHOWN)) or "no arrays"
