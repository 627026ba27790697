"""Files of a run's record, which no export or figure replaces."""

import pytest

from qatviz.gui.widgets.figures.files import FigureError, save_csv
from qatviz.telemetry.record.own_files import refusal_to_replace

OWN = [
    "run.sqlite",
    "run.sqlite-wal",
    "run.lock",
    "data.npz",
    "labels.json",
    "checkpoints/a.npz",
    "initial/parameters.npz",
]
OTHERS = ["report.html", "net.npz", "exports/data.npz", "checkpoints.npz"]


@pytest.mark.parametrize("name", OWN + OTHERS)
@pytest.mark.parametrize("has_record", [True, False])
def test_only_the_files_of_a_record_are_refused(tmp_path, name, has_record):
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"content")
    if has_record:
        (tmp_path / "run" / "run.sqlite").write_bytes(b"record")
    expects_refusal = name in OWN and (has_record or name == "run.sqlite")
    assert (refusal_to_replace(path) is not None) == expects_refusal
    assert (refusal_to_replace(path.parent / ".." / path.parent.name / path.name) is not None) == expects_refusal
    if has_record:
        link = tmp_path / "link"
        link.symlink_to(path)
        assert (refusal_to_replace(link) is not None) == expects_refusal
    assert refusal_to_replace(tmp_path / "new" / "run.sqlite") is None


def test_a_figure_does_not_replace_the_record_of_a_run(tmp_path):
    path = tmp_path / "run.sqlite"
    path.write_bytes(b"record")
    with pytest.raises(FigureError, match="run.sqlite: belongs to the record of a run"):
        save_csv({"x": range(3)}, path)
    assert path.read_bytes() == b"record"
