"""Trees of files with one folder per class: their parts, classes and files, and what is skipped of them."""

import os
from collections import Counter
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.data.dataset import Note
from qatviz.data.file_tree import MAX_DEPTH, FileTree, join
from qatviz.data.split_names import TRAIN, held_out_part, part_of_name
from qatviz.data_options import AUTO, SKIP, SKIPPING, TEST, VALIDATION, DataOptions
from qatviz.errors import DataError
from qatviz.number_format import count, names_text


class FileKind(NamedTuple):
    """Kind of the files that are examples.

    Attributes
    ----------
    noun, plural : str
        Names in messages.
    extensions : tuple of str
        Extensions in lower case, with dots.
    no_classes : tuple of str
        Names of folders that are no classes.
    """

    noun: str
    plural: str
    extensions: Tuple[str, ...]
    no_classes: Tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Return whether a file has the extension of this kind."""
        return name.lower().endswith(self.extensions)


class Part(NamedTuple):
    """Paths of the files of a part in its tree, and their class indices."""

    files: List[str]
    labels: List[int]


class FolderReader:
    """Finder of the parts, classes and files in a tree with one folder per class; counts what it skips.

    Parameters
    ----------
    tree : FileTree
    options : DataOptions
        `unusable` and `held_out` of them are used.
    kind : FileKind
        Kind of the files that are examples.

    Attributes
    ----------
    class_names : list of str
        Names of the classes, once `parts` was called.
    """

    def __init__(self, tree: FileTree, options: DataOptions, kind: FileKind):
        self._tree, self._options, self._kind = tree, options, kind
        self._skips = options.unusable == SKIP
        self._names: Dict[str, List[str]] = {}  # of the files below each folder
        self._other_files: List[str] = []
        self._notes: List[Note] = []
        self.class_names: List[str] = []

    def parts(self) -> List[Part]:
        """Return the training part, and the part to hold out if there is one.

        Raises
        ------
        DataError
            If several folders are for the same part, there are fewer than two classes, a class has no files and is not
            skipped, or the options name a part that is missing beside the training part.
        """
        folders = self._part_folders(self._entered(""))
        self.class_names = self._classes_of(folders[0])
        return [self._part(folder, is_train=folder == folders[0]) for folder in folders]

    def notes(self) -> List[Note]:
        """Return notes on what was skipped."""
        links = self._tree.skipped_links
        not_followed = [Note(f"not followed: {count(links, 'link')}")] if links else []
        return [*self._notes, *self._other_files_notes(), *not_followed]

    def innermost(self) -> str:
        """Return the folder with the data: the root, or the innermost of folders that only contain one another."""
        return self._entered("")

    def _entered(self, folder: str) -> str:
        """Return the first folder, from this one inwards, whose content is not just a folder that has folders."""
        for _ in range(MAX_DEPTH):
            names = self._tree.folders(folder)
            inner = join(folder, names[0]) if len(names) == 1 else ""
            has_files = any(map(self._kind.has, self._tree.files(folder)))
            if not inner or has_files or not self._tree.folders(inner):
                break
            folder = inner
        return folder

    def _part_folders(self, top: str) -> List[str]:
        """Return the folder of the training part and of the held-out part, if there is one, in the folder `top`."""
        named: Dict[str, List[str]] = {TRAIN: [], VALIDATION: [], TEST: []}
        others: List[str] = []
        for name in self._tree.folders(top):
            named.get(part_of_name(name) or "", others).append(name)
        train = self._one_of(top, named[TRAIN])
        if train is None or not self._tree.folders(join(top, train)):  # "train" is a class, with files of its own
            return [top]
        found = {part: self._one_of(top, names) for part, names in named.items()}
        held_out = self._held_out(top, found)
        others += [name for names in named.values() for name in names if name not in (train, held_out)]
        if others:
            self._skip_folders("folders", top, others)
        return [self._entered(join(top, name)) for name in (train, held_out) if name is not None]

    def _held_out(self, top: str, found: Dict[str, Optional[str]]) -> Optional[str]:
        """Return the name of the folder of the held-out part; None if there is none.

        ``found`` has the names of the folders in ``top`` by part.
        """
        present = {part: name for part, name in found.items() if name is not None}
        if self._options.held_out == AUTO:
            # Test files for a competition have no labels, and so no class folders.
            labelled = {part: name for part, name in present.items() if self._tree.folders(join(top, name))}
            present = labelled if self._skips or {TEST, VALIDATION} & set(labelled) else present
        part = held_out_part(self._options, present, self._tree.where(top))
        return None if part is None else present[part]

    def _one_of(self, top: str, names: Sequence[str]) -> Optional[str]:
        """Return the only folder of a part: the one with exactly its name, if there are several."""
        exact = [name for name in names if part_of_name(name, is_decorated=False)] or list(names)
        if len(exact) > 1:
            raise DataError(
                f"{self._tree.where(top)}: found the folders {', '.join(exact)} for the same part of the data; "
                "expected one of them"
            )
        return exact[0] if exact else None

    def _classes_of(self, folder: str) -> List[str]:
        """Return the names of the class folders in the folder of the training part, in the order of the classes."""
        names = [name for name in self._tree.folders(folder) if name not in self._kind.no_classes]
        others = [name for name in self._tree.folders(folder) if name in self._kind.no_classes]
        if others:
            self._skip_folders("folders", folder, others)
        empty = [name for name in names if not self._files_in(join(folder, name))]
        if empty and self._skips:
            self._notes += skipped_notes(f"classes without {self._kind.plural}", empty, is_mistake=True)
            names = [name for name in names if name not in empty]
        if len(names) < 2:
            raise DataError(
                f"{self._tree.where(folder)}: found {len(names)} folders ({', '.join(names) or 'none'}); expected at "
                "least two, one per class"
            )
        # In alphabetical order, class "10" would come before class "2".
        return sorted(names, key=int) if all(name.isdecimal() for name in names) else names

    def _part(self, folder: str, is_train: bool) -> Part:
        """Return the files in the class folders of a part."""
        where = self._tree.where(folder)
        names = [name for name in self._tree.folders(folder) if name not in self._kind.no_classes]
        unknown = [name for name in names if name not in self.class_names]
        if unknown and not self._skips:
            raise DataError(
                f"{where}: found the class {unknown[0]!r}; expected {', '.join(self.class_names)}, the classes for "
                f"training; {SKIPPING}",
                "unusable",
            )
        if unknown and not is_train:
            self._skip_folders(f"classes without training {self._kind.plural}", folder, unknown)
        part = Part([], [])
        for label, name in enumerate(self.class_names):
            if name not in names:
                continue
            inner = join(folder, name)
            files = self._files_in(inner, counts_others=True)
            if not files and not self._skips:
                raise DataError(
                    f"{self._tree.where(inner)}: found no {self._kind.plural}; expected files with the extensions "
                    f"{' '.join(self._kind.extensions)}; {SKIPPING}",
                    "unusable",
                )
            part.files.extend(files)
            part.labels.extend([label] * len(files))
        if not part.files:
            raise DataError(f"{where}: found no class folders; expected at least one of {', '.join(self.class_names)}")
        return part

    def _files_in(self, folder: str, counts_others: bool = False) -> List[str]:
        """Return the paths of the files of the kind in a folder and its subfolders."""
        if folder not in self._names:
            self._names[folder] = self._tree.files_below(folder)
        names = self._names[folder]
        if counts_others:
            self._other_files += [name for name in names if not self._kind.has(name)]
        return [join(folder, name) for name in names if self._kind.has(name)]

    def _skip_folders(self, what: str, folder: str, names: Sequence[str]) -> None:
        """Note that folders in a folder are skipped; ``what`` names their kind in the plural."""
        files = sum(len(self._files_in(join(folder, name))) for name in names)
        self._notes += skipped_notes(what, names, more=f", with {count(files, self._kind.noun, self._kind.plural)}")

    def _other_files_notes(self) -> List[Note]:
        """Return the note on files of other kinds in the class folders, with their numbers by extension."""
        names = self._other_files
        if not names:
            return []
        endings = Counter(os.path.splitext(name)[1].lower() or "no extension" for name in names).most_common()
        listed = names_text([f"{number:,} {ending}" for ending, number in endings])
        return [Note(f"skipped files that are not {self._kind.plural}: {len(names):,} ({listed})")]


def skipped_notes(what: str, names: Sequence[str], is_mistake: bool = False, more: str = "") -> List[Note]:
    """Return the note on skipped items of a kind, a plural noun, with some of their names; no note without items."""
    return [Note(f"skipped {what}: {len(names):,} ({names_text(names)}){more}", is_mistake)] if names else []
