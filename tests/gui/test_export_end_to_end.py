"""Exports from the window without stand-ins: the command line in a separate process, on a real run."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PyQt5 import QtCore
from tensorflow_needed import needs_tensorflow
from waiting import communicate, run_process

from qatviz.app.launching import AppLauncher
from qatviz.cli.parser import parse
from qatviz.errors import RecordError
from qatviz.gui.dialogs.export.dialog import ExportDialog
from qatviz.gui.model.exporting import Exporter
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.session.checkpoints import keep_checkpoint
from qatviz.session.record_requests import ExportRequest
from qatviz.session.recorded import open_recorded
from qatviz.telemetry.record.own_files import CHECKPOINTS
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENVIRON = dict(os.environ, PYTHONPATH=ROOT)
FOLLOWED = """
import sys
from qatviz.cli.followed import followed
with followed() as follower:
    print("ready", flush=True)
    for step in range(10**9):
        follower.progress.at("waiting", step // 1000 / 10**6)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A recorded run of a few steps on a small data set."""
    folder = tmp_path_factory.mktemp("run")
    random = np.random.RandomState(0)
    labels = np.arange(120) % 4
    images = random.rand(120, 4, 4, 1).astype(np.float32) + labels[:, None, None, None] / 2
    data = str(folder / "data.npz")
    np.savez(data, x_train=images[:80], y_train=labels[:80], x_test=images[80:], y_test=labels[80:])
    command = [
        sys.executable,
        "-m",
        "qatviz",
        "train",
        "--network",
        "mlp",
        "--data",
        data,
        "--steps",
        "4",
        "--batch-size",
        "8",
        "--set",
        "2:dense1.weights.num_bits=4",
        "--out",
        str(folder / "run"),
        "--quiet",
    ]
    run_process(command, check=True, env=ENVIRON)
    return str(folder / "run")


def test_a_recorded_run_is_exported_by_a_click(directory, context, app, tmp_path, qtbot):
    launcher = AppLauncher()
    prepared = open_recorded(directory)
    context.model.set_run(prepared.run, prepared.network, prepared.book, prepared.title)
    exporter = Exporter(context.model, launcher.export_command)
    dialog = ExportDialog(context, launcher, exporter)
    try:
        dialog.open_for(directory)
        names = [dialog.form.state_box.itemData(row) for row in range(dialog.form.state_box.count())]
        assert names[0].startswith("final-") and any(name.startswith("before-") for name in names)
        qtbot.emitted(dialog.form._worker.answered)
        dialog.form.formats.choose("tflite")
        dialog.form.path.edit.setText(str(tmp_path / "new" / "net.tflite"))
        assert dialog.start.isEnabled(), dialog.form.problem()
        dialog.start.click()
        ended = qtbot.emitted(exporter.ended)[0]
        assert ended.record is not None, ended
        assert sorted(os.listdir(str(tmp_path / "new"))) == [
            "net.tflite",
            "net.tflite.README.md",
            "net.tflite.check.py",
            "net.tflite.golden.npz",
            "net.tflite.parity.json",
            "net.tflite.parity.txt",
        ]
        assert dialog.result.heading.text().startswith("✓") and dialog.result.layers.model().rowCount() >= 3
        with open(str(tmp_path / "new" / "net.tflite.parity.json")) as file:
            assert dialog.result.outputs.table()["compared"] == list(json.load(file)["outputs"])
    finally:
        exporter.close()
        dialog.close()
        dialog.deleteLater()
        app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


@pytest.mark.parametrize("form", list(AppLauncher().export_formats()), ids=lambda form: form.name)
def test_the_window_passes_valid_command_line_arguments(form, directory):
    checkpoint = next(info.name for info in AppLauncher().checkpoints(directory) if info.name.startswith("final"))
    switched = {option.name: option.choices[-1] if option.choices else True for option in form.options}
    for options, examples in ((form.with_defaults(), None), (switched, 20)):
        wanted = ExportRequest(directory, checkpoint, None, form.name, "/runs/a/x" + form.suffix, options, examples)
        command = AppLauncher().export_command(wanted)
        assert command.program == sys.executable and command.arguments[:3] == ["-m", "qatviz", "export"]
        parsed = parse(command.arguments[2:])
        assert (parsed.directory, parsed.format, parsed.out, parsed.checkpoint, parsed.verify, parsed.progress) == (
            directory,
            form.name,
            "/runs/a/x" + form.suffix,
            "kept-" + checkpoint,
            examples,
            True,
        )
        for name, value in options.items():
            assert (getattr(parsed, name) or False) == value
        assert command.environment["TF_NUM_INTRAOP_THREADS"] == "1" and ROOT in command.environment["PYTHONPATH"]


@pytest.fixture
def save(tmp_path):
    """Save a checkpoint of a run in ``tmp_path``, whose state is a single number."""
    with RunRecord.create(tmp_path, {}) as record:

        def save_number(name, kind, number):
            record.save_checkpoint(
                name, {"x": np.array([number])}, {"step": 500, "reason": SaveReason(kind).to_wire(), "created": 1.0}
            )

        yield save_number


def test_an_automatic_checkpoint_is_kept_under_another_name(tmp_path, save):
    folder = tmp_path / CHECKPOINTS
    name = "before-00000500-3"
    save(name, SaveKind.BEFORE_CHANGE, 1)
    first = (folder / (name + ".npz")).read_bytes()
    for _ in range(2):
        assert keep_checkpoint(str(tmp_path), name) == "kept-before-00000500-3"
    (folder / (name + ".npz")).unlink()
    assert (folder / "kept-before-00000500-3.npz").read_bytes() == first
    save(name, SaveKind.BEFORE_CHANGE, 2)  # on another branch
    assert keep_checkpoint(str(tmp_path), name) == "kept-before-00000500-3.2"
    assert (folder / "kept-before-00000500-3.npz").read_bytes() == first
    assert keep_checkpoint(str(tmp_path), "kept-before-00000500-3") == "kept-before-00000500-3"
    for name, kind in (("step-00000500", SaveKind.REQUESTED), ("mine", SaveKind.AUTOMATIC)):
        save(name, kind, 3)
        assert keep_checkpoint(str(tmp_path), name) == name
    assert len(list(folder.iterdir())) == 5


def test_a_checkpoint_is_copied_where_links_are_impossible(tmp_path, save, monkeypatch):
    save("auto-00000500", SaveKind.AUTOMATIC, 1)

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    for _ in range(2):
        assert keep_checkpoint(str(tmp_path), "auto-00000500") == "kept-auto-00000500"
    contents = {path.name: path.read_bytes() for path in (tmp_path / CHECKPOINTS).iterdir()}
    assert sorted(contents) == ["auto-00000500.npz", "kept-auto-00000500.npz"] and len(set(contents.values())) == 1


def test_a_missing_checkpoint_is_reported(tmp_path, save):
    with pytest.raises(RecordError, match="auto-00000500"):
        keep_checkpoint(str(tmp_path), "auto-00000500")


def test_the_settings_of_a_checkpoint_are_read(directory):
    launcher = AppLauncher()
    infos = launcher.checkpoints(directory)
    before, final = (next(info for info in infos if info.name.startswith(prefix)) for prefix in ("before", "final"))
    assert [
        (launcher.settings_at(directory, info.name)[0].of("dense1.weights").num_bits, info.step)
        for info in (before, final)
    ] == [(8, 2), (4, 4)]
    names = [info.name for info in infos]
    keep_checkpoint(directory, before.name)
    assert [info.name for info in launcher.checkpoints(directory)] == names  # not twice
    with pytest.raises(RecordError, match="nowhere"):
        launcher.settings_at(directory, "nowhere")


@pytest.mark.parametrize("ending", [signal.SIGTERM, "input"])
def test_followed_work_ends_on_signals_and_closed_input(ending):
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWED],
        env=ENVIRON,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    assert json.loads(process.stdout.readline().decode()) == {"progress": 0.0, "what": "waiting"}
    if ending == "input":
        process.stdin.close()
        process.stdin = None
    else:
        process.send_signal(ending)
    out, errors = communicate(process)
    assert process.returncode == 1 and b"Cancelled: cancelled: nothing was written" in errors
    *lines, last = [json.loads(line.decode()) for line in out.splitlines()]
    message = "cancelled: nothing was written"
    assert last == {"error": {"kind": "Cancelled", "message": message, "field": "", "details": ""}}
    shares = [line["progress"] for line in lines]
    assert all(later - earlier >= 0.0049 for earlier, later in zip(shares, shares[1:]))  # not a line for every step
