"""Sizes that ``export --dry-run`` and the window give are those of the stored exports."""

import golden_cases
import pytest

from qatviz.export.formats import FORMATS
from qatviz.session.checkpoints import settings_at
from qatviz.session.sizes import size_at

STORED = golden_cases.load(golden_cases.EXPORTS)
#: Kinds of files whose stored size is that of the export: without proof, and unlike a SavedModel's and compressed ones.
KINDS = ("tflite", "onnx", "graph", "hdf5")
#: Bounds of an estimate for a state whose weights and classes are not known.
RELATIVE, BYTES = 0.02, 512


def stored_bytes(case):
    """Return the size of a stored export, None if it is not stored."""
    files = STORED[case.name]
    if case.format in ("savedmodel", "c", golden_cases.TENSORBOARD):
        return None
    if case.format == "encodings":
        return sum(found["bytes"] for name, found in files.items() if name.endswith(".encodings"))
    sizes = [found["bytes"] for found in files.values() if found["kind"] in KINDS]
    return sizes[0] if sizes else None


SIZES = {name: stored_bytes(case) for name, case in golden_cases.CASES.items() if stored_bytes(case) is not None}
ESTIMATED = [name for name, case in golden_cases.CASES.items() if case.run == "shapes" and not case.options]


@pytest.fixture
def packages(name):
    if golden_cases.CASES[name].format.startswith("onnx"):
        pytest.importorskip("onnx")


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_dry_run_gives_the_size_of_the_stored_export(name, program, exported_records, packages, tmp_path):
    case = golden_cases.CASES[name]
    answer = program.call(*case.arguments(exported_records, tmp_path), "--dry-run", "--json")
    assert answer.code == 0, answer.err
    (found,) = answer.json
    assert (found["format"], found["bytes"], found["refused"]) == (case.format, SIZES[name], None)
    assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize("name", sorted(set(SIZES) & set(ESTIMATED)))
def test_the_window_estimates_the_size_without_the_data(name, exported_records, packages):
    case = golden_cases.CASES[name]
    directory, checkpoint = str(exported_records / case.run), case.checkpoint or "final-00000040"
    book, _ = settings_at(directory, checkpoint)
    for state in (checkpoint, ""):  # the present state: with the weights of the newest checkpoint
        found = size_at(directory, state, book, None, case.format, FORMATS[case.format].with_defaults())
        assert abs(found.nbytes - SIZES[name]) <= max(RELATIVE * SIZES[name], BYTES), state
