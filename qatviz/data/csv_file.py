"""Text files of rows with separators (CSV, TSV), read as tables."""

import csv
import io
import itertools
import os
import re
import sys
import warnings
from array import array
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import IO, Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.checks import LARGER_DATA, check_memory, check_regular_file, wrap_read_errors
from qatviz.data.dataset import Note
from qatviz.data.table import Table, narrowed
from qatviz.data_options import AUTO, SKIP, SKIPPING, YES, DataOptions
from qatviz.errors import DataError

EXTENSIONS = (".csv", ".tsv")
MAX_COLUMNS = 100_000
#: Largest file whose texts are read as they are.
MAX_TEXTS_BYTES = 2**28

_SEPARATORS = (",", ";", "\t", "|")
#: Rows that decide on the separator and the header, and the lines of one chunk of numbers.
_SAMPLE_ROWS, _CHUNK_LINES = 50, 2048
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: Texts that stand for a missing number.
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?"}
#: Fraction of a column up to which texts among numbers are mistakes, not names of categories.
_MISTAKES = 0.1
#: Longest text of a file in a message.
_TEXT_SHOWN = 40


class _Layout(NamedTuple):
    """Separator of a file, names of its columns, and whether its first row is a header with these names."""

    separator: str
    names: Tuple[str, ...]
    has_header: bool


def read_csv(path: str, options: DataOptions) -> Table:
    """Read a text file of rows as a table.

    The separator is detected, and so is a header unless the options state it. A column is numeric if it has at most one
    text per ten numbers. Missing values, texts in a numeric column and rows of another length are refused with their
    line, or these rows are skipped and counted.

    Parameters
    ----------
    path : str
    options : DataOptions
        `header` and `unusable` of them are used.

    Raises
    ------
    DataError
        If the file can't be read as a table, or does not fit in memory.
    """
    check_regular_file(path, "a CSV file")
    with wrap_read_errors(path, "a CSV file"):
        check_memory(path, os.path.getsize(path), advice=LARGER_DATA)
    layout = _layout(path, options)
    numbers = _only_numbers(path, layout)
    if numbers is not None:
        return Table(
            path, layout.names, numbers, tuple(range(len(layout.names))), {}, tuple(_header_notes(layout, options))
        )
    reader = _GeneralReader(path, layout, skips=options.unusable == SKIP)
    table = reader.table()
    return replace(table, notes=(*_header_notes(layout, options), *table.notes))


def read_texts(where: str, open_file: Callable[[], IO[bytes]]) -> Tuple[List[int], List[List[str]]]:
    """Return the texts of all rows of a file that are not empty, a header among them, and the numbers of their lines.

    Parameters
    ----------
    where : str
        Name of the file in messages.
    open_file : callable
        Returns the file, open for reading and seekable.

    Raises
    ------
    DataError
        If the file has more than `MAX_TEXTS_BYTES`, or can't be read as rows.
    """
    with open_file() as stream:
        size = stream.seek(0, os.SEEK_END)
    if size > MAX_TEXTS_BYTES:
        raise DataError(f"{where}: found {size:,} bytes; expected a table of at most {MAX_TEXTS_BYTES:,}")
    separator = _layout_of(lambda found: _sample(where, found, open_file), where)[1]
    lines, rows = [], []
    with open_file() as stream, _rows(where, separator, stream) as reader:
        for row in reader:
            if row:
                lines.append(reader.line_num)
                rows.append(row)
    return lines, rows


def is_csv(path: str) -> bool:
    """Return whether a file has the extension of a text file of rows."""
    return path.lower().endswith(EXTENSIONS)


def _header_notes(layout: _Layout, options: DataOptions) -> List[Note]:
    """Return the note on the header, unless the options state whether there is one."""
    if options.header != AUTO:
        return []
    found = "the first row has the names of the columns" if layout.has_header else "the columns have no names"
    return [Note(f"{found}; the option header decides otherwise")]


#: Whether the standard library's reader takes NUL for a character, as it does from Python 3.11 on.
_TAKES_NUL = sys.version_info >= (3, 11)


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; raise csv.Error for one with NUL, which no text has."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("line contains NUL")
        yield line


@contextmanager
def _rows(path: str, separator: str, stream: Optional[IO[bytes]] = None) -> Iterator[Any]:
    """Open a file, or a stream of its bytes, as a `csv.reader`; exceptions from reading it become a `DataError`."""
    try:
        with wrap_read_errors(path, "a CSV file"), ExitStack() as stack:
            if stream is None:
                stream = stack.enter_context(open(path, "rb"))
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
            stack.callback(text.detach)
            yield csv.reader(_without_nul(text) if _TAKES_NUL else text, delimiter=separator)
    except csv.Error as error:
        raise DataError(f"{path}: cannot be read as a CSV file: {error}") from error


