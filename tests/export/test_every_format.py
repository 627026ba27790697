"""Behaviour shared by exports to all formats: progress, cancellation, refusals and failures."""

import os

import pytest
from export_cases import NETWORK, STATE, export_as, files_in
from integer_cases import book_of

from qatviz.errors import ExportError
from qatviz.export.formats import FORMATS
from qatviz.export.integers.lowering import integer_model
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.progress import Cancelled, Progress
from qatviz.export.tflite.lowering import tflite_model

pytestmark = pytest.mark.usefixtures("quick_c")

LOWERINGS = {"tflite": tflite_model, "onnx": onnx_model}
INTEGERS = [{}, {"symmetric": True, "narrow_range": True, "per_channel": True}, {"num_bits": 4, "per_channel": True}]
WIDE, FLOAT, CHANNELS = {"num_bits": 9}, {"enabled": False}, {"per_channel": True}
#: Settings of weights that a format can't hold.
FORBIDDEN = {"tflite": [WIDE, FLOAT, CHANNELS], "onnx": [FLOAT]}


@pytest.fixture(autouse=True)
def packages(request):
    """Skip formats whose packages are missing."""
    if "name" in request.fixturenames and request.getfixturevalue("name") == "onnx":
        for package in ("onnx", "onnxruntime"):
            pytest.importorskip(package)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_progress_is_reported_and_a_cancelled_export_writes_nothing(name, tmp_path, dataset):
    told, there = [], "net" + FORMATS[name].suffix
    export_as(
        name,
        tmp_path / "done" / there,
        dataset,
        examples=16,
        progress=Progress(lambda what, share: told.append((what, share))),
    )
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] == 0 and 0.9 < shares[-1] <= 1
    assert len({what for what, _ in told}) > (3 if name == "encodings" else 4)
    assert files_in(tmp_path / "done")
    # The number of times that a compiler is polled varies.
    for after in (0, 2, 4) if name == "c" else sorted({0, 2, len(told) // 2, len(told) - 2}):
        seen = []
        with pytest.raises(Cancelled):
            export_as(
                name,
                tmp_path / "other" / there,
                dataset,
                examples=16,
                progress=Progress(lambda what, share: seen.append(what), lambda: len(seen) > after),
            )
        assert len(seen) == after + 1
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


@pytest.mark.parametrize("name", sorted(LOWERINGS))
def test_a_failure_while_writing_keeps_existing_files(name, tmp_path, dataset, monkeypatch):
    export_as(name, tmp_path / "net", dataset)
    before = files_in(tmp_path)
    assert len(before) == 6
    for fails_at in range(6):
        calls = []

        def failing(number):
            calls.append(number)
            if len(calls) == fails_at + 1:
                raise OSError(28, "No space left on device", "disk")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing)
            with pytest.raises(ExportError, match="disk: can't be written: No space left on device"):
                export_as(name, tmp_path / "net", dataset, {"num_bits": 4})
        assert files_in(tmp_path) == before, fails_at


@pytest.mark.parametrize("weights", [*INTEGERS, WIDE, FLOAT, CHANNELS], ids=str)
@pytest.mark.parametrize("name", sorted(LOWERINGS))
def test_unsupported_settings_are_refused_before_anything_is_computed(name, weights, tmp_path, dataset):
    book = book_of(NETWORK, weights)
    told = FORMATS[name].limits(NETWORK, book, None, FORMATS[name].with_defaults())
    if told:
        with pytest.raises(ExportError) as refused:
            export_as(name, tmp_path / "net", dataset, weights)
        assert refused.value.refusals == tuple(told) and str(refused.value) == "; ".join(map(str, told))
        assert all(refusal.remedies and "; possible with" in str(refusal) for refusal in told)
        assert not files_in(tmp_path)
    else:
        LOWERINGS[name](integer_model(NETWORK, book, STATE))
    assert bool(told) == (weights in FORBIDDEN[name])
