"""Staged exports: formats, a launcher and a program, none of which writes files."""

import sys

import pytest
from PyQt5 import QtCore, QtWidgets
from window_stage import StagedLauncher

from qatviz.errors import OptionChange, QatvizError, RecordError, Refusal, SettingChange
from qatviz.export.formats import Format, Option
from qatviz.gui.dialogs.export.dialog import ExportDialog
from qatviz.gui.model.exporting import ExportCommand, Exporter
from qatviz.presentation.export_sizes import ExportSize, Packing, WeightStorage
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.settings import WEIGHTS
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo

DIRECTORY = "/runs/digits"
AGREEMENT = {"identical": 0.9946, "largest": 1}
#: As ParityReport.to_record() makes it, and what the command line adds.
RECORD = {
    "about": {
        "run": "x",
        "checkpoint": "step-3",
        "step": 3,
        "format": "TFLite int8",
        "runtime": "the interpreter",
        "network": "lenet",
    },
    "examples": 1000,
    "layer_examples": 250,
    "outputs": {
        "file to evaluation graph": dict(AGREEMENT, top1=1.0),
        "file to simulator": dict(AGREEMENT, top1=0.999),
    },
    "layers": [
        {
            "layer": "conv1",
            "operation": "Conv2D",
            "whole": dict(AGREEMENT),
            "own": {"identical": 1.0, "largest": 0},
            "unexplained": 0,
        },
        {
            "layer": "logits",
            "operation": "Dense",
            "whole": {"identical": 0.5, "largest": 12},
            "own": {"identical": 0.999, "largest": 1},
            "unexplained": 0,
        },
    ],
    "accuracy": {"float": 0.98, "file": 0.975},
    "bytes": {"file": 45123, "float32 parameters": 177640},
    "notes": ["a note"],
    "faults": [],
    "reached": {"identical": 0.85, "largest": 2, "top1": 0.98},
    "as_expected": True,
    "text": "all of it as text",
}

#: Tells of progress, then does what it is asked for.
PROGRAM = """
import json, os, signal, sys
def at(what, share):
    print(json.dumps({"progress": share, "what": what}), flush=True)
at("computing the integer model", 0.25)
"""
WAITS = (
    PROGRAM
    + """
while os.read(0, 1): pass
print(json.dumps({"error": {"kind": "Cancelled", "message": "cancelled", "field": "", "details": ""}}), flush=True)
sys.exit(2)"""
)
_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
DEAF_WAITS, STUBBORN = _DEAF + WAITS, _DEAF + PROGRAM + "signal.pause()"


def succeeds(record):
    """Return a program that prints a line of another library, then this record."""
    return PROGRAM + f"print('a library speaks')\nat('writing', 0.98)\nprint(json.dumps({{'result': {record!r}}}))"


def few_bits(network, book, step, options):
    """Return the refusals of a format of up to 8 bits, or of up to 4 with the option ``tiny``."""
    most = 4 if options["tiny"] else 8
    return [
        Refusal(
            f"{tensor.name}: {book.of(tensor.name).num_bits} bits; it holds up to {most}",
            (SettingChange(f"{tensor.name}.num_bits", most), *([OptionChange("tiny", False)] if most < 8 else ())),
        )
        for tensor in book.plan.tensors
        if book.of(tensor.name).num_bits > most
    ]


FORMATS = (
    Format("wide", "Wide", "Holds everything", ".wide", "wide"),
    Format(
        "narrow",
        "Narrow",
        "Holds codes of up to 8 bits.",
        "",
        "narrow",
        (
            Option("tiny", "Tiny", "Up to 4 bits"),
            Option("order", "Order", "Of the axes", "nhwc", ("nhwc", "nchw")),
            Option("run_code", "Run code", "Run what is in it", is_consent=True),
        ),
        few_bits,
    ),
)


CHANGE = ChangeSettings((("conv1.weights.num_bits", 4),))


class ExportLauncher(StagedLauncher):
    """Launcher that runs a given program and lists given checkpoints and settings."""

    def __init__(self):
        super().__init__()
        self.program, self.wanted, self.refusal = succeeds(RECORD), [], ""
        self.infos = [
            CheckpointInfo("before-00000002-1", 2, SaveReason(SaveKind.BEFORE_CHANGE, CHANGE), 1.0, 10),
            CheckpointInfo("step-00000003", 3, SaveReason(SaveKind.REQUESTED), 2.0, 10),
        ]
        self.books = {}
        self.size_questions = []

    def export_formats(self):
        return FORMATS

    def export_command(self, wanted):
        self.wanted.append(wanted)
        if self.refusal:
            raise QatvizError(self.refusal)
        return ExportCommand(sys.executable, ["-S", "-c", self.program], {"QATVIZ_TEST": "1"})

    def checkpoints(self, directory):
        if "gone" in directory:
            raise RecordError(f"{directory}: is gone")
        return self.infos

    def export_size(self, directory, checkpoint, book, step, form, options):
        self.size_questions.append((checkpoint, form, options))
        if form == "wide":
            raise QatvizError("it has no size")
        few = [t.layer for t in book.plan.tensors if t.kind == WEIGHTS and book.of(t.name).num_bits <= 4]
        packings = (Packing("Tiny", {"tiny": True}, 30000),) if few else ()
        chosen = "Tiny" if options["tiny"] and few else ""
        nbytes = 30000 if chosen else 60000
        return ExportSize(nbytes, WeightStorage.CODES, 60000, packings, chosen, tuple(few), elsewhere=("A", "B"))

    def settings_at(self, directory, checkpoint):
        if checkpoint not in self.books:
            raise RecordError(f"{checkpoint}: damaged")
        return self.books[checkpoint], 3


@pytest.fixture
def make(context, app):
    """The dialog, shown for a run recorded to a directory; closed at the end with its exports."""
    made = []

    def begin(directory=DIRECTORY, launcher=None):
        launcher = launcher or ExportLauncher()
        exporter = Exporter(context.model, launcher.export_command)
        dialog = ExportDialog(context, launcher, exporter)
        dialog.launcher = launcher
        dialog.open_for(directory)
        app.processEvents()
        made.append(dialog)
        return dialog

    yield begin
    for dialog in made:
        dialog.exporter.close()
        dialog.close()
        dialog.deleteLater()
    app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
    app.processEvents()


@pytest.fixture
def run(staged):
    return staged("lenet")


@pytest.fixture
def advance(context, run):
    def advance_run(steps=1):
        run.advance(steps)
        context.model.process(run.drain())

    return advance_run


def verdicts(dialog):
    formats = dialog.form.formats
    return [formats.item(row).text().splitlines() for row in range(formats.count())]


def visible_texts(dialog):
    return "\n".join(label.text() for label in dialog.findChildren(QtWidgets.QLabel) if label.isVisible())
