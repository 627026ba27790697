"""Files of a run's record, which nothing else may replace."""

from pathlib import Path
from typing import Optional

from qatviz.telemetry.record.run_lock import LOCK_NAME
from qatviz.telemetry.record.schema import DATABASE_NAME

#: Directories of the checkpoints, and of the parameters with which a run starts.
CHECKPOINTS, INITIAL = "checkpoints", "initial"
#: Copy of the arrays of a script, so that its run can be resumed without the script.
DATA_FILE = "data.npz"
#: Name, notes and tags that the user gave the run.
LABELS_FILE = "labels.json"
#: Name under which a damaged file of labels is kept when new ones are written.
DAMAGED_LABELS_FILE = "labels.damaged.json"


def refusal_to_replace(path: Path) -> Optional[str]:
    """Return the reason why a file must not be written: it belongs to the record of a run; None if it does not."""
    path = path.resolve()
    names = (LOCK_NAME, DATA_FILE, LABELS_FILE, DAMAGED_LABELS_FILE)
    if path.name in names or path.name.startswith(DATABASE_NAME):  # SQLite's -wal and -shm, too
        run = path.parent
    elif path.parent.name in (CHECKPOINTS, INITIAL):
        run = path.parent.parent
    else:
        return None
    if path.name != DATABASE_NAME and not (run / DATABASE_NAME).exists():
        return None
    return "belongs to the record of a run; expected another path" if path.exists() else None
