"""``qatviz report``: the page of a trained run agrees with ``qatviz show``."""

import html
import json
import re
import subprocess
import sys

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import ROOT, call, error_of, write_data

from qatviz.export.formats import FORMATS
from qatviz.number_format import bytes_text

STEPS = 24


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    data = write_data(folder / "small.npz")
    answer = call(
        "train",
        "--network",
        "lenet",
        "--data",
        data,
        "--steps",
        STEPS,
        "--batch-size",
        8,
        "--quiet",
        "--evaluation-interval",
        12,
        "--out",
        folder / "run",
        "--set",
        "12:*.weights.num_bits=4",
    )
    assert answer.code == 0, answer.err
    return folder / "run"


@pytest.fixture(scope="module")
def page(run):
    path = run.parent / "a.html"
    answer = call("report", run, "--out", path)
    assert answer.code == 0 and answer.out.startswith(f"{path}: the run up to step {STEPS}, ")
    written = path.read_text(encoding="utf-8")
    assert len(written) < 1e6 and "<script" not in written and "http:" not in written
    return written


def rows(page):
    """Return the cells of all table rows, without tags."""
    return [
        [html.unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr>(.*?)</tr>", page)
    ]


def test_the_page_agrees_with_show(run, page):
    shown = call("show", run, "--json").json
    found = rows(page)
    assert f"{STEPS} steps: finished" in page and shown["description"]["run_id"] in page
    accuracies = [
        f"{100 * shown['accuracy'][way]:.1f} %" for way in ("float", "weights_only", "activations_only", "quantized")
    ]
    assert [str(STEPS), *accuracies] in found
    for tensor in shown["tensors"]:
        row = next(row for row in found if row and row[0] == tensor["name"] and len(row) > 15)
        sqnr = "exact" if tensor["sqnr_db"] is None else f"{tensor['sqnr_db']:.1f}"
        assert row[2:5] == [str(tensor["num_bits"]), sqnr, f"{tensor['rmse_over_scale']:.3f}"]
        assert f"{tensor['used_codes']:,}/" in row[7] and row[11] == f"{tensor['zero_point']:,}"
    assert any("conv1.weights.num_bits 8 → 4" in cell for row in found for cell in row)
    assert ["12", "num_bits 8 → 4 of 4 tensors"] in [[row[0], row[-1]] for row in found if row]


def test_the_sizes_of_exports_are_those_of_a_dry_run(run, page):
    sizes = {row["format"]: row for row in call("export", run, "--dry-run", "--json").json}
    found = {row[0]: row[1:] for row in rows(page[page.index("Sizes of exports of the newest checkpoint") :])}
    for name in ("tflite", "tflm", "c", "npz"):
        assert found[FORMATS[name].title][0] == f"About {bytes_text(sizes[name]['bytes'])}"
    # The description of the data in an ONNX file is not in the record.
    about, value, unit = found[FORMATS["onnx"].title][0].split()
    assert (about, unit) == ("About", "kB") and float(value) == pytest.approx(sizes["onnx"]["bytes"] / 1000, rel=0.01)
    packed = [f"{bytes_text(each['bytes'])} with" for each in sizes["tflite"]["packed"]]
    assert len(packed) == 2 and all(text in found[FORMATS["tflite"].title][1] for text in packed)
    assert FORMATS["keras"].title not in found and "stored in 8 bits here, which saves nothing" in page


def test_exports_are_listed(run):
    assert call("export", run, "--out", run / "model.tflite", "--verify", 8).code == 0
    answer = call("report", run, "--json")
    path = run / "report.html"
    assert answer.json == {"file": str(path), "bytes": path.stat().st_size, "step": STEPS}
    page = path.read_text(encoding="utf-8")
    assert "model.tflite.parity.json" in page and "TFLite int8" in page and "conv2_relu" in page


def test_exports_in_other_directories_are_listed(run, tmp_path):
    for name in ("net.tflite", "net.npz"):
        arguments = ("--format", "npz") if name.endswith("npz") else ()
        assert call("export", run, "--out", tmp_path / name, "--verify", 8, *arguments).code == 0
    kept = run / "exports-elsewhere" / "net.tflite.parity.json"
    assert json.loads(kept.read_text()) == json.loads((tmp_path / "net.tflite.parity.json").read_text())
    assert call("report", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "exports-elsewhere/net.tflite.parity.json" in page and "exports-elsewhere/net.npz.parity.json" in page


def test_wrong_arguments_are_refused(run, tmp_path):
    assert "nowhere" in error_of("report", tmp_path / "nowhere")
    assert "run.sqlite: found another file, not a report" in error_of("report", run, "--out", run / "run.sqlite")
    assert call("show", run).code == 0


def test_writing_a_report_imports_neither_tensorflow_nor_qt(run, tmp_path):
    program = (
        "import sys; from qatviz.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or len({'tensorflow', 'PyQt5'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "error", "-c", program, "report", str(run), "--out", str(tmp_path / "a.html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 0 and done.stderr == b"", done.stderr
