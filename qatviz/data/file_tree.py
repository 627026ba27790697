"""Trees of files to read a data set from: a directory, or a zip archive, which is not extracted."""

import io
import os
import stat
import zipfile
from contextlib import ExitStack, contextmanager
from typing import IO, Dict, Iterator, List, Set, Tuple

from qatviz.data.checks import check_memory, check_regular_file, wrap_read_errors
from qatviz.errors import DataError

#: Largest number of files in a tree, and of levels of folders.
MAX_FILES = 2_000_000
MAX_DEPTH = 32
#: Largest unpacked file of an archive: a few bytes can unpack to any size.
MAX_UNPACKED_BYTES = 2**29
#: Files and folders that programs leave behind; like hidden ones, they are not part of the data.
_LEFT_BEHIND = {"__macosx", "thumbs.db", "desktop.ini", "lost+found"}


class FileTree:
    """Tree of files and folders. Their paths are relative to its root, with ``/`` as separator; that of the root is "".

    Names that begin with a dot, and those that programs leave behind, are not listed.

    Attributes
    ----------
    root : str
        Path of the directory or the archive.
    skipped_links : int
        Number of links that were not followed so far.
    is_lasting : bool
        Whether files can be opened at any later time, also after the data set was loaded.
    """

    is_lasting = False

    def __init__(self, root: str):
        self.root = root
        self.skipped_links = 0

    def folders(self, folder: str) -> List[str]:
        """Return the sorted names of the folders in a folder."""
        raise NotImplementedError

    def files(self, folder: str) -> List[str]:
        """Return the sorted names of the files in a folder."""
        raise NotImplementedError

    def files_below(self, folder: str) -> List[str]:
        """Return the sorted paths, relative to a folder, of the files in it and in its subfolders.

        Raises
        ------
        DataError
            If there are more than `MAX_FILES`.
        """
        raise NotImplementedError

    def where(self, path: str) -> str:
        """Return the name of a file or folder in messages."""
        raise NotImplementedError

    def open(self, path: str) -> IO[bytes]:
        """Return a file, open for reading and seekable.

        Raises
        ------
        DataError
            If it is no regular file, or cannot be read.
        """
        raise NotImplementedError


def join(folder: str, name: str) -> str:
    """Return the path in a tree of the file or folder with this name in a folder."""
    return f"{folder}/{name}" if folder else name


class DirectoryTree(FileTree):
    """Tree of a directory.

    Links to files are followed, and :meth:`folders` lists links to folders, too. :meth:`files_below` does not follow
    links to folders: they may lead back into the folder, or out of the data.
    """

    is_lasting = True

    def folders(self, folder: str) -> List[str]:
        return sorted(name for name, is_folder, _ in self._entries(folder) if is_folder)

    def files(self, folder: str) -> List[str]:
        return sorted(name for name, is_folder, _ in self._entries(folder) if not is_folder)

    def files_below(self, folder: str) -> List[str]:
        found: List[str] = []
        waiting = [""]
        while waiting:
            inner = waiting.pop()
            for name, is_folder, is_link in self._entries(join(folder, inner)):
                if not is_folder:
                    found.append(join(inner, name))
                elif is_link:
                    self.skipped_links += 1
                elif inner.count("/") < MAX_DEPTH:
                    waiting.append(join(inner, name))
            if len(found) > MAX_FILES:
                raise DataError(f"{self.where(folder)}: found more than {MAX_FILES:,} files; expected fewer")
        return sorted(found)

    def _entries(self, folder: str) -> List[Tuple[str, bool, bool]]:
        """Return the names in a folder, and for each whether it is a folder, and a link."""
        path = self.where(folder)
        with wrap_read_errors(path, "a directory"), os.scandir(path) as entries:
            return [(entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries if _is_listed(entry.name)]

    def where(self, path: str) -> str:
        return os.path.join(self.root, *path.split("/")) if path else self.root

    def open(self, path: str) -> IO[bytes]:
        where = self.where(path)
        check_regular_file(where, "one")
        with wrap_read_errors(where, "a file"):
            return open(where, "rb")


class ZipTree(FileTree):
    """Tree of a zip archive, whose files are unpacked one at a time, in memory; links in it are not followed.

    Raises
    ------
    DataError
        If it has too many files or levels of folders, or the path of a file leads out of it.
    """

    def __init__(self, root: str, archive: zipfile.ZipFile):
        super().__init__(root)
        self._archive = archive
        self._files: Dict[str, Dict[str, zipfile.ZipInfo]] = {"": {}}
        self._folders: Dict[str, Set[str]] = {"": set()}
        members = archive.infolist()
        if len(members) > MAX_FILES:
            raise DataError(f"{root}: found {len(members):,} files; expected at most {MAX_FILES:,}")
        for info in members:
            self._add(info)

    def folders(self, folder: str) -> List[str]:
        return sorted(self._folders.get(folder, ()))

    def files(self, folder: str) -> List[str]:
        return sorted(self._files.get(folder, ()))

    def files_below(self, folder: str) -> List[str]:
        found = self.files(folder)
        for name in self.folders(folder):
            found += [join(name, path) for path in self.files_below(join(folder, name))]
        return sorted(found)

    def where(self, path: str) -> str:
        return f"{self.root}: {path}" if path else self.root

    def open(self, path: str) -> IO[bytes]:
        folder, _, name = path.rpartition("/")
        info, where = self._files[folder][name], self.where(path)
        if info.file_size > MAX_UNPACKED_BYTES:
            raise DataError(f"{where}: found {info.file_size:,} bytes; expected at most {MAX_UNPACKED_BYTES:,}")
        check_memory(where, info.file_size)
        with wrap_read_errors(where, "a file of a zip archive"), self._archive.open(info) as stream:
            return io.BytesIO(stream.read(info.file_size))

    def _add(self, info: zipfile.ZipInfo) -> None:
        """Add a member of the archive, a file or a folder, and the folders on its path."""
        # Archives of some programs for Windows have backslashes.
        parts = info.filename.replace("\\", "/").split("/")
        if parts[0] == "" or ".." in parts or parts[0].endswith(":"):
            raise DataError(f"{self.root}: found the path {info.filename!r}; expected paths inside of the archive")
        if len(parts) > MAX_DEPTH:
            raise DataError(f"{self.root}: found {len(parts)} levels of folders; expected at most {MAX_DEPTH}")
        parts = [part for part in parts if part != "."]
        *folders, name = parts or [""]
        if not all(map(_is_listed, (*folders, *([name] if name else ())))):
            return
        if stat.S_ISLNK(info.external_attr >> 16):
            self.skipped_links += 1
            return
        folder = ""
        for part in folders:
            self._folders.setdefault(folder, set()).add(part)
            folder = join(folder, part)
        self._folders.setdefault(folder, set())
        if name:
            self._files.setdefault(folder, {})[name] = info


@contextmanager
def zip_tree(path: str) -> Iterator[ZipTree]:
    """Open a zip archive as a tree; raise a `DataError` if it is damaged or encrypted."""
    with ExitStack() as stack:
        with wrap_read_errors(path, "a zip archive"):
            tree = ZipTree(path, stack.enter_context(zipfile.ZipFile(path)))
        yield tree


def _is_listed(name: str) -> bool:
    """Return whether a file or folder with this name is a part of the data."""
    return not name.startswith(".") and name.lower() not in _LEFT_BEHIND
