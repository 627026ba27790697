"""A window on another machine says so, and asks for the steering of a run; its dialogs name files there."""

import pytest
from PyQt5 import QtCore, QtWidgets
from staging import StagedRun
from waiting import wait_until
from window_stage import StagedLauncher, make_window, prepared_of

from qatviz.errors import QatvizError, RunStateError
from qatviz.gui.dialogs.connect import ConnectDialog
from qatviz.gui.dialogs.files_there import FilesThere, ask_folder
from qatviz.gui.dialogs.new_run.dialog import ConsentDialog, NewRunDialog
from qatviz.gui.dialogs.sweep.dialog import VaryWindow
from qatviz.gui.model.folders import folder_of_runs, remember_folder_of_runs, start_folder
from qatviz.gui.model.user_settings import PlaceSettings
from qatviz.gui.window.base import Recent
from qatviz.protocol import commands as c
from qatviz.remote.address import parse_address
from qatviz.session.folder_entries import Folder, FolderEntry
from qatviz.session.sweep_request import TRAINING, Begun, Report, SweepRun
from qatviz.telemetry.run_handle import Connection


class PlacedLauncher(StagedLauncher):
    """Launcher of a window on the machine "box"."""

    place = "box"
    folders = {  # noqa: RUF012
        "": Folder("/home/ana", (FolderEntry("runs", True), FolderEntry("a.npz", False))),
        "/home/ana": Folder("/home/ana", (FolderEntry("runs", True), FolderEntry("a.npz", False))),
        "/home/ana/runs": Folder("/home/ana/runs", (FolderEntry("one", True, True),)),
        "/home": Folder("/home", (FolderEntry("ana", True),)),
    }

    def folder(self, path):
        if path not in self.folders:
            raise QatvizError(f"{path}: No such file or directory")
        return self.folders[path]

    def new_run_directory(self, network, folder):
        return f"{folder or '/home/ana/runs'}/1-{network}"


class PlacedRun(StagedRun):
    """Staged run with a connection that a test sets."""

    connection = Connection("box")

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.calls = []

    def leave(self):
        self.calls.append("leave")

    def ask_to_steer(self):
        self.calls.append("ask")

    def answer(self, hands_over):
        self.calls.append(hands_over)

    def show_histograms(self, tensors):
        self.calls.append(("histograms", tensors))


@pytest.fixture
def placed(app, settings):
    """A window on "box" with a run, and that run."""
    window = make_window(PlaceSettings(settings, "box"), PlacedLauncher())
    window.show()
    run = PlacedRun("mlp")
    window.show_prepared(prepared_of(run))
    window.bridge.tick()
    yield window, run
    window.close_without_asking()
    window.deleteLater()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


def tick(window, run, **connection):
    run.connection = Connection("box", **connection)
    window.bridge.tick()
    window.statusBar().refresh()


def test_title_and_status_bar_name_the_machine(placed):
    window, run = placed
    assert window.windowTitle() == "mlp on digits – box – qatviz"
    window.statusBar().refresh()
    assert "training on box" in window.statusBar().state.text()
    tick(window, run, viewers=("ana", "bob"), steers="bob")
    assert window.statusBar().viewers.text() == "2 windows, bob steers"
    tick(window, run, viewers=("ana", "bob"))
    assert window.statusBar().viewers.text() == "2 windows, this one steers"
    window.close_run()
    assert window.windowTitle() == "box – qatviz"


def test_a_lost_connection_is_shown_and_disables_the_actions(placed):
    window, run = placed
    assert window.named["pause"].isEnabled()
    tick(window, run, problem="the network is down")
    assert "connection lost on box" in window.statusBar().state.text()
    assert not window.named["pause"].isEnabled() and "the network is down" in window.named["pause"].toolTip()
    tick(window, run)
    assert window.named["pause"].isEnabled()


def test_a_window_that_does_not_steer_can_ask_and_change_nothing(placed):
    window, run = placed
    tick(window, run, viewers=("ana", "bob"), steers="bob")
    assert not window.named["pause"].isEnabled() and "bob steers this run" in window.named["pause"].toolTip()
    with pytest.raises(RunStateError, match="bob steers this run"):
        window.model.send(c.Pause())
    window.model.send(c.TakeSnapshot())
    assert window.named["steer"].isEnabled()
    window.named["steer"].trigger()
    assert "ask" in run.calls
    tick(window, run, viewers=("ana", "bob"), steers="bob", has_asked=True)
    assert not window.named["steer"].isEnabled()


