"""Inspection of real model files: correct, in time, without TensorFlow, and without running code not allowed."""

import os
import resource
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from processor_time import slowness
from PyQt5 import QtCore, QtWidgets
from tensorflow_needed import needs_tensorflow
from waiting import join, wait_for

from qatviz.app.launching import AppLauncher
from qatviz.errors import DataError, NetworkError, QatvizError
from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.session import inspection
from qatviz.session.inspection import ModelInspector, inspect_data, is_data
from qatviz.session.model_info import DataQuestion, ModelQuestion
from qatviz.session.prepare import prepare

pytestmark = needs_tensorflow
HERE = os.path.dirname(os.path.abspath(__file__))
#: Processor time, on the machine of tests/processor_time.py.
QUICK_S = 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    subprocess.run(
        [sys.executable, os.path.join(HERE, "keras_files.py"), str(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"),
    )
    return folder


@pytest.fixture
def marker(folder):
    path = folder / "code was run"
    assert not path.exists()
    yield path
    if path.exists():
        path.unlink()


def inspect_model(path, weights=None, allow_code=False, data_shape=None):
    return ModelInspector().inspect(ModelQuestion(str(path), weights and str(weights), allow_code, data_shape))


class TimedLauncher(AppLauncher):
    """Launcher that measures the computation of an inspection, here and in the process that reads the file, regardless
    of other load."""

    took_s, found = 0.0, None

    def check_model(self, question):
        began_s = busy_s()
        self.found = super().check_model(question)
        self.took_s = busy_s() - began_s
        return self.found


def busy_s():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + children.ru_utime + children.ru_stime


@pytest.mark.slow
def test_a_large_model_is_shown_within_a_second_and_its_table_scrolls(
    folder, context, show, tmp_path, monkeypatch, qtbot
):
    monkeypatch.setenv("HOME", str(tmp_path))
    launcher, took_s = TimedLauncher(), []
    dialog = show(NewRunDialog(context, launcher), 1180, 740)
    qtbot.waitUntil(lambda: dialog.data is not None)
    for _ in range(3):
        dialog.form.network.set_text("lenet")
        dialog.open_model(str(folder / "mobilenet_v2.h5"))
        qtbot.waitUntil(lambda: dialog.model is not None)
        dialog.form.network.set_text("lenet")
        dialog.form.network.set_text("x.h5")
        began_s = time.thread_time()
        dialog._on_model(None, launcher.found)
        took_s.append((launcher.took_s + time.thread_time() - began_s) / slowness())
        if took_s[-1] < QUICK_S:
            break
    assert min(took_s) < QUICK_S
    dialog.open_model(str(folder / "mobilenet_v2.h5"))
    qtbot.waitUntil(lambda: dialog.model is not None)
    table = dialog.network_preview.table
    assert table.topLevelItemCount() == len(dialog.model.network.layers) > 150
    bar = table.verticalScrollBar()
    assert bar.maximum() > 0
    bar.setValue(bar.maximum())
    last = table.topLevelItem(table.topLevelItemCount() - 1)
    assert table.viewport().rect().contains(table.visualItemRect(last))
    assert "2,2" in dialog.network_preview.total.text() and "takes 96×96×3" in dialog.problems()["network"]
    dialog.reject()
    launcher.wait()
    QtCore.QThreadPool.globalInstance().waitForDone()


def test_all_forms_of_a_model_are_inspected_alike(folder):
    whole = inspect_model(folder / "small.h5")
    assert whole.has_weights and whole.network.name == "small" and "'conv.1' to 'conv_1'" in whole.notes[0]
    assert inspect_model(folder / "small.json") == whole._replace(has_weights=False)
    assert inspect_model(folder / "small.json", folder / "small_weights.h5") == whole


def test_a_model_of_open_size_uses_the_size_of_the_data(folder):
    with pytest.raises(NetworkError, match="unknown axes"):
        inspect_model(folder / "open.h5")
    found = inspect_model(folder / "open.h5", data_shape=(20, 30, 1))
    assert found.network.input_shape == found.used_shape == (20, 30, 1)
    assert inspect_model(folder / "small.h5", data_shape=(20, 30, 1)).used_shape is None


@pytest.mark.parametrize("name", ["coded.h5", "models.py:make"])
def test_code_is_run_by_another_process_and_only_when_allowed(folder, marker, name):
    found = inspect_model(folder / name)
    assert found.network is None and "Python" in found.code and not marker.exists()
    found = inspect_model(folder / name, allow_code=True)
    assert found.network is not None and found.has_weights and found.code == "" and marker.exists()


@pytest.mark.parametrize("name, said", [("fail", "not today"), ("leave", "exit code 7")])
def test_failing_code_is_reported_with_its_output(folder, name, said):
    with pytest.raises(NetworkError, match=said):
        inspect_model(f"{folder / 'models.py'}:{name}", allow_code=True)


def test_code_that_does_not_finish_is_stopped(folder, marker, monkeypatch, qtbot):
    asked, told = ModelInspector(), []

    def ask():
        try:
            asked.inspect(ModelQuestion(f"{folder / 'models.py'}:wait", None, True))
        except NetworkError as error:
            told.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    qtbot.waitUntil(marker.exists)
    asked.cancel()
    join(thread)
    assert "exit code -9" in told[0]
    monkeypatch.setattr(inspection, "CODE_TIMEOUT_S", 0.2)
    with pytest.raises(NetworkError, match="did not finish within"):
        inspect_model(f"{folder / 'models.py'}:wait", allow_code=True)


@pytest.mark.parametrize(
    "name, said",
    [
        ("none.h5", "no such file"),
        ("none.py:make", "no such file"),
        ("small.json/none.h5", "no such file"),
        ("small_weights.h5", "only weights"),
        ("models.py", "expected PATH.py:FUNCTION"),
    ],
)
def test_unusable_files_are_reported_without_running_code(folder, marker, name, said):
    with pytest.raises(NetworkError, match=said):
        inspect_model(folder / name)
    assert not marker.exists()


def test_files_larger_than_memory_are_refused_unread(folder, monkeypatch, tmp_path):
    path = tmp_path / "large.h5"
    with open(str(path), "wb") as file:
        file.write(b"\x89HDF\r\n\x1a\n")
        file.truncate(2**43)  # no disk holds so much: the file is sparse
    with pytest.raises(QatvizError, match="of memory"):
        inspect_model(path)


def test_inspections_need_no_tensorflow(folder):
    program = (
        "import sys; from qatviz.app.launching import AppLauncher; from qatviz.session.inspection import *; "
        "l = ModelInspector().inspect(ModelQuestion(sys.argv[1])); inspect_data(DataQuestion('mnist-5k')); "
        "print(len(l.network.layers), *sorted({'tensorflow', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder / "small.h5")], stdout=subprocess.PIPE, check=True)
    assert len(done.stdout.decode().split()) == 1


def test_data_is_inspected_and_other_files_are_refused(tmp_path):
    found = inspect_data(DataQuestion("mnist-5k"))
    assert found.describe() == "28×28×1, 10 classes, 4,000 training + 1,000 test examples" and found.captions[:3] == (
        "0",
        "1",
        "2",
    )
    with pytest.raises(DataError):
        inspect_data(DataQuestion(str(tmp_path / "none.npz")))
    np.savez(str(tmp_path / "some.npz"), x=np.zeros((4, 2)), y=[0, 1, 0, 1])
    (tmp_path / "text").write_text("a text")
    assert is_data(str(tmp_path / "some.npz"))
    assert not is_data(str(tmp_path / "text")) and not is_data(str(tmp_path / "none.npz"))


def test_opened_paths_are_classified(tmp_path, app, folder):
    launcher = AppLauncher()
    np.savez(str(tmp_path / "some.npz"), x=np.zeros((4, 2)), y=[0, 1, 0, 1])
    assert launcher.kind_of(str(tmp_path / "some.npz")) == "data"
    assert [launcher.kind_of(str(folder / name)) for name in ("small.h5", "small.json", "models.py")] == ["model"] * 3
    for path in (str(tmp_path / "none"), __file__.replace(".py", ".txt")):
        with pytest.raises(QatvizError, match="expected the directory of a run, a Keras model or data"):
            launcher.kind_of(path)


def test_a_model_from_the_dialog_trains(folder, context, show, tmp_path, monkeypatch, qtbot):
    """From the file to steps, by the request that the dialog makes."""
    monkeypatch.setenv("HOME", str(tmp_path))
    launcher = AppLauncher()
    dialog = show(NewRunDialog(context, launcher), 1180, 740)
    dialog.open_model(str(folder / "small.h5"))
    qtbot.waitUntil(lambda: dialog.start.isEnabled() and dialog.data is not None)
    dialog.form.steps.set_steps(3, False)
    dialog.form.out.record.click()
    told = []
    dialog.wanted.connect(told.append)
    dialog.accept()
    run = prepare(told[0]).run
    run.start()
    wait_for(run)
    assert run.state == "finished" and run.step == 3
    assert "conv_1.weights" in run.final.arrays
    launcher.wait()
    assert QtWidgets.QApplication.activeModalWidget() is None
