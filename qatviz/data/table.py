"""Tables of numbers and texts as data sets: columns are features or targets, texts are categories."""

import math
import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.build import from_arrays
from qatviz.data.checks import check_memory
from qatviz.data.class_folders import skipped_notes
from qatviz.data.dataset import Dataset, Note
from qatviz.data.heads import from_heads
from qatviz.data_options import ROWS, DataOptions
from qatviz.errors import ChoiceNeeded, DataError
from qatviz.number_format import names_text

#: Names of the data options that apply to tables.
TABLE_OPTIONS = ("features", "targets", "header", "image_size", "unusable")

#: Names, in lower case, of columns that have labels or targets, the preferred one first.
_TARGET_NAMES = ("label", "labels", "class", "target", "targets", "y", "category")
#: Names, in lower case, of columns that may number the rows.
_INDEX_NAMES = ("", "unnamed: 0", "id", "index", "row")
#: Largest number of categories of a column, each of which becomes a feature. More texts are names or identifiers.
_MAX_CATEGORIES = 100
#: Smallest side of square images whose pixels are recognized in the columns of a table.
_LEAST_SIDE = 16


@dataclass(frozen=True, eq=False)
class Table:
    """Table whose columns are numbers or texts.

    Attributes
    ----------
    where : str
        Name in messages.
    names : tuple of str
        Names of all columns.
    numbers : ndarray, shape [N, number of numeric columns]
        Values of the numeric columns, of any numeric type.
    numeric : tuple of int
        Index of the column of each column of `numbers`.
    texts : dict of int to ndarray
        Other columns by index: arrays of str objects, shape [N].
    notes : tuple of Note
        Notes of the reader.
    """

    where: str
    names: Tuple[str, ...]
    numbers: np.ndarray
    numeric: Tuple[int, ...]
    texts: Dict[int, np.ndarray]
    notes: Tuple[Note, ...] = ()

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.numbers)

    def column(self, index: int) -> np.ndarray:
        """Return the values of a column, ``[N]``: numbers, or str objects."""
        return self.texts[index] if index in self.texts else self.numbers[:, self.numeric.index(index)]

    def index_of(self, name: str, field: str) -> int:
        """Return the index of a column.

        Parameters
        ----------
        name : str
            Its name, else its number from 0, or from the end if it is negative.
        field : str
            Option that has the name, for the error.

        Raises
        ------
        ChoiceNeeded
            If there is no such column.
        """
        if name in self.names:
            return self.names.index(name)
        if re.fullmatch(r"-?\d{1,9}", name) and -len(self.names) <= int(name) < len(self.names):
            return int(name) % len(self.names)
        raise ChoiceNeeded(
            f"{self.where}: {field}: found no column {name!r}; expected one of {names_text(self.names)}",
            field,
            {field: self.names},
        )


class _Roles(NamedTuple):
    """Indices of the columns of features and of targets; of several outputs, those of each by name."""

    features: Tuple[int, ...]
    targets: Tuple[int, ...]
    outputs: Mapping[str, Tuple[int, ...]] = MappingProxyType({})


def dataset_of_tables(
    name: str,
    source: str,
    tables: Sequence[Table],
    options: DataOptions,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    tasks: Optional[Mapping[str, str]] = None,
) -> Dataset:
    """Return the data set in a table for training and, optionally, one that is held out.

    Parameters
    ----------
    name, source : str
        See :class:`qatviz.data.Dataset`.
    tables : sequence of Table
        One or two; the columns of the second are those of the first.
    options : DataOptions
        `TABLE_OPTIONS` of them are used.
    validation_fraction, seed, task
        See :func:`qatviz.data.build.from_arrays`.
    tasks : mapping of str to str, optional
        Tasks by name of the output, if the option `targets` names columns for several; for others, `task`.

    Raises
    ------
    ChoiceNeeded
        If it is not clear which column has the targets, or the options name a column that does not exist.
    DataError
        If the columns can't be used.
    """
    first = tables[0]
    roles, notes = _roles(first, options)
    features, category_notes = features_of(tables, roles.features)
    shape, image_notes = _image_shape(first, features[0], options)
    features = [part.reshape((len(part), *shape)) for part in features]
    all_notes = [*(note for table in tables for note in table.notes), *notes, *category_notes, *image_notes]
    choices = {"targets": first.names, "features": first.names}
    if roles.outputs:
        named = [
            (x, {output: _targets(table, columns) for output, columns in roles.outputs.items()})
            for x, table in zip(features, tables)
        ]
        where = {
            key + part: f"{table.where}: {what}"
            for part, table in zip(("train", "test"), tables)
            for key, what in (("x_", "features"), ("y_", "targets of output '{}'"))
        }
        stated = {**({} if task is None else dict.fromkeys(roles.outputs, task)), **(tasks or {})}
        held_out = named[1] if len(named) > 1 else None
        several = from_heads(name, source, named[0], held_out, validation_fraction, seed, where, stated)
        return replace(several, notes=tuple(all_notes), choices=choices)
    targets = [_targets(table, roles.targets) for table in tables]
    parts = list(zip(features, targets))
    labels = ", ".join(first.names[index] for index in roles.targets)
    dataset = from_arrays(
        name,
        source,
        parts[0],
        parts[1] if len(parts) > 1 else None,
        None,
        validation_fraction,
        seed,
        {
            key: f"{table.where}: {what}"
            for part, table in zip(("train", "test"), tables)
            for key, what in ((f"x_{part}", "features"), (f"y_{part}", labels))
        },
        task,
        all_notes,
    )
    return replace(dataset, choices=choices)