def test_the_window_that_steers_hands_over(placed):
    window, run = placed
    assert not window.named["steer"].isEnabled()
    tick(window, run, viewers=("ana", "bob"), asks="bob")
    assert "bob asks to steer" in window.banner.text.text() and window.banner.isVisible()
    window.banner._do.click()
    assert run.calls[-1] is True and not window.banner.isVisible()


def test_a_withdrawn_request_to_steer_hides_its_own_message_only(placed):
    window, run = placed
    tick(window, run, viewers=("ana", "bob"), asks="bob")
    tick(window, run, viewers=("ana", "bob"))
    assert not window.banner.isVisible()
    tick(window, run, viewers=("ana", "bob"), asks="bob")
    window.show_failure("the disk is full")
    tick(window, run, viewers=("ana", "bob"))
    assert window.banner.isVisible() and window.banner.text.text() == "the disk is full"


def test_closing_leaves_the_run_and_does_not_stop_it(placed):
    window, run = placed
    window.close_run()
    assert run.calls[-1] == "leave" and run.state == "running" and not [s for s in run.sent if isinstance(s, c.Stop)]


def test_a_minimized_window_asks_for_no_histograms(placed, app):
    window, run = placed
    assert run.calls[-1][1]
    window.showMinimized()
    app.processEvents()
    assert run.calls[-1] == ("histograms", None)
    window.showNormal()
    app.processEvents()
    assert run.calls[-1][1]


def test_a_window_asks_for_the_histograms_in_view(placed, app):
    window, run = placed
    run.advance(1)
    window.bridge.tick()
    panel, names = window.panels["histograms"], [tensor.name for tensor in run.plan.tensors]
    canvas = panel.canvas
    wait_until(lambda: app.processEvents() or window.bridge.tick() or canvas.names())
    assert run.calls[-1] == ("histograms", set(names))  # few tensors: all tiles are visible
    panel.bar.options = panel.bar.options._replace(size="large")
    panel.refresh()
    canvas.setFixedHeight(150)
    app.processEvents()
    assert set(canvas.visible_names()) < set(names)
    assert run.calls[-1] == ("histograms", {*canvas.visible_names(), window.model.current})
    canvas.verticalScrollBar().setValue(canvas.verticalScrollBar().maximum())
    assert names[-1] in canvas.visible_names()
    assert run.calls[-1] == ("histograms", {*canvas.visible_names(), window.model.current})
    window.model.select([names[0], names[1]], names[0])
    assert run.calls[-1] == ("histograms", {*canvas.visible_names(), names[0], names[1]})
    panel.bar.options = panel.bar.options._replace(common=True)  # the axis depends on all tensors
    panel.bar.changed.emit()
    assert run.calls[-1] == ("histograms", set(names))
    window.docks.open("network")  # the tab beside the histograms
    app.processEvents()
    run.put(run.take_snapshot())
    window.bridge.tick()
    assert run.calls[-1] == ("histograms", {names[0], names[1]})
    window.docks.open("histograms")  # nothing more comes from the run
    wait_until(lambda: app.processEvents() or window.bridge.tick() or run.calls[-1] == ("histograms", set(names)))


def test_files_of_this_machine_are_not_opened_there(placed):
    window, _ = placed
    mime = QtCore.QMimeData()
    mime.setUrls([QtCore.QUrl.fromLocalFile("/here/a.npz")])

    class Drop:
        mimeData = staticmethod(lambda: mime)  # noqa: N815

    window.dropEvent(Drop())
    assert "box" in window.banner.text.text() and not window.launcher.begun


def test_files_that_are_written_here_are_not_offered_a_folder_of_the_other_machine(placed, tmp_path, monkeypatch):
    """The path of the run there, and the folder of its runs, may happen to exist here."""
    window, _ = placed
    (tmp_path / "home").mkdir()
    (tmp_path / "runs" / "one").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    window.show_prepared(prepared_of(PlacedRun("mlp"), str(tmp_path / "runs" / "one")))
    remember_folder_of_runs(window.settings, str(tmp_path / "runs"))
    asked = []
    for name in ("getExistingDirectory", "getOpenFileName"):
        answer = "" if name == "getExistingDirectory" else ("", "")
        monkeypatch.setattr(QtWidgets.QFileDialog, name, lambda *given, answer=answer: asked.append(given[2]) or answer)
    for name in ("tensorboard", "load_recipe"):
        getattr(window.handlers, name)()
    assert asked == [str(tmp_path / "home")] * 2


@pytest.fixture
def sweep(placed, monkeypatch):
    """The window for sweeps of a window on "box", whose run is recorded there."""
    window, _ = placed
    launcher = window.launcher
    monkeypatch.setattr(launcher, "new_run_directory", lambda network, folder: f"/there/runs/{network}", raising=False)
    window.show_prepared(prepared_of(PlacedRun("mlp"), "/there/runs/one"))
    window.bridge.tick()
    assert window.named["sweep"].isEnabled() and window.named["fork_both"].isEnabled()
    window.named["sweep"].trigger()
    return window, window.findChild(VaryWindow)


