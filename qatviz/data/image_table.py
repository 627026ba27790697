"""Tables of labels beside images: CSV files with the name of each image and its labels or targets."""

from collections import Counter
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.class_folders import skipped_notes
from qatviz.data.csv_file import is_csv, is_number, read_texts
from qatviz.data.dataset import Note
from qatviz.data.file_tree import FileTree, join
from qatviz.data.images import IMAGES
from qatviz.data.split_names import TRAIN, held_out_part, part_of_name
from qatviz.data.table import as_numbers, target_by_name
from qatviz.data_options import SKIP, SKIPPING, DataOptions
from qatviz.errors import ChoiceNeeded, DataError
from qatviz.number_format import names_text

#: Names of columns, in lower case, that state the part of an image.
_SPLIT_NAMES = ("split", "set", "subset", "part", "partition")


class LabelledPart(NamedTuple):
    """Paths of the images of a part in their tree, and their labels or targets, ``[N]`` or ``[N, targets]``."""

    files: List[str]
    labels: np.ndarray


class _Rows(NamedTuple):
    """Rows of a table without its header.

    Attributes
    ----------
    where : str
        Name of the table in messages.
    names : list of str
        Names of the columns.
    lines : list of int
        Number of the line of each row in the file.
    rows : list of list of str
        Texts of each row.
    image_column : int
        Index of the column with the names of the images.
    """

    where: str
    names: List[str]
    lines: List[int]
    rows: List[List[str]]
    image_column: int


class ImageTable:
    """Reader of the tables in a folder, which finds the images that they name in it or in its subfolders.

    Parameters
    ----------
    tree : FileTree
    top : str
        The folder.
    options : DataOptions
        `targets`, `held_out` and `unusable` of them are used.

    Attributes
    ----------
    choices : tuple of str
        Names of the columns that can have the labels, once `parts` was called.
    """

    def __init__(self, tree: FileTree, top: str, options: DataOptions):
        self._tree, self._top, self._options = tree, top, options
        self._skips = options.unusable == SKIP
        self._notes: List[Note] = []
        self._skipped: List[str] = []
        self._paths = [name for name in tree.files_below(top) if IMAGES.has(name)]
        self._by_path = set(self._paths)
        names = [path.rpartition("/")[2] for path in self._paths]
        self._by_name = _unique(names, self._paths)
        self._by_stem = _unique((name.rpartition(".")[0] for name in names), self._paths)
        self.choices: Tuple[str, ...] = ()

    def parts(self) -> List[LabelledPart]:
        """Return the training part, and the held-out part if there is one.

        Raises
        ------
        ChoiceNeeded
            If it is not clear which column has the labels.
        DataError
            If an image of the table is missing, or a row has no label, and is not skipped.
        """
        tables = {part: self._read(name) for part, name in tables_in(self._tree, self._top).items()}
        found = self._by_part(tables)
        train = found.pop(TRAIN, {})
        if not train:
            raise DataError(f"{self._tree.where(self._top)}: found no images of the table; expected their names in it")
        held_out = held_out_part(self._options, found, self._tree.where(self._top))
        texts = [train] if held_out is None else [train, found.pop(held_out)]
        unused = [f"{part} ({len(rows):,})" for part, rows in found.items()]
        self._notes += skipped_notes("parts with labels", unused)
        without = len(self._paths) - sum(map(len, texts)) - sum(map(len, found.values()))
        if without:
            self._notes.append(Note(f"skipped images that the table does not have: {without:,}"))
        columns = [list(zip(*rows.values())) for rows in texts]
        is_numeric = all(is_number(text) for part in columns for column in part for text in column)
        return [
            LabelledPart([join(self._top, path) for path in rows], _labels(part, is_numeric))
            for rows, part in zip(texts, columns)
        ]

    def notes(self) -> List[Note]:
        """Return notes on what was skipped."""
        return [*skipped_notes("rows", self._skipped, is_mistake=True), *self._notes]

    def _read(self, name: str) -> _Rows:
        """Return the rows of a table; a first row without an image is its header."""
        path = join(self._top, name)
        where = self._tree.where(path)
        lines, rows = read_texts(where, lambda: self._tree.open(path))
        width = max(Counter(map(len, rows)).items(), key=lambda pair: pair[1])[0]
        found = [
            sum(len(row) > column and self._image(row[column]) is not None for row in rows) for column in range(width)
        ]
        column = int(np.argmax(found))
        if not found[column]:
            example = rows[-1][0][:40]
            raise DataError(f"{where}: found no names of the images in this folder, such as {example!r}")
        has_header = len(rows[0]) > column and self._image(rows[0][column]) is None
        names = [text.strip() for text in rows[0]] if has_header else [str(index) for index in range(width)]
        return _Rows(where, names, lines[has_header:], rows[has_header:], column)

    def _image(self, text: str) -> Optional[str]:
        """Return the path, relative to the folder, of the image that a text names, with or without its extension.

        None if there is no such image, or there are several.
        """
        name = text.strip().replace("\\", "/")
        name = name[2:] if name.startswith("./") else name
        if name in self._by_path:
            return name
        last = name.rpartition("/")[2]
        return self._by_name.get(last) or self._by_stem.get(last)

    def _by_part(self, tables: Dict[str, _Rows]) -> Dict[str, Dict[str, Tuple[str, ...]]]:
        """Return the labels by path of their image, for each part of the data; ``tables`` has the tables by part."""
        found: Dict[str, Dict[str, Tuple[str, ...]]] = {}
        first = tables[TRAIN]
        targets, split = self._columns(first)
        for part, table in tables.items():
            if table.names != first.names:
                self._notes.append(Note(f"not used: {table.where}, which has other columns"))
                continue
            for line, row in zip(table.lines, table.rows):
                path = self._image(row[table.image_column]) if len(row) == len(table.names) else None
                labels = tuple(row[column].strip() for column in targets) if path is not None else ()
                if path is None or not all(labels):
                    self._refuse_or_skip(table, line, row, "no image of this folder" if path is None else "no label")
                    continue
                named = part_of_name(row[split]) if split is not None else None
                found.setdefault(named or part, {})[path] = labels
        if split is None and len(tables) == 1:
            return self._by_folder(found[TRAIN]) if TRAIN in found else found
        return found

    def _by_folder(self, labels: Dict[str, Tuple[str, ...]]) -> Dict[str, Dict[str, Tuple[str, ...]]]:
        """Return labels by part and path, if all images are in folders with the names of parts; else for training."""
        parts = {path: part_of_name(path.partition("/")[0]) if "/" in path else None for path in labels}
        if TRAIN not in parts.values() or None in parts.values():
            return {TRAIN: labels}
        found: Dict[str, Dict[str, Tuple[str, ...]]] = {}
        for path, part in parts.items():
            found.setdefault(str(part), {})[path] = labels[path]
        return found

    def _columns(self, table: _Rows) -> Tuple[List[int], Optional[int]]:
        """Return the indices of the columns of the labels, and of the one that states the part, if there is one."""
        self.choices = tuple(name for index, name in enumerate(table.names) if index != table.image_column)
        lowered = [name.lower() for name in table.names]
        split = next((lowered.index(name) for name in _SPLIT_NAMES if name in lowered), None)
        if self._options.targets:
            return [self._column(table, name.strip()) for name in self._options.targets.split(",")], split
        others = [index for index in range(len(table.names)) if index not in (table.image_column, split)]
        named = target_by_name(table.names)
        if named is None and len(others) != 1:
            raise ChoiceNeeded(
                f"{table.where}: the names of the columns do not tell which has the labels: found "
                f"{names_text(self.choices)}; expected the name of a column as targets",
                "targets",
                {"targets": self.choices},
            )
        return [others[0] if named is None else named], split

    def _column(self, table: _Rows, name: str) -> int:
        """Return the index of the column that the options name."""
        if name not in table.names:
            raise ChoiceNeeded(
                f"{table.where}: targets: found no column {name!r}; expected one of {names_text(self.choices)}",
                "targets",
                {"targets": self.choices},
            )
        return table.names.index(name)

    def _refuse_or_skip(self, table: _Rows, line: int, row: Sequence[str], problem: str) -> None:
        """Refuse a row, or note that it is skipped; ``problem`` is what was found."""
        text = row[table.image_column] if len(row) > table.image_column else ""
        if not self._skips:
            raise DataError(
                f"{table.where}: line {line}: found {problem} for {text[:40]!r}; expected an image and its label; "
                f"{SKIPPING}",
                "unusable",
            )
        self._skipped.append(f"line {line}: {problem}")