# Roles of columns


def _roles(table: Table, options: DataOptions) -> Tuple[_Roles, List[Note]]:
    """Return the columns that the options name, else inferred ones, and notes on these and on unused columns."""
    notes: List[Note] = []
    outputs: Dict[str, Tuple[int, ...]] = {}
    if options.targets:
        by_output = {} if options.targets in table.names else targets_by_output(options.targets)
        outputs = {output: _named(table, names, "targets") for output, names in by_output.items()}
        targets = tuple(dict.fromkeys(index for columns in outputs.values() for index in columns))
        targets = targets or _named(table, options.targets, "targets")
    else:
        guessed, reason = _guessed_target(table)
        targets = (guessed,)
        notes.append(
            Note(f"the targets are the column {table.names[guessed]!r}, {reason}; the option targets decides otherwise")
        )
    if options.features:
        features = _named(table, options.features, "features")
        unused = [name for index, name in enumerate(table.names) if index not in {*features, *targets}]
        notes += skipped_notes("columns", unused)
    else:
        numbers = [index for index in range(len(table.names)) if index not in targets and _numbers_rows(table, index)]
        features = tuple(index for index in range(len(table.names)) if index not in {*targets, *numbers})
        notes += skipped_notes("columns that number the rows", [repr(table.names[index]) for index in numbers])
    if not features or set(features) & set(targets):
        raise DataError(
            f"{table.where}: found no features apart from the targets; expected at least one column", "features"
        )
    return _Roles(features, targets, outputs), notes


def targets_by_output(text: str) -> Dict[str, str]:
    """Return the names of columns with targets by output; empty if the text has none of several outputs.

    >>> targets_by_output("kind=label;box=x,y"), targets_by_output("label")
    ({'kind': 'label', 'box': 'x,y'}, {})
    """
    pairs = [part.partition("=") for part in text.split(";")]
    if not all(equals and output.strip() and names.strip() for output, equals, names in pairs):
        return {}
    return {output.strip(): names.strip() for output, _, names in pairs}


def _named(table: Table, names: str, field: str) -> Tuple[int, ...]:
    """Return the indices of the columns that the option ``field`` names: one, or several separated by commas."""
    if names in table.names:
        return (table.index_of(names, field),)
    return tuple(dict.fromkeys(table.index_of(name.strip(), field) for name in names.split(",")))


def _guessed_target(table: Table) -> Tuple[int, str]:
    """Return the column that has the targets, by its name, its content or its place, and how it was found, as text."""
    named = target_by_name(table.names)
    if named is not None:
        return named, "by its name"
    if len(table.texts) == 1:
        return next(iter(table.texts)), "the only one with texts"
    if _side_of(len(table.names) - 1) and not table.texts and _is_label_column(table.column(0)):
        return 0, "before the pixels of images"
    raise ChoiceNeeded(
        f"{table.where}: the names of the columns do not tell which has the targets: found {names_text(table.names)}; "
        "expected the name of a column, or its number from 0, as targets",
        "targets",
        {"targets": table.names},
    )


def target_by_name(names: Sequence[str]) -> Optional[int]:
    """Return the index of the column with a usual name of labels or targets; None if there is none."""
    lowered = [name.strip().lower() for name in names]
    return next((lowered.index(name) for name in _TARGET_NAMES if name in lowered), None)


def _is_label_column(values: np.ndarray) -> bool:
    """Return whether numbers may be class indices."""
    return bool((values == np.floor(values)).all() and values.min() >= 0 and values.max() < _MAX_CATEGORIES)


def _numbers_rows(table: Table, index: int) -> bool:
    """Return whether a column has only the numbers of the rows."""
    if table.names[index].strip().lower() not in _INDEX_NAMES or index in table.texts or table.n_rows < 2:
        return False
    return bool((np.diff(table.column(index).astype(np.float64)) == 1).all())


# Values