def test_sweeps_train_there(sweep, tmp_path):
    window, dialog = sweep
    assert dialog.place.text() == "/there/runs/sweep"
    dialog.variations.setPlainText("*.weights.num_bits=4,3")
    dialog.place.setText("runs/sweep")
    dialog.begin()
    assert "absolute path on box" in dialog.banner.text.text() and not window.launcher.sweeps
    dialog.place.setText("/there/runs/sweep")
    dialog.begin()
    assert [request.out for request in window.launcher.sweeps] == ["/there/runs/sweep"]
    compared = []
    dialog.compare_wanted.connect(lambda directories, _: compared.append(directories))
    runs = tuple(SweepRun(name, ()) for name in ("a", "b"))
    window.launcher.sweep_begun.emit(Begun("/there/runs/sweep", runs, False))
    for run in runs:
        window.launcher.sweep_reported.emit("/there/runs/sweep", Report(run, TRAINING, 0, 2))
    dialog.compare.click()
    assert compared == [["/there/runs/sweep/a", "/there/runs/sweep/b"]]
    dialog.leave()  # with the main window
    assert not window.launcher.stopped_sweeps, "it goes on there"


def test_a_folder_of_runs_that_is_not_known_is_asked_for(sweep, monkeypatch):
    window, dialog = sweep

    def refuse(network, folder):
        raise QatvizError("box does not answer")

    monkeypatch.setattr(window.launcher, "new_run_directory", refuse)
    dialog.show_run("/there/runs/one")
    assert dialog.place.text() == ""
    chosen = []
    monkeypatch.setattr(
        "qatviz.gui.dialogs.files_there._ask_there", lambda *given: chosen.append(given[3]) or "/there/s"
    )
    dialog.resume.click()
    assert (
        len(chosen) == 1 and window.launcher.sweeps[-1].out == "/there/s" and not window.launcher.sweeps[-1].directory
    )


def test_paths_there_are_remembered_apart(settings):
    there = PlaceSettings(settings, "ana@box")
    Recent(there).add("/there/a")
    Recent(settings).add("/here/b")
    assert (Recent(there).paths(), Recent(settings).paths()) == (["/there/a"], ["/here/b"])
    remember_folder_of_runs(there, "/there/runs")
    assert folder_of_runs(there) == "/there/runs" != folder_of_runs(settings)
    for key in ("data", "model", "weights", "teacher"):
        assert start_folder(there, f"new_run/{key}_place") == ""
    there.setValue("new_run/teacher_place", "/there/models")
    assert start_folder(there, "new_run/teacher_place") == "/there/models"
    assert start_folder(there, "figures/directory") != "", "figures are saved on this machine"
    there.setValue("window/theme", "light")
    there.sync()
    settings.sync()
    assert settings.value("window/theme") == "light"


def test_a_fork_with_relu_is_recorded_there(placed, monkeypatch):
    window, _ = placed
    window.handlers.fork_with_relu()
    ((request, is_new_window),) = window.launcher.begun
    assert is_new_window and request.replace_relu6 and request.out == "/home/ana/runs/1-mlp"

    def lost(network, folder):
        raise QatvizError("the connection is lost")

    monkeypatch.setattr(window.launcher, "new_run_directory", lost)
    window.handlers.fork_with_relu()
    assert len(window.launcher.begun) == 1 and "the connection is lost" in window.banner.text.text()
    dialog = NewRunDialog(window.context, window.launcher, window)
    assert dialog.form.out.edit.text() == ""
    dialog.reject()
    dialog.deleteLater()


def test_a_new_run_is_recorded_there(placed):
    window, _ = placed
    dialog = NewRunDialog(window.context, window.launcher, window)
    assert dialog.form.out.edit.text().startswith("/home/ana/runs/1-")
    dialog.reject()
    dialog.deleteLater()


def test_files_of_this_machine_are_not_dropped_on_a_new_run_there(placed, context):
    window, _ = placed
    dialogs = [NewRunDialog(window.context, window.launcher, window), NewRunDialog(context, StagedLauncher())]
    for dialog, accepts in zip(dialogs, (False, True)):
        form = dialog.form
        for widget in (dialog, form.data, form.network, form.weights, form.teacher_model):
            assert widget.acceptDrops() is accepts
        dialog.reject()
        dialog.deleteLater()


