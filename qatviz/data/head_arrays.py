"""Archives with targets for several outputs of a network: ``y_NAME``, or ``y_train_NAME`` and ``y_test_NAME``."""

# Apart from qatviz.data.arrays, which uses it: that module is about a single pair of arrays.

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from qatviz.data.build import name_from_path
from qatviz.data.class_folders import skipped_notes
from qatviz.data.dataset import Dataset, Note
from qatviz.data.heads import from_heads
from qatviz.data.npz import read_npz
from qatviz.data.several import arrays_in
from qatviz.data.stated import check_names, in_stated_scaling, string_in
from qatviz.errors import DataError

#: Arrays with the targets of a single output; an archive with one of them has no others.
_ALL_TARGETS = ("y", "y_train")
#: Arrays that describe targets. With several outputs, they have the name of one; task and weights without a name are
#: those of all outputs that have none of their own.
_TASK, _CLASS_NAMES, _WEIGHTS = "task", "class_names", "w_train"


class AboutTargets(NamedTuple):
    """Description of the targets in an archive.

    Attributes
    ----------
    tasks : dict of str to str
    class_names : dict of str to list of str
    weights : dict of str to ndarray
        Weights of the training examples in the loss. All three are by name of the output, for some of them.
    """

    tasks: Dict[str, str]
    class_names: Dict[str, List[str]]
    weights: Dict[str, np.ndarray]


def keys_about(outputs: Sequence[str]) -> List[str]:
    """Return the names of the arrays that describe targets of these outputs; that of a single one is ``""``."""
    own = [key + _end(output) for key in (_TASK, _CLASS_NAMES, _WEIGHTS) for output in outputs]
    return list(dict.fromkeys([_TASK, _WEIGHTS, *own]))


def about_targets(
    arrays: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    path: str,
    task: Optional[str],
    tasks: Optional[Mapping[str, str]],
) -> AboutTargets:
    """Return the description of targets from the arrays of :func:`keys_about`.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Arrays by name; those that do not exist are missing.
    outputs : sequence of str
    path, task, tasks
        As in :func:`load_heads`.

    Raises
    ------
    DataError
        If an array has another form.
    """

    def stated(key: str) -> Dict[str, np.ndarray]:
        """Return the arrays of the outputs that have one of their own."""
        return {output: arrays[key + _end(output)] for output in outputs if key + _end(output) in arrays}

    def of_all(key: str) -> Dict[str, np.ndarray]:
        return dict.fromkeys(outputs, arrays[key]) if key in arrays else {}

    class_names = stated(_CLASS_NAMES)
    for output, array in class_names.items():
        check_names(array, f"{path}: {_CLASS_NAMES}{_end(output)}")
    own = {output: string_in(array, f"{path}: {_TASK}{_end(output)}") for output, array in stated(_TASK).items()}
    in_file = {**{output: string_in(array, f"{path}: {_TASK}") for output, array in of_all(_TASK).items()}, **own}
    return AboutTargets(
        {**(in_file if task is None else dict.fromkeys(outputs, task)), **(tasks or {})},
        {output: array.tolist() for output, array in class_names.items() if len(array)},
        {**of_all(_WEIGHTS), **stated(_WEIGHTS)},
    )


def unused_notes(names: Sequence[str], used: Sequence[str]) -> List[Note]:
    """Return a note on the arrays of an archive that are not used, if there are any."""
    return skipped_notes("arrays", [name for name in names if name not in used])


def _end(output: str) -> str:
    return f"_{output}" if output else ""


def load_heads(
    path: str,
    names: Sequence[str],
    validation_fraction: float,
    seed: int,
    task: Optional[str],
    tasks: Optional[Mapping[str, str]],
) -> Optional[Dataset]:
    """Load a data set with targets for several outputs from an .npz archive; None if it has no such targets.

    The archive has the examples ``x``, or ``x_train`` and ``x_test``, targets by name or index of the output, and
    optionally ``class_names_NAME``, ``task_NAME`` and ``w_train_NAME``, weights of the training examples, for some
    outputs, ``task`` and ``w_train`` for all others, and ``scaling``. Arrays that are not used are noted.

    Parameters
    ----------
    path : str
    names : sequence of str
        Names of the arrays in the archive.
    validation_fraction, seed
        See :func:`qatviz.data.build.from_arrays`.
    task : str, optional
        Task of all outputs; by default those in the archive, or the inferred ones.
    tasks : mapping of str to str, optional
        Tasks by name or index of the output, which take precedence.

    Raises
    ------
    DataError
        If the file is damaged, or the arrays are not a data set.
    """
    examples = next((key for key in ("x", "x_train") if key in names), "")
    keys = arrays_in(names, "y" + examples[1:]) if examples else {}
    if not keys or any(key in names for key in _ALL_TARGETS):
        return None
    test_keys = {output: f"y_test_{output}" for output in keys} if "x_test" in names else {}
    for key in test_keys.values():
        if key not in names:
            raise DataError(f"{path}: found x_test without {key}; expected targets of each output")
    wanted = (examples, "x_test", *keys.values(), *test_keys.values(), *keys_about(list(keys)), "scaling")
    arrays: Mapping[str, Any] = read_npz(path, wanted)
    about = about_targets(arrays, list(keys), path, task, tasks)
    dataset = from_heads(
        name_from_path(path),
        path,
        (arrays[examples], {output: arrays[key] for output, key in keys.items()}),
        (arrays["x_test"], {output: arrays[key] for output, key in test_keys.items()}) if test_keys else None,
        validation_fraction,
        seed,
        {
            "x_train": f"{path}: {examples}",
            "x_test": f"{path}: x_test",
            "y_train": f"{path}: y{examples[1:]}_{{}}",
            "y_test": f"{path}: y_test_{{}}",
        },
        about.tasks,
        about.class_names,
        weights=about.weights,
        notes=unused_notes(names, wanted),
    )
    return in_stated_scaling(dataset, arrays, path)
