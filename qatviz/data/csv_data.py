"""Data sets in CSV files: one file, or one for training and one that is held out."""

import os
import re
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Tuple

from qatviz.data.build import name_from_path
from qatviz.data.checks import list_directory
from qatviz.data.csv_file import is_csv, read_csv
from qatviz.data.dataset import Dataset, Note
from qatviz.data.images import IMAGES
from qatviz.data.split_names import TRAIN, check_random_split, part_of_name
from qatviz.data.table import TABLE_OPTIONS, Table, dataset_of_tables
from qatviz.data_options import DataOptions

#: Names of the data options that apply to CSV files.
CSV_OPTIONS = (*TABLE_OPTIONS, "held_out")


def load_csv(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
    tasks: Optional[Mapping[str, str]] = None,
) -> Dataset:
    """Load a data set from a CSV file with a column for each feature and one or several for the targets.

    If the name of the file says that it is for training, such as ``mnist_train.csv``, the file beside it whose name
    differs in the part only, such as ``mnist_test.csv``, is held out if it has the same columns.

    Parameters
    ----------
    path : str
        A file, or a directory with one.
    validation_fraction, seed, task
        See :func:`qatviz.data.build.from_arrays`.
    options : DataOptions
        `CSV_OPTIONS` of them are used.
    tasks : mapping of str to str, optional
        See :func:`qatviz.data.table.dataset_of_tables`.

    Raises
    ------
    ChoiceNeeded
        If it is not clear which column has the targets.
    DataError
        If the file can't be used; the message has the line of what is wrong.
    """
    training = _training_file(path) if os.path.isdir(path) else path
    table = read_csv(training, options)
    held_out, notes = _held_out(training, table, options)
    first = replace(table, notes=(*table.notes, *notes))
    tables = [first] if held_out is None else [first, held_out]
    return dataset_of_tables(name_from_path(training), path, tables, options, validation_fraction, seed, task, tasks)


def is_csv_data(path: str) -> bool:
    """Return whether a path is a CSV file, or a directory with one for training, without images and folders."""
    if os.path.isdir(path):
        names = list_directory(path)
        others = any(IMAGES.has(name) or os.path.isdir(os.path.join(path, name)) for name in names)
        return len(_training_names(names)) == 1 and not others
    return is_csv(path)


def _training_names(names: List[str]) -> List[str]:
    """Return the CSV files that may be for training: those whose names say so, else all whose names say no part."""
    files = [name for name in names if is_csv(name) and not name.startswith(".")]
    for wanted in (TRAIN, None):
        found = [name for name in files if part_of_name(os.path.splitext(name)[0]) == wanted]
        if found:
            return found
    return []


def _training_file(directory: str) -> str:
    """Return the path of the CSV file for training in a directory that `is_csv_data` accepts."""
    return os.path.join(directory, _training_names(list_directory(directory))[0])


def _held_out(path: str, table: Table, options: DataOptions) -> Tuple[Optional[Table], List[Note]]:
    """Return the table that is held out, if there is one, and notes on those that are not used."""
    parts = _siblings(path)
    notes: List[Note] = []
    for part in options.held_out_parts:
        if part not in parts:
            continue
        other = read_csv(parts[part], options)
        if other.names == table.names and sorted(other.numeric) == sorted(table.numeric):
            used = Note(f"held out: {os.path.basename(parts[part])}, {other.n_rows:,} examples")
            return replace(other, notes=(used,)), notes
        notes.append(Note(f"not used: {os.path.basename(parts[part])}, which has other columns"))
    check_random_split(options, path)
    return None, notes


def _siblings(path: str) -> Dict[str, str]:
    """Return the files that differ from a file for training only in the part that their names say."""
    directory, name = os.path.split(path)
    if part_of_name(os.path.splitext(name)[0]) != TRAIN:
        return {}
    pattern = _without_part(name)
    found: Dict[str, str] = {}
    for other in list_directory(directory or "."):
        part = part_of_name(os.path.splitext(other)[0])
        if part is not None and part != TRAIN and is_csv(other) and _without_part(other) == pattern:
            found[part] = os.path.join(directory, other)
    return found


def _without_part(name: str) -> str:
    """Return a file's name with an asterisk for the word that says its part: ``mnist_*.csv``."""
    return "".join(
        "*" if part_of_name(word, is_decorated=False) else word for word in re.split(r"([\W\d_]+)", name.lower())
    )
