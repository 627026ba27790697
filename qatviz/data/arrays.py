"""Data sets of named arrays: an .npz archive, or .npy files in one directory."""

import os
import re
from dataclasses import replace
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import check_memory, check_regular_file, list_directory, memory_limit, wrap_read_errors
from qatviz.data.class_folders import skipped_notes
from qatviz.data.dataset import Dataset, Note
from qatviz.data.head_arrays import load_heads
from qatviz.data.input_arrays import load_inputs
from qatviz.data.npy import read_array
from qatviz.data.npz import names_in_npz, read_npz
from qatviz.data.split_names import TRAIN, held_out_part, part_of_name
from qatviz.data.stated import check_names, in_stated_scaling, string_in
from qatviz.data.streamed import READ_WHEN_USED, StoredArray, StreamedArray, is_streamed
from qatviz.data_options import AUTO, SKIP, TEST, DataOptions, check_data_option
from qatviz.errors import ChoiceNeeded, DataError, SettingError
from qatviz.number_format import names_text

KEYS_HELP = (
    "x, y or x_train, y_train, and optionally x_test, y_test, w_train, class_names, task; for several outputs y_NAME, "
    "or y_train_NAME and y_test_NAME; for several inputs x_NAME, or x_train_NAME and x_test_NAME"
)
#: Name of an array, and of the data option.
IGNORED_LABEL = "ignored_label"
#: Names of the data options that apply to arrays.
ARRAY_OPTIONS = ("features", "targets", "held_out", "unusable", IGNORED_LABEL)