def _layout(path: str, options: DataOptions) -> _Layout:
    """Return the layout of a file; names of several columns get the number of their column."""
    best, separator = _layout_of(lambda separator: _sample(path, separator), path)
    has_header = _has_header(best) if options.header == AUTO else options.header == YES
    names = [text.strip() for text in best[0]] if has_header else [str(index) for index in range(len(best[0]))]
    doubled = sorted({name for name in names if names.count(name) > 1}) if has_header else []
    if doubled:
        names = [f"{name} ({index})" if name in doubled else name for index, name in enumerate(names)]
    return _Layout(separator, tuple(names), has_header)


def _layout_of(sample_of: Callable[[str], List[List[str]]], path: str) -> Tuple[List[List[str]], str]:
    """Return the first rows and the separator: the one with which rows of the most frequent length are longest.

    Rows of other lengths are left out.

    Parameters
    ----------
    sample_of : callable
        Function that returns the first rows of the file for a separator.
    path : str
        Name of the file in messages.
    """
    best: List[List[str]] = []
    chosen = ""
    problem: Optional[DataError] = None
    for separator in _SEPARATORS:
        try:
            sample = sample_of(separator)
        except DataError as error:  # with another separator, values may be too long
            problem = problem or error
            continue
        widths = [len(row) for row in sample]
        # A row of another length is reported with its line.
        usual = max(set(widths), key=widths.count) if widths else 0
        if usual > 1 and (not best or usual > len(best[0])):
            best, chosen = [row for row in sample if len(row) == usual], separator
    if not best:
        raise problem or DataError(
            f"{path}: found no rows of several columns; expected values separated by , ; | or tabs"
        )
    if len(best[0]) > MAX_COLUMNS:
        raise DataError(f"{path}: found {len(best[0]):,} columns; expected at most {MAX_COLUMNS:,}")
    return best, chosen


def _sample(path: str, separator: str, open_file: Optional[Callable[[], IO[bytes]]] = None) -> List[List[str]]:
    """Return the first rows of a file that are not empty; ``open_file`` opens one that has no path."""
    rows: List[List[str]] = []
    with ExitStack() as stack:
        stream = None if open_file is None else stack.enter_context(open_file())
        reader = stack.enter_context(_rows(path, separator, stream))
        rows += itertools.islice(filter(None, reader), _SAMPLE_ROWS)
    return rows


