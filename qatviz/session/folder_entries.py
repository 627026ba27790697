"""Content of a folder on the machine whose files a window opens."""

from typing import NamedTuple, Tuple


class FolderEntry(NamedTuple):
    """File or folder: its name, whether it is a folder, and whether it is a run."""

    name: str
    is_folder: bool
    is_run: bool = False


class Folder(NamedTuple):
    """Content of a folder: its absolute path, and its entries, folders first."""

    path: str
    entries: Tuple[FolderEntry, ...]
