"""Readers of the files of a tree, which count what they convert and skip."""

from collections import Counter
from contextlib import contextmanager
from typing import Callable, Iterator, List, Mapping, Optional, Sequence, Tuple
from typing import Counter as CounterType

import numpy as np

from qatviz.data.class_folders import FileKind, skipped_notes
from qatviz.data.dataset import Note
from qatviz.data.file_tree import FileTree
from qatviz.data_options import SKIP, SKIPPING, DataOptions
from qatviz.errors import DataError


class TreeReader:
    """Base class of these readers.

    Parameters
    ----------
    tree : FileTree
    options : DataOptions
        `unusable` of them decides whether damaged files are skipped.
    """

    def __init__(self, tree: FileTree, options: DataOptions):
        self._tree, self._options = tree, options
        self._damaged: List[str] = []
        self._counts: CounterType[str] = Counter()

    @contextmanager
    def _skipping_damaged(self, path: str) -> Iterator[None]:
        """End the context at a `DataError`, which is that of a damaged file; raise it unless such files are skipped."""
        try:
            yield
        except DataError as error:
            if self._options.unusable != SKIP:
                raise DataError(f"{error}; {SKIPPING}", "unusable") from error
            self._damaged.append(self._tree.where(path))

    def _read_rows(
        self,
        kind: FileKind,
        paths: Sequence[str],
        row_of: Callable[[str], Optional[np.ndarray]],
        shape: Tuple[int, ...],
        dtype: np.dtype,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Return the rows of a part of the data, ``[n] + shape``, and the indices of their paths, int64 ``[n]``.

        ``row_of`` returns that of a path, and None for a damaged file, which has none. The rows are counted.
        """
        rows = np.empty((len(paths), *shape), dtype)
        kept: List[int] = []
        for index, path in enumerate(paths):
            row = row_of(path)
            if row is not None:
                rows[len(kept)] = row
                kept.append(index)
        if not kept:
            raise self._nothing_read(kind)
        self._counts[kind.plural] += len(kept)
        return rows[: len(kept)], np.array(kept, np.int64)

    def _nothing_read(self, kind: FileKind) -> DataError:
        """Return the error of data without a readable file."""
        return DataError(f"{self._tree.root}: found no {kind.noun} that can be read")

    def _damage_notes(self, what: str = "damaged files") -> List[Note]:
        """Return the note on the files that were skipped, which are ``what``; no note without any."""
        return skipped_notes(what, self._damaged, is_mistake=True)

    def _count_notes(self, noun: str, texts: Mapping[str, Tuple[str, str]]) -> List[Note]:
        """Return notes on conversions, of which ``texts`` has the affected files and the effect by key of the counts.

        ``noun`` is the key of the number of all files.
        """
        found = self._counts
        return [
            Note(f"{noun} {what}: {found[key]:,} of {found[noun]:,}, {effect}")
            for key, (what, effect) in texts.items()
            if found[key]
        ]
