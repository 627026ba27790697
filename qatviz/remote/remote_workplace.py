"""Workplace on another machine, whose methods call those of the workplace of the server there."""

import contextlib
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from qatviz.analysis.channels import ChannelsOverview
from qatviz.analysis.chip.targets import Target
from qatviz.analysis.comparison import Comparison
from qatviz.analysis.drift import DriftQuestion, RunDrift
from qatviz.analysis.predictions import Predictions, RunPredictions
from qatviz.analysis.sensitivity import RunSensitivity
from qatviz.export.progress import Progress
from qatviz.network.graph import Network
from qatviz.presentation.example_pictures import ExamplePictures
from qatviz.presentation.export_sizes import ExportSize
from qatviz.presentation.previews import DataInfo
from qatviz.protocol import values
from qatviz.protocol.events import Evaluated
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.protocol.timeline import LoggedEvent
from qatviz.protocol.trials import ForkEvaluation
from qatviz.remote.calls import SIGNATURES, arguments_form
from qatviz.remote.client import QUICK_S, Client
from qatviz.remote.errors import FrameError, LinkError
from qatviz.remote.exports import fetched_export
from qatviz.remote.forms import form_of, value_of
from qatviz.remote.remote_run import RemoteRun, Reopened
from qatviz.report.run_data import KnownResults
from qatviz.session.folder_entries import Folder
from qatviz.session.model_info import DataQuestion, ModelInfo, ModelQuestion
from qatviz.session.prepared import Notice, Notify, Prepared
from qatviz.session.record_requests import ExportRequest
from qatviz.session.request import OpenRequest, RunRequest
from qatviz.session.sweep_request import Begun, SweepNews, SweepRequest
from qatviz.session.workplace import Workplace
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
from qatviz.telemetry.record.labels import RunLabels
from qatviz.telemetry.run_handle import RunHandle
from qatviz.telemetry.run_summary import Catalogue


