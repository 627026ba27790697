"""Archives with targets for several outputs of a network: ``y_NAME``, or ``y_train_NAME`` and ``y_test_NAME``."""

# Apart from qatviz.data.arrays, which uses it: that module is about a single pair of arrays.

from typing import Mapping, Optional, Sequence

from qatviz.data.build import name_from_path
from qatviz.data.dataset import Dataset
from qatviz.data.heads import from_heads, targets_in
from qatviz.data.npz import read_npz
from qatviz.data.stated import check_names, in_stated_scaling, string_in
from qatviz.errors import DataError

#: Arrays with the targets of a single output; an archive with one of them has no others.
_ALL_TARGETS = ("y", "y_train")


def load_heads(
    path: str,
    names: Sequence[str],
    validation_fraction: float,
    seed: int,
    task: Optional[str],
    tasks: Optional[Mapping[str, str]],
) -> Optional[Dataset]:
    """Load a data set with targets for several outputs from an .npz archive; None if it has no such targets.

    The archive has the examples ``x``, or ``x_train`` and ``x_test``, targets by name or number of the output, and
    optionally ``class_names_NAME`` and ``task_NAME`` for some outputs, weights of the training examples (``w_train``,
    or ``w_train_NAME`` for some outputs), and ``scaling``.

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
        Tasks by name or number of the output, which take precedence.

    Raises
    ------
    DataError
        If the file is damaged, or the arrays are not a data set.
    """
    examples = next((key for key in ("x", "x_train") if key in names), "")
    keys = targets_in(names, examples) if examples else {}
    if not keys or any(key in names for key in _ALL_TARGETS):
        return None
    test_keys = {output: f"y_test_{output}" for output in keys} if "x_test" in names else {}
    for key in test_keys.values():
        if key not in names:
            raise DataError(f"{path}: found x_test without {key}; expected targets of each output")
    others = [f"{key}_{output}" for output in keys for key in ("task", "class_names", "w_train")]
    arrays = read_npz(path, (examples, "x_test", *keys.values(), *test_keys.values(), *others, "w_train", "scaling"))
    stated = {output: arrays[f"task_{output}"] for output in keys if f"task_{output}" in arrays}
    class_names = {output: arrays[f"class_names_{output}"] for output in keys if f"class_names_{output}" in arrays}
    for output, array in class_names.items():
        check_names(array, f"{path}: class_names_{output}")
    in_file = {output: string_in(array, f"{path}: task_{output}") for output, array in stated.items()}
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
        {**(in_file if task is None else dict.fromkeys(keys, task)), **(tasks or {})},
        {output: array.tolist() for output, array in class_names.items() if len(array)},
        weights=arrays["w_train"]
        if "w_train" in arrays
        else {output: arrays[f"w_train_{output}"] for output in keys if f"w_train_{output}" in arrays},
    )
    return in_stated_scaling(dataset, arrays, path)