def test_consent_names_the_machine_on_which_code_runs(placed, app):
    window, _ = placed
    dialog = NewRunDialog(window.context, window.launcher, window)
    dialog.form.metric.setEditText("/there/losses.py:dice")
    dialog._ask_code(["/there/losses.py:dice"])
    assert "The code runs on box with your permissions there" in dialog.consent.informativeText()
    dialog.consent.close()
    dialog.reject()
    dialog.deleteLater()
    here = ConsentDialog("m.h5", "It has code.")
    assert "The code runs on this computer with your permissions:" in here.informativeText()
    here.deleteLater()


def test_files_there_are_listed(placed, app):
    window, _ = placed
    dialog = FilesThere(window.launcher, "Open data set", "", False, window)
    assert "box" in dialog.windowTitle()
    texts = [dialog.list.item(row).text() for row in range(dialog.list.count())]
    assert texts == ["runs", "a.npz"]
    dialog.list.itemActivated.emit(dialog.list.item(0))
    assert dialog.path.text() == "/home/ana/runs" and dialog.list.item(0).text() == "one (run)"
    dialog.up.click()
    assert dialog.path.text() == "/home/ana"
    dialog.path.setText("/home")
    dialog.path.returnPressed.emit()
    assert dialog.list.item(0).text() == "ana"
    dialog.list.itemActivated.emit(dialog.list.item(0))
    dialog.path.setText("/nowhere")
    dialog._show("/nowhere")
    assert "No such file" in dialog.problem.text()
    dialog.list.itemActivated.emit(dialog.list.item(1))
    assert dialog.chosen == "/home/ana/a.npz" and dialog.result() == QtWidgets.QDialog.Accepted


def test_a_folder_there_is_chosen(placed):
    window, _ = placed
    QtCore.QTimer.singleShot(0, lambda: window.findChild(FilesThere).ok.click())
    assert ask_folder(window.panels["tensor"], "Folder", "") == "/home/ana"


def test_the_connect_dialog_makes_addresses_and_remembers_hosts(settings, show):
    dialog, wanted = show(ConnectDialog(settings)), []
    dialog.wanted.connect(lambda *given: wanted.append(given))
    assert not dialog.ok.isEnabled() and dialog.command.isVisible() and not dialog.token.isVisible()
    dialog.host.setEditText("ana@box")
    dialog.run.setText("lenet-a")
    dialog.command.setText("~/venv/bin/qatviz")
    dialog.ok.click()
    assert wanted == [("ssh://ana@box/lenet-a", "~/venv/bin/qatviz", "")]
    again = show(ConnectDialog(settings))
    assert (again.host.currentText(), again.command.text()) == ("ana@box", "~/venv/bin/qatviz")
    again.wanted.connect(lambda *given: wanted.append(given))
    again.connection.setCurrentIndex(1)
    assert again.token.isVisible() and not again.command.isVisible() and not again.ok.isEnabled()
    again.host.setEditText("127.0.0.1:7077")
    again.token.setText("secret")
    again.ok.click()
    assert wanted[1][::2] == ("tcp://127.0.0.1:7077", "secret")
    assert ConnectDialog(settings).hosts() == ["127.0.0.1:7077", "ana@box"]
    assert "secret" not in [str(settings.value(key)) for key in settings.allKeys()]


@pytest.mark.parametrize(
    "connection, host, reason",
    [
        ("SSH", "box;id", "the host is 'box;id'"),
        ("SSH", "box:x", "the port is 'x'"),
        ("SSH", "box/lenet-a", "it contains '/'"),
        ("TCP port", "box", "expected tcp://HOST:PORT"),
    ],
)
def test_the_connect_dialog_refuses_what_is_no_machine(settings, show, connection, host, reason):
    dialog = show(ConnectDialog(settings))
    dialog.token.setText("secret")
    assert not dialog.problem.isVisible()
    dialog.connection.setCurrentText(connection)
    dialog.host.setEditText(host)
    assert reason in dialog.problem.text() and dialog.problem.isVisible() and not dialog.ok.isEnabled()
    dialog.host.setEditText("box:7077")
    assert not dialog.problem.isVisible() and dialog.ok.isEnabled()


@pytest.mark.parametrize("run", ["/data/runs/a b", "~/100 %41", "lenet-ä#1?"])
def test_the_run_of_the_connect_dialog_is_that_of_the_address(settings, show, run):
    dialog, wanted = show(ConnectDialog(settings)), []
    dialog.wanted.connect(lambda *given: wanted.append(given))
    dialog.host.setEditText("ana@box")
    dialog.run.setText(f" {run} ")
    dialog.ok.click()
    assert parse_address(wanted[0][0]).run == run
