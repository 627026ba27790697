"""Name, notes and tags that the user gives a run: a small JSON file beside its record, which never changes them."""

import json
from pathlib import Path
from typing import Any, Dict, Iterable, NamedTuple, Tuple, Union

from qatviz.atomic_files import write_file
from qatviz.errors import RecordError, SettingError
from qatviz.safe_text import escaped, one_line
from qatviz.telemetry.record.own_files import DAMAGED_LABELS_FILE, LABELS_FILE
from qatviz.telemetry.record.schema import DATABASE_NAME, reading

#: Limits of a name, of notes and of one tag in characters, and of the number of tags.
LONGEST_NAME, LONGEST_NOTES, LONGEST_TAG, MOST_TAGS = 100, 10_000, 40, 50
#: Largest file that is read, bytes: the longest labels take less, whatever their characters.
_MAX_BYTES = 1 << 18


class RunLabels(NamedTuple):
    """What the user calls a run.

    Attributes
    ----------
    name : str
        Empty for the name of the directory.
    notes : str
        Free text.
    tags : tuple of str
        Words without spaces, sorted.
    """

    name: str = ""
    notes: str = ""
    tags: Tuple[str, ...] = ()


def checked_labels(name: str = "", notes: str = "", tags: Iterable[str] = ()) -> RunLabels:
    """Return labels in their normal form: without space around them, control characters escaped, each tag once.

    Raises
    ------
    SettingError
        Naming the label, its value and what is allowed.
    """
    name, notes = one_line(name.strip()), escaped(notes.strip())
    if len(name) > LONGEST_NAME:
        raise SettingError.of_field("name", f"has {len(name)} characters: expected at most {LONGEST_NAME}")
    if len(notes) > LONGEST_NOTES:
        raise SettingError.of_field("notes", f"has {len(notes)} characters: expected at most {LONGEST_NOTES}")
    words = sorted({one_line(tag.strip()) for tag in tags} - {""})
    for tag in words:
        if len(tag) > LONGEST_TAG or any(character.isspace() or character == "," for character in tag):
            raise SettingError.of_field(
                "tag", f"is {tag!r}: expected a word of at most {LONGEST_TAG} characters without spaces and commas"
            )
    if len(words) > MOST_TAGS:
        raise SettingError.of_field("tags", f"are {len(words)}: expected at most {MOST_TAGS}")
    return RunLabels(name, notes, tuple(words))


def check_is_run(directory: Union[str, Path]) -> None:
    """Raise a :class:`RecordError` unless ``directory`` contains the record of a run, which may be damaged."""
    if not (Path(directory) / DATABASE_NAME).is_file():
        raise RecordError(f"{directory}: does not contain the record of a run")


def read_labels(directory: Union[str, Path]) -> RunLabels:
    """Return the labels of the run in ``directory``; empty ones if it has none.

    Raises
    ------
    RecordError
        If the file is damaged.
    """
    path = Path(directory) / LABELS_FILE
    if not path.exists():
        return RunLabels()
    with reading(path, "labels of a run", (ValueError, TypeError, KeyError, RecursionError, SettingError)):
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"expected a file of at most {_MAX_BYTES:,} bytes")
        with open(str(path), encoding="utf-8") as file:
            row: Any = json.loads(file.read(_MAX_BYTES))
        name, notes, tags = row["name"], row["notes"], row["tags"]
        if not (isinstance(tags, list) and all(isinstance(text, str) for text in (name, notes, *tags))):
            raise ValueError("expected text as name and notes, and a list of texts as tags")
        return checked_labels(name, notes, tags)


def write_labels(directory: Union[str, Path], labels: RunLabels) -> RunLabels:
    """Replace the labels of the run in ``directory``, also while it trains; return them in their normal form.

    A damaged file is kept as :data:`.own_files.DAMAGED_LABELS_FILE`.

    Raises
    ------
    RecordError
        If there is no run, or the file can't be written.
    SettingError
        As :func:`checked_labels` does.
    """
    check_is_run(directory)
    path = Path(directory) / LABELS_FILE
    labels = checked_labels(*labels)
    row: Dict[str, Any] = dict(labels._asdict(), tags=list(labels.tags))
    try:
        if path.is_file() and _is_damaged(directory):
            path.replace(path.with_name(DAMAGED_LABELS_FILE))
        write_file(path, (json.dumps(row, indent=1) + "\n").encode("utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: not written: {error.strerror or error}") from error
    return labels


def _is_damaged(directory: Union[str, Path]) -> bool:
    try:
        read_labels(directory)
    except RecordError:
        return True
    return False