_NPY = ".npy"
#: Names of arrays that describe the examples.
_ABOUT = ("class_names", "task", "scaling", "w_train", IGNORED_LABEL)
_EXAMPLES, _LABELS = "features", "targets"
_ROLES = {
    **dict.fromkeys(("x", "features", "images", "inputs", "data", "samples", "examples"), _EXAMPLES),
    **dict.fromkeys(("y", "labels", "label", "targets", "target", "masks", "mask"), _LABELS),
}
#: Part of arrays whose names mention none.
_ALL = "all"
#: Longest name of an array in a message.
_NAME_LENGTH = 40

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

    The options name the arrays with examples and labels. By default, these are `x` and `y`, or have another usual name
    (`images`, `labels`, ...), alone or with that of a part: `x_train`, `test_labels`, `valX`. Without a test or
    validation part, some of the examples are held out. Arrays that are not used are noted, but for:

    - `w_train`: the weight in the loss of each example for training;
    - `class_names`: an array of strings;
    - `task`: a name of :data:`qatviz.task.TASKS`;
    - `ignored_label`: the label of the pixels of masks that are ignored, or "none";
    - `scaling`, in files that qatviz writes: the scaling (see :mod:`qatviz.scaling`) of the examples, which
      floating-point ones have already.

    Archives with targets of several outputs are those of :mod:`qatviz.data.head_arrays`, those with examples of several
    inputs those of :mod:`qatviz.data.input_arrays`.

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
        Tasks by name of the output, if there are targets of several; those of other outputs are `task`.

    Returns
    -------
    Dataset

    Raises
    ------
    ChoiceNeeded
        If it is not clear which arrays to use.
    DataError
        If the file is damaged, does not fit in memory, or the arrays are not a data set.
    """
    names = names_in_npz(path)
    if not (options.features or options.targets):
        several = load_inputs(
            path, names, lambda keys: read_npz(path, keys), validation_fraction, seed, task, tasks
        ) or load_heads(path, names, validation_fraction, seed, task, tasks)
        if several is not None:
            return several
    chosen = _chosen(names, options, path)
    arrays = read_npz(path, (*chosen.train, *(chosen.held_out or ()), *_ABOUT))
    return _dataset(
        name or name_from_path(path), source or path, chosen, arrays, validation_fraction, seed, task, names, options
    )


def load_npy(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
) -> Dataset:
    """Load a data set from .npy files in one directory, whose names are those of the arrays in :func:`load_npz`.

    Examples that do not fit in memory (uint8 images, or float32) are read when they are used.

    Parameters
    ----------
    path : str
        The directory; or a file in it, which has the examples unless its name is a usual one.

    Other parameters and errors are those of :func:`load_npz`.
    """
    is_file = not os.path.isdir(path)
    directory = os.path.dirname(path) or "." if is_file else path
    names = [name[: -len(_NPY)] for name in list_directory(directory) if _is_npy_name(name)]
    if not (is_file or options.features or options.targets):
        several = load_inputs(
            directory, names, lambda keys: _read_arrays(directory, keys), validation_fraction, seed, task, None
        )
        if several is not None:
            return several
    own = os.path.basename(path)[: -len(_NPY)] if is_file else ""
    if is_file and not options.features and (options.targets or _part_and_role(own) is None):
        options = replace(options, features=own)
    chosen = _chosen(names, options, directory)
    wanted = (*chosen.train, *(chosen.held_out or ()), *(name for name in _ABOUT if name in names))
    examples = {pair[0] for pair in (chosen.train, chosen.held_out) if pair is not None}
    paths = {name: os.path.join(directory, name + _NPY) for name in wanted}
    sizes = sum(os.path.getsize(paths[name]) for name in examples if os.path.isfile(paths[name]))
    # Half of it: a part that is held out is a copy.
    streams = sizes > memory_limit() // 2
    arrays = {name: _stored(paths[name]) if streams and name in examples else _read_npy(paths[name]) for name in wanted}
    return _dataset(name_from_path(directory), path, chosen, arrays, validation_fraction, seed, task, names, options)


def is_npy(path: str) -> bool:
    """Return whether a path is an .npy file, or a directory with several of them."""
    if os.path.isdir(path):
        return sum(map(_is_npy_name, list_directory(path))) > 1
    return _is_npy_name(path)


def _is_npy_name(name: str) -> bool:
    """Return whether a path has the name of an .npy file that is not hidden."""
    return name.endswith(_NPY) and not os.path.basename(name).startswith(".")


def _read_arrays(directory: str, names: Sequence[str]) -> Dict[str, np.ndarray]:
    return {name: _read_npy(os.path.join(directory, name + _NPY)) for name in names}


def _read_npy(path: str) -> np.ndarray:
    """Return the array in an .npy file."""
    check_regular_file(path, "an .npy array")
    with wrap_read_errors(path, "an .npy array"), open(path, "rb") as stream:
        check_memory(path, os.path.getsize(path))
        return read_array(stream, path)


def _stored(path: str) -> StreamedArray:
    """Return the array in an .npy file, which is read when it is used, with its statistics."""
    check_regular_file(path, "an .npy array")
    try:
        array = StoredArray(path)
    except DataError as error:
        raise DataError(f"{error}, as it does not fit in memory") from error
    if array.size:
        array.statistics()  # now, in the order of the file: parts of it have the same statistics
    return array


def _dataset(
    name: str,
    source: str,
    chosen: _Choice,
    arrays: Mapping[str, Any],
    validation_fraction: float,
    seed: int,
    task: Optional[str],
    names: Sequence[str],
    options: DataOptions,
) -> Dataset:
    """Return the data set of the chosen arrays and of those in `_ABOUT`; ``names`` are those of all arrays."""
    class_names = arrays.get("class_names")
    if class_names is not None:
        check_names(class_names, f"{source}: class_names")
    if task is None and "task" in arrays:
        task = string_in(arrays["task"], f"{source}: task")
    if IGNORED_LABEL in arrays and options.ignored_label == AUTO:
        options = replace(options, ignored_label=_label_in(arrays[IGNORED_LABEL], f"{source}: {IGNORED_LABEL}"))
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
        skipped_notes("arrays", chosen.unused) + [Note(READ_WHEN_USED)] * is_streamed(arrays[chosen.train[0]]),
        arrays.get("w_train"),
        ignored_label=options.ignored_label,
    )
    dataset = replace(dataset, choices={role: tuple(names) for role in (_EXAMPLES, _LABELS)})
    return in_stated_scaling(dataset, arrays, source)


def _label_in(array: np.ndarray, where: str) -> str:
    """Return the value of the option that an array with a label, or "none", states."""
    text = str(array.item()) if array.size == 1 and array.dtype.kind in "iuU" else str(array.shape)
    try:
        check_data_option(IGNORED_LABEL, text)
    except SettingError as error:
        raise DataError(f"{where}: {error}") from error
    return text


# The choice of arrays


def _chosen(names: Sequence[str], options: DataOptions, path: str) -> _Choice:
    """Return the arrays to use: those that the options name, else those with usual names."""
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
    """Return names of arrays by part and role.

    Of several names of the same part and role, it is that of Keras (`x_train`), else none.
    """
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
    """Return the arrays to hold out, of the parts that have both arrays; None if there are none."""
    part = held_out_part(options, complete, path)
    return None if part is None else _pair(complete[part])


def _pair(roles: Dict[str, str]) -> Pair:
    return roles[_EXAMPLES], roles[_LABELS]


def _with_unused(train: Pair, held_out: Optional[Pair], names: Sequence[str]) -> _Choice:
    """Return the choice of these arrays, and of the names that are neither chosen nor in `_ABOUT` as unused."""
    used = {*train, *(held_out or ()), *_ABOUT}
    return _Choice(train, held_out, tuple(name for name in names if name not in used))


def _part_and_role(name: str) -> Optional[Tuple[str, str]]:
    """Return the part and the role that the name of an array stands for; None for other names.

    >>> _part_and_role("test_labels"), _part_and_role("trainX"), _part_and_role("images"), _part_and_role("labels_old")
    (('test', 'targets'), ('train', 'features'), ('all', 'features'), None)
    """
    # An x or y before or after the name of a part, as in "xtrain" and "trainX", becomes a word of its own.
    spaced = re.sub(r"^([xyXY])(?=(?:train|test|val)\w*$)|(?<=[ntld])(?=[XYxy]$)", r"\1_", name)
    words = [word for word in re.split(r"[\W_]+", spaced.lower()) if word]
    roles = [word for word in words if word in _ROLES]
    others = [word for word in words if word not in _ROLES]
    if len(roles) != 1 or len(others) > 1:
        return None
    part = part_of_name(others[0], is_decorated=False) if others else _ALL
    return None if part is None else (part, _ROLES[roles[0]])


def _choice_needed(names: Sequence[str], path: str, what: str, field: str) -> ChoiceNeeded:
    """Return the error that asks for an option; ``names`` are those of all arrays, ``what`` says what was found."""
    return ChoiceNeeded(
        f"{path}: {what}; expected {KEYS_HELP}, or the names of two arrays as features and targets",
        field,
        {role: tuple(names) for role in (_EXAMPLES, _LABELS)},
    )


def _listed(names: Sequence[str]) -> str:
    """Return some of the names of arrays, long ones shortened, for a message."""
    shown = [repr(name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 3] + "...") for name in names]
    return names_text(shown) or "no arrays"
