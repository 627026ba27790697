"""A recorded run from which sweeps start, and what their launcher reports."""

import shutil
from pathlib import Path

import pytest

RECORDS = Path(__file__).resolve().parent / "golden" / "records"


@pytest.fixture
def base(tmp_path):
    """A recorded run with a checkpoint of step 22."""
    shutil.unpack_archive(str(RECORDS / "pairs.zip"), str(tmp_path))
    return str(tmp_path / "pairs")


def followed(launcher):
    """Return a launcher that lists, in ``begun``, ``news`` and ``ends``, what it reports of its sweeps."""
    launcher.begun, launcher.news, launcher.ends = [], [], []
    launcher.sweep_begun.connect(launcher.begun.append)
    launcher.sweep_reported.connect(lambda directory, report: launcher.news.append((report.run.name, report.event)))
    launcher.sweep_ended.connect(lambda directory, problem: launcher.ends.append((directory, problem)))
    return launcher
