"""A window with a launcher that records its requests, and a function that draws it."""

from PyQt5 import QtWidgets

from qatviz.errors import QatvizError
from qatviz.export.formats import FORMATS
from qatviz.gui.model.launcher import Launcher
from qatviz.gui.widgets.theme import DARK, Theme
from qatviz.gui.window.main_window import MainWindow
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.session.prepared import Prepared
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo


class StagedLauncher(Launcher):
    """Launcher that records its requests."""

    def __init__(self):
        super().__init__()
        self.begun, self.kinds, self.names = [], {}, ["start", "step-00000003"]
        self.evaluations, self.cancelled = [], []
        self.read, self.deleted, self.sensitivities = [], [], []
        self.drifts, self.channels = [], []
        self.predicted, self.examples, self.forks_wanted = [], [], []
        self.compared, self.written_comparisons = [], []
        self.sweeps, self.stopped_sweeps = [], []
        self.obstacles = {}

    def obstacle(self, work):
        return self.obstacles.get(work, "")

    def begin(self, request, new_window=False):
        self.begun.append((request, new_window))

    def cancel(self, kind):
        self.cancelled.append(kind)

    def evaluate(self, run, directory, book):
        self.evaluations.append((run, directory, book))

    def find_sensitivity(self, run, directory, measured):
        self.sensitivities.append((run, directory, measured))

    def find_drift(self, run, directory, question):
        self.drifts.append((run, directory, question))

    def find_channels(self, run, directory):
        self.channels.append((run, directory))

    def predict(self, run, directory, book):
        self.predicted.append((run, directory, book))

    def read_forks(self, run, directory):
        self.forks_wanted.append((run, directory))

    def predict_past(self, run, directory, checkpoint):
        self.predicted.append((run, directory, checkpoint))

    def read_examples(self, run, directory, number):
        self.examples.append((run, directory, number))

    def kind_of(self, path):
        if path not in self.kinds:
            raise QatvizError(f"{path}: neither a run nor a data set")
        return self.kinds[path]

    def checkpoints(self, directory):
        return [CheckpointInfo(name, 3, SaveReason(SaveKind.REQUESTED), 0.0, 0) for name in self.names]

    def check_data(self, question):
        raise QatvizError("no data here")

    def data_names(self):
        return [("digits", "Pictures of digits.")]

    def read_runs(self, folder):
        self.read.append(folder)

    def read_comparison(self, directories):
        self.compared.append(tuple(directories))

    def write_comparison(self, directories, path):
        self.written_comparisons.append((tuple(directories), path))

    def begin_sweep(self, request):
        self.sweeps.append(request)

    def stop_sweep(self, directory):
        self.stopped_sweeps.append(directory)

    def delete_run(self, directory):
        self.deleted.append(directory)

    def export_formats(self):
        return tuple(FORMATS.values())

    def settings_at(self, directory, checkpoint):
        raise QatvizError("no checkpoint here")

    def export_size(self, *question):
        raise QatvizError("no sizes here")

    def cancel_checks(self):
        pass

    def chip_graph(self, network, book):
        raise QatvizError("no chip here")


def prepared_of(run, directory="/runs/a"):
    return Prepared(run, run.network, run.book, f"{run.network.name} on digits", 62.5, directory)


def make_window(settings, launcher=None, points=0):
    """A window in the dark theme with text of a size, not shown yet."""
    theme = Theme(DARK)
    theme.font_points = points
    theme.apply()
    return MainWindow(theme, settings, launcher or StagedLauncher())


def draw(window, app):
    for panel in window.panels.all():
        if panel.isVisible():
            panel.refresh()
    app.processEvents()


def file_dialog(app):
    """The file dialog that is open."""
    (dialog,) = [w for w in app.topLevelWidgets() if isinstance(w, QtWidgets.QFileDialog) and w.isVisible()]
    return dialog