def features_of(tables: Sequence[Table], columns: Sequence[int]) -> Tuple[List[np.ndarray], List[Note]]:
    """Return the features in columns of each table, and notes on them.

    Features are ``[N, features]``: numbers as they are, and 0 or 1 for each category of texts in the first table. They
    have the type of :func:`narrowed` if there are no texts, otherwise float32.
    """
    first, notes = tables[0], []
    categories = {index: _categories(first, index) for index in columns if index in first.texts}
    if categories:
        listed = [f"{first.names[index]} ({len(found)})" for index, found in categories.items()]
        notes.append(Note(f"texts are categories, each a feature of 0 and 1: {names_text(listed)}"))
    if not categories:
        places = [first.numeric.index(index) for index in columns]
        return [narrowed(table.numbers[:, places]) for table in tables], notes
    width = sum(len(categories.get(index, ("",))) for index in columns)
    arrays = []
    for table in tables:
        check_memory(table.where, 4 * table.n_rows * width, "converting its features")
        blocks = [
            _one_hot(table, index, categories[index]) if index in categories else table.column(index)[:, np.newaxis]
            for index in columns
        ]
        arrays.append(np.concatenate([block.astype(np.float32) for block in blocks], axis=1))
    return arrays, notes


def _categories(table: Table, index: int) -> Tuple[str, ...]:
    """Return the sorted categories in a column of texts."""
    found = tuple(sorted(set(table.column(index))))
    if len(found) > _MAX_CATEGORIES:
        raise DataError(
            f"{table.where}: column {table.names[index]!r} has {len(found):,} different texts, such as "
            f"{found[0][:40]!r}; expected numbers with decimal points, at most {_MAX_CATEGORIES} categories, or "
            "features without it",
            "features",
        )
    return found


def _one_hot(table: Table, index: int, categories: Sequence[str]) -> np.ndarray:
    """Return for each text in a column whether it is each of the categories, bool ``[N, categories]``."""
    values = table.column(index)
    unknown = sorted(set(values) - set(categories))
    if unknown:
        raise DataError(
            f"{table.where}: column {table.names[index]!r}: found {unknown[0]!r}; expected the categories for "
            f"training: {names_text(categories)}"
        )
    numbers = {category: number for number, category in enumerate(categories)}
    codes = np.array([numbers[value] for value in values])
    return codes[:, np.newaxis] == np.arange(len(categories))


def _targets(table: Table, columns: Sequence[int]) -> np.ndarray:
    """Return the labels or targets in one column, ``[N]``, or in several, ``[N, columns]``."""
    if len(columns) == 1:
        values = table.column(columns[0])
        return values if values.dtype == object else as_numbers(values)
    texts = [table.names[index] for index in columns if index in table.texts]
    if texts:
        raise DataError(f"{table.where}: targets: found texts in the column {texts[0]!r}; expected numbers", "targets")
    return as_numbers(np.stack([table.column(index) for index in columns], axis=1))


def as_numbers(values: np.ndarray) -> np.ndarray:
    """Return floating-point numbers as int64 if all are whole, so that they are inferred to be classes."""
    whole = values.dtype.kind == "f" and (values == np.floor(values)).all() and np.abs(values).max() < 2**53
    return values.astype(np.int64) if whole else values


def _image_shape(table: Table, features: np.ndarray, options: DataOptions) -> Tuple[Tuple[int, ...], List[Note]]:
    """Return the shape of an example, which is that of an image if the features are its pixels, and notes on it.

    ``features`` are those of the table, ``[N, features]``.
    """
    n = features.shape[1]
    if options.size is not None:
        height, width = options.size
        channels = n // (height * width)
        if n != height * width * channels or channels == 0:
            raise DataError(
                f"{table.where}: found {n:,} features; expected {height * width:,} for an image of "
                f"{height}x{width}, or a multiple of it for channels",
                "image_size",
            )
        return (height, width, channels), []
    side = _side_of(n)
    if options.image_size == ROWS or not side or features.dtype != np.uint8 or features.max() <= 1:
        return (n,), []
    return (side, side), [
        Note(
            f"the {n:,} columns are pixels of images of {side}x{side}, as their number and values from 0 to 255 "
            f"suggest; image size {ROWS} decides otherwise"
        )
    ]


def _side_of(n: int) -> int:
    """Return the side of square images of `n` pixels; 0 if there are none, or they are small."""
    side = int(math.sqrt(n) + 0.5)
    return side if side * side == n and side >= _LEAST_SIDE else 0


def narrowed(values: np.ndarray) -> np.ndarray:
    """Return numbers in the smallest of the types uint8, float32 and float64 that represents all of them."""
    for dtype in (np.uint8, np.float32):
        with np.errstate(all="ignore"):
            narrow = values.astype(dtype)
        if (narrow == values).all():
            return narrow
    return values