def _has_header(sample: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row has names of columns.

    They are 0, 1, 2, ... or 1, 2, 3, ..., or texts that are above numbers or all different.
    """
    first, others = sample[0], sample[1:]
    if [text.strip() for text in first] in (
        [str(i) for i in range(len(first))],
        [str(i + 1) for i in range(len(first))],
    ):
        return True
    if any(is_number(text) for text in first):
        return False
    numeric = [all(is_number(row[index]) or _is_missing(row[index]) for row in others) for index in range(len(first))]
    return not others or any(numeric) or len(set(first)) == len(first)


def is_number(text: str) -> bool:
    """Return whether a text is a decimal number, which may have an exponent, but not NaN or infinity."""
    return _NUMBER.fullmatch(text.strip()) is not None


def _is_finite(text: str) -> bool:
    return is_number(text) and abs(float(text)) < np.inf


def _is_missing(text: str) -> bool:
    return text.strip().lower() in _MISSING


def _only_numbers(path: str, layout: _Layout) -> Optional[np.ndarray]:
    """Return the values of a file that has only finite numbers and rows of one length; None for any other file.

    Their type is that of :func:`qatviz.data.table.narrowed`.
    """
    chunks: List[np.ndarray] = []
    n_separators = len(layout.names) - 1
    with wrap_read_errors(path, "a CSV file"), open(path, encoding="utf-8-sig") as stream:
        if layout.has_header and '"' in stream.readline():
            return None
        while True:
            lines = [line for line in (stream.readline() for _ in range(_CHUNK_LINES)) if line]
            if not lines:
                break
            rows = [line.strip("\n") for line in lines if line.strip()]
            if any('"' in row or row.count(layout.separator) != n_separators for row in rows):
                return None
            values = _parsed(layout.separator.join(rows), layout.separator)
            if values is None or values.size != len(rows) * len(layout.names):
                return None
            chunks.append(narrowed(values).reshape(len(rows), -1))
            check_memory(path, 2 * sum(chunk.nbytes for chunk in chunks), advice=LARGER_DATA)
    return np.concatenate(chunks) if chunks else None


def _parsed(text: str, separator: str) -> Optional[np.ndarray]:
    """Return the finite numbers of a text; None if something else is in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(text, np.float64, sep=separator)
        except (DeprecationWarning, ValueError):
            return None
    return values if np.isfinite(values).all() else None


class _GeneralReader:
    """Reader of a file with texts, quotes or mistakes, in two passes.

    The first finds which columns are numeric, the second reads the values.
    """

    def __init__(self, path: str, layout: _Layout, skips: bool):
        self._path, self._layout, self._skips = path, layout, skips
        n = len(layout.names)
        self._numbers, self._texts = [0] * n, [0] * n  # of the values in each column
        self._skipped: List[str] = []

    def table(self) -> Table:
        """Return the values of all columns as a table."""
        for _, row in self._wide_rows(is_first_pass=True):
            self._count(row)
        is_numeric = [self._is_numeric(column) for column in range(len(self._layout.names))]
        return self._values(is_numeric)

    def _wide_rows(self, is_first_pass: bool) -> Iterator[Tuple[int, List[str]]]:
        """Yield the number of the line and the values of each row, without the header and rows of other lengths."""
        n = len(self._layout.names)
        with _rows(self._path, self._layout.separator) as reader:
            is_header = self._layout.has_header
            for row in reader:
                if not row:
                    continue
                if is_header:
                    is_header = False
                elif len(row) == n:
                    yield reader.line_num, row
                elif is_first_pass:
                    self._refuse_or_skip(reader.line_num, f"found {len(row)} values", f"{n}, one for each column")

    def _count(self, row: Sequence[str]) -> None:
        """Count the values of a row that are numbers, and those that are other texts; missing ones are neither."""
        for column, text in enumerate(row):
            if is_number(text):
                self._numbers[column] += 1
            elif not _is_missing(text):
                self._texts[column] += 1

    def _is_numeric(self, column: int) -> bool:
        """Return whether a column has numbers, by the counts of all rows."""
        numbers, texts = self._numbers[column], self._texts[column]
        return texts == 0 or texts <= _MISTAKES * numbers

    def _values(self, is_numeric: Sequence[bool]) -> Table:
        """Return the table, once it is known which columns are numeric."""
        numeric = [column for column, is_number in enumerate(is_numeric) if is_number]
        textual = [column for column, is_number in enumerate(is_numeric) if not is_number]
        values = array("d")
        texts: Dict[int, List[str]] = {column: [] for column in textual}
        known: Dict[str, str] = {}  # one object for all equal texts
        for line, row in self._wide_rows(is_first_pass=False):
            if self._problem(line, row, numeric, textual):
                continue
            values.extend(float(row[column]) for column in numeric)
            for column in textual:
                text = row[column].strip()
                texts[column].append(known.setdefault(text, text))
        n_rows = len(values) // len(numeric) if numeric else len(texts[textual[0]])
        if not n_rows:
            raise DataError(f"{self._path}: found no row that can be used")
        numbers = narrowed(np.array(values)).reshape(n_rows, len(numeric))
        columns = {column: np.array(found, dtype=object) for column, found in texts.items()}
        notes = [Note(f"skipped rows: {len(self._skipped):,} ({_some(self._skipped)})", True)] if self._skipped else []
        return Table(self._path, self._layout.names, numbers, tuple(numeric), columns, tuple(notes))

    def _problem(self, line: int, row: Sequence[str], numeric: Sequence[int], textual: Sequence[int]) -> bool:
        """Return whether a row has a value that can't be used, so that it is skipped; refuse it if none may be."""
        wrong = [(column, "a finite number") for column in numeric if not _is_finite(row[column])]
        wrong += [(column, "a text") for column in textual if not row[column].strip()]
        if not wrong:
            return False
        column, expected = min(wrong)
        text = row[column]
        found = "a missing value" if _is_missing(text) else repr(text[:_TEXT_SHOWN])
        self._refuse_or_skip(line, f"found {found} in column {self._layout.names[column]!r}", expected)
        return True

    def _refuse_or_skip(self, line: int, found: str, expected: str) -> None:
        """Refuse a row, or note that it is skipped."""
        if not self._skips:
            raise DataError(f"{self._path}: line {line}: {found}; expected {expected}; {SKIPPING}", "unusable")
        self._skipped.append(f"line {line}: {found}")


def _some(texts: Sequence[str]) -> str:
    """Return the first of some texts, which may have commas."""
    return "; ".join(texts[:3]) + ("; ..." if texts[3:] else "")