def table_of(tree: FileTree, innermost: str, options: DataOptions) -> Optional[ImageTable]:
    """Return the reader of the tables of labels in a tree; None if there are none, or there are class folders.

    Tables are in the root, in the folder ``innermost`` (see :meth:`qatviz.data.class_folders.FolderReader.innermost`),
    or in one between them.
    """
    names = tree.folders(innermost)
    # Folders of parts that have images, but no class folders.
    are_parts = all(map(part_of_name, names)) and any(
        part_of_name(name) == TRAIN and any(map(IMAGES.has, tree.files(join(innermost, name)))) for name in names
    )
    if len(names) > 1 and not are_parts:
        return None
    outer = [innermost[:place] for place, sign in enumerate(innermost) if sign == "/"]
    for folder in dict.fromkeys(("", *outer, innermost)):
        if tables_in(tree, folder):
            return ImageTable(tree, folder, options)
    return None


def tables_in(tree: FileTree, folder: str) -> Dict[str, str]:
    """Return the names of the tables in a folder by the part that their names state; none if none is for training.

    If several are for the same part, none of them is used. If no name states training, the only table whose name states
    no part is for training, and no other is used.
    """
    found: Dict[str, List[str]] = {}
    for name in filter(is_csv, tree.files(folder)):
        found.setdefault(part_of_name(name.rpartition(".")[0]) or "", []).append(name)
    if TRAIN not in found and len(found.get("", ())) == 1:
        return {TRAIN: found[""][0]}
    if len(found.get(TRAIN, ())) != 1:
        return {}
    return {part: names[0] for part, names in found.items() if part and len(names) == 1}


def _unique(names: Iterable[str], paths: Sequence[str]) -> Dict[str, str]:
    """Return the path of each name that only one path has; ``names`` are in the order of the paths."""
    pairs = list(zip(names, paths))
    counts = Counter(name for name, _ in pairs)
    return {name: path for name, path in pairs if counts[name] == 1}


def _labels(columns: Sequence[Sequence[str]], is_numeric: bool) -> np.ndarray:
    """Return the labels in the texts of one column, ``[N]``, or of several, ``[N, columns]``: numbers or strings."""
    arrays = [np.array(column, np.float64) if is_numeric else np.array(column, dtype=object) for column in columns]
    if is_numeric:
        arrays = [np.asarray(as_numbers(array)) for array in arrays]
    return arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)
