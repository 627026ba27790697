"""Readers of the files of a tree, which count what they convert and skip."""

from collections import Counter
from contextlib import contextmanager
from typing import Counter as CounterType
from typing import Iterator, List, Mapping, Tuple

from qatviz.data.class_folders import skipped_notes
from qatviz.data.dataset import Note
from qatviz.data.file_tree import FileTree
from qatviz.data_options import SKIP, DataOptions
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
        except DataError:
            if self._options.unusable != SKIP:
                raise
            self._damaged.append(self._tree.where(path))

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
