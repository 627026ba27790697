"""Estimates of sizes for the present state of a run, compared with the exports of networks of the zoo."""

import shutil

import pytest

import qatviz
from qatviz.export.formats import FORMATS
from qatviz.session.export import export, source_of
from qatviz.session.record_requests import ExportRequest
from qatviz.session.sizes import size_at

#: Allowed differences: a fraction of the size, or a number of bytes if that is larger.
RELATIVE, BYTES = 0.02, 512
#: A network and its preset.
RUNS = {"lenet": "int4", "dscnn": "tflite-int8", "resnet8": "int4"}


@pytest.fixture(scope="module", params=sorted(RUNS))
def recorded(request, tmp_path_factory):
    """Directory of a recorded run, and a copy of it without checkpoints."""
    folder = tmp_path_factory.mktemp(request.param)
    options = {"steps": 3, "batch_size": 16, "preset": RUNS[request.param]}
    qatviz.train(request.param, "mnist-5k", str(folder / "run"), quiet=True, **options)
    shutil.copytree(str(folder / "run"), str(folder / "bare"))
    for path in (folder / "bare" / "checkpoints").iterdir():
        path.unlink()
    return folder / "run", folder / "bare"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_c")
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_estimate_of_the_present_state_is_close_to_the_export(recorded, name, tmp_path, monkeypatch):
    if name.startswith("onnx"):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    for variable in ("ONNXRUNTIME", "LITERT", "TFLM"):
        monkeypatch.setenv(f"QATVIZ_{variable}_PYTHON", "/nowhere/python")
    form, (run, bare) = FORMATS[name], recorded
    for number, options in enumerate(({}, *form.packings)):
        path = tmp_path / f"{number}{form.suffix}"
        request = ExportRequest(str(run), format=name, out=str(path), options=dict(options))
        source = source_of(request, 1)
        real = export(request, source).report.nbytes["file"]
        # How far an archive is compressed depends on the weights, which are unknown without a checkpoint.
        for directory in (run,) if name == "npz" else (run, bare):
            found = size_at(str(directory), "", source.book, None, name, options).nbytes
            assert abs(found - real) <= max(RELATIVE * real, BYTES), (options, directory.name)