class RemoteWorkplace(Workplace):
    """Workplace at the other end of a connection.

    All methods raise LinkError if the connection is lost before there is an answer. Most of those that the window's
    thread calls also raise it if there is no answer within :data:`qatviz.remote.client.QUICK_S` seconds.

    Parameters
    ----------
    client : Client
        Connection, which the caller opens; :meth:`close` closes it.
    """

    def __init__(self, client: Client):
        self.client = client

    @property
    def place(self) -> str:  # type: ignore[override]
        return self.client.place

    def close(self) -> None:
        """End the connection; the runs on the other machine continue."""
        self.client.close()

    def prepare(self, request: RunRequest, notify: Notify) -> Prepared:
        found, arrays = self.client.call("prepare", [form_of(request, [])], [])
        prepared = self._prepared(found, arrays)
        for notice in prepared.notices:
            notify(notice)
        return prepared

    def open_run(self, run: str) -> Optional[Prepared]:
        """Return a run of the other machine.

        Parameters
        ----------
        run : str
            Its directory, or its name in the folder of runs there; empty for the newest run that trains.

        Returns
        -------
        Prepared or None
            None if ``run`` is empty and no run trains.
        """
        found, arrays = self.client.call("open", [run], [])
        return None if found is None else self._prepared(found, arrays)

    def _prepared(self, found: Any, arrays: Sequence[np.ndarray]) -> Prepared:
        """Return the run in an answer, whose reports are subscribed to; FrameError if the answer is invalid."""
        try:
            return self._decoded(values.mapping(found, "run"), arrays)
        except (ValueError, TypeError, KeyError) as error:
            raise FrameError(f"an invalid answer of {self.place}: {error}") from error

    def _decoded(self, row: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Prepared:
        network: Network = value_of(Network, row["network"], arrays)
        book: SettingsBook = value_of(SettingsBook, row["book"], arrays)
        log = _log_of(row, arrays)
        snapshots = tuple(value_of(Snapshot, item, arrays) for item in values.sequence(row["snapshots"], "snapshots"))
        notices = tuple(value_of(Notice, item, arrays) for item in values.sequence(row["notices"], "notices"))
        tracks = {
            name: [values.text(series, "series") for series in values.sequence(listed, "series")]
            for name, listed in values.mapping(row["tracks"], "tracks").items()
        }
        directory = values.text(row["directory"], "directory")
        run = RemoteRun(
            self.client,
            values.text(row["run"], "run"),
            values.text(row["state"], "state"),
            values.step(row["step"]),
            values.mapping(row["description"], "description"),
            dict(tracks),
            len(book.plan.tensors),
            values.whole(row["received"], "received"),
            sum(logged.event.branch >= 0 for logged in log),
            (lambda: self._reopened(directory)) if directory else None,
        )
        self.client.attach(run)
        title = values.text(row["title"], "title")
        batches = values.number(row["batches_per_epoch"], "batches_per_epoch", 0.0)
        return Prepared(run, network, book, title, batches, directory, log, snapshots, None, notices)

    def _reopened(self, directory: str) -> Reopened:
        """Return the run in a directory, opened from its record by a server that no longer has it."""
        found, arrays = self.client.call("prepare", [form_of(OpenRequest(directory), [])], [])
        try:
            row = values.mapping(found, "run")
            return Reopened(
                values.text(row["run"], "run"),
                values.text(row["state"], "state"),
                values.whole(row["received"], "received"),
                _log_of(row, arrays),
            )
        except (ValueError, TypeError, KeyError) as error:
            raise FrameError(f"an invalid answer of {self.place}: {error}") from error

    def _call(self, name: str, *given: Any, progress: Progress = Progress(), timeout_s: Optional[float] = None) -> Any:
        """Call a method on the other machine with the arguments ``given``, and return its result."""
        rows, arrays = arguments_form(name, given)
        found, own = self.client.call(name, rows, arrays, progress, timeout_s)
        return value_of(SIGNATURES[name].result, found, own)

    def kind_of(self, path: str) -> str:
        kind: str = self._call("kind_of", path, timeout_s=QUICK_S)
        return kind

    def folder(self, path: str) -> Folder:
        folder: Folder = self._call("folder", path, timeout_s=QUICK_S)
        return folder

    def new_run_directory(self, network: str, folder: str) -> str:
        directory: str = self._call("new_run_directory", network, folder, timeout_s=QUICK_S)
        return directory

    def checkpoints(self, directory: str) -> Tuple[CheckpointInfo, ...]:
        found: Tuple[CheckpointInfo, ...] = self._call("checkpoints", directory, timeout_s=QUICK_S)
        return found

    def data_names(self) -> Tuple[Tuple[str, str], ...]:
        found: Tuple[Tuple[str, str], ...] = self._call("data_names", timeout_s=QUICK_S)
        return found

    def check_data(self, question: DataQuestion) -> DataInfo:
        info: DataInfo = self._call("check_data", question)
        return info

    def check_model(self, question: ModelQuestion) -> ModelInfo:
        info: ModelInfo = self._call("check_model", question)
        return info

    def cancel_checks(self) -> None:
        with contextlib.suppress(LinkError):  # the end of the connection cancels all calls
            self._call("cancel_checks", timeout_s=QUICK_S)

    def read_runs(self, folder: str, progress: Progress) -> Catalogue:
        found: Catalogue = self._call("read_runs", folder, progress=progress)
        return found

    def delete_run(self, directory: str) -> None:
        self._call("delete_run", directory)

    def compare(self, directories: Tuple[str, ...]) -> Comparison:
        found: Comparison = self._call("compare", directories)
        return found

    def evaluate(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> Evaluated:
        found: Evaluated = self._call("evaluate", run, directory, book, progress=progress)
        return found

    def sensitivity(self, run: RunHandle, directory: str, measured: bool, progress: Progress) -> RunSensitivity:
        found: RunSensitivity = self._call("sensitivity", run, directory, measured, progress=progress)
        return found

    def drift(self, run: RunHandle, directory: str, question: DriftQuestion, progress: Progress) -> RunDrift:
        found: RunDrift = self._call("drift", run, directory, question, progress=progress)
        return found

    def channels(self, run: RunHandle, directory: str, progress: Progress) -> ChannelsOverview:
        found: ChannelsOverview = self._call("channels", run, directory, progress=progress)
        return found

    def predict(self, run: RunHandle, directory: str, book: SettingsBook, progress: Progress) -> Predictions:
        found: Predictions = self._call("predict", run, directory, book, progress=progress)
        return found

    def predict_past(self, directory: str, checkpoint: str, progress: Progress) -> RunPredictions:
        found: RunPredictions = self._call("predict_past", directory, checkpoint, progress=progress)
        return found

    def forks(self, directory: str, progress: Progress) -> Tuple[ForkEvaluation, ...]:
        found: Tuple[ForkEvaluation, ...] = self._call("forks", directory, progress=progress)
        return found

    def pictures(self, run: RunHandle, directory: str, number: int) -> ExamplePictures:
        found: ExamplePictures = self._call("pictures", run, directory, number)
        return found

    def settings_at(self, directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
        found: Tuple[SettingsBook, int] = self._call("settings_at", directory, checkpoint)
        return found

    def export_size(
        self,
        directory: str,
        checkpoint: str,
        book: SettingsBook,
        step: Optional[int],
        form: str,
        options: Mapping[str, Any],
    ) -> ExportSize:
        found: ExportSize = self._call("export_size", directory, checkpoint, book, step, form, options)
        return found

    def write_labels(self, directory: str, labels: RunLabels) -> RunLabels:
        written: RunLabels = self._call("write_labels", directory, labels, timeout_s=QUICK_S)
        return written

    def report(self, directory: str, known: KnownResults, goal: Optional[Target]) -> bytes:
        page: bytes = self._call("report", directory, known, goal)
        return page

    def export(self, request: ExportRequest, progress: Progress) -> Dict[str, Any]:
        """Export on the other machine, then write the files to the path ``request.out`` on this one."""
        return fetched_export(self.client, request, progress)

    def keep_checkpoint(self, directory: str, checkpoint: str) -> str:
        name: str = self._call("keep_checkpoint", directory, checkpoint)
        return name

    def begin_sweep(self, request: SweepRequest) -> Begun:
        begun: Begun = self._call("begin_sweep", request)
        return begun

    def sweep_news(self, directory: str, seen: int) -> SweepNews:
        news: SweepNews = self._call("sweep_news", directory, seen)
        return news

    def stop_sweep(self, directory: str) -> None:
        self._call("stop_sweep", directory, timeout_s=QUICK_S)


def _log_of(row: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> Tuple[LoggedEvent, ...]:
    """Return the events in the form of a prepared run."""
    return tuple(value_of(LoggedEvent, item, arrays) for item in values.sequence(row["log"], "log"))
