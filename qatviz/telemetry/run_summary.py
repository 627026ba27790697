"""Summary of a recorded run: the row of a list of runs, in a form that can be stored and is checked when it is read."""

import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.metric import METRICS, Metric
from qatviz.network.plan import WEIGHTS
from qatviz.number_format import finite
from qatviz.protocol import values
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.outcome import Outcome, read_outcome
from qatviz.telemetry.record.labels import RunLabels
from qatviz.telemetry.record.own_files import CHECKPOINTS, INITIAL
from qatviz.telemetry.record.reader import RecordReader

#: Maximum number of evaluations in the picture of a summary.
MOST_POINTS = 32
#: Endings of runs; the empty one is that of a run that trains, or was interrupted.
ENDINGS = ("", "finished", "stopped", "failed")
_FLOAT_BITS = 32

#: Step, float and quantized metric of an evaluation.
Point = Tuple[int, Optional[float], Optional[float]]


class RunSummary(NamedTuple):
    """Summary of a recorded run.

    Attributes
    ----------
    directory : str
        Absolute path.
    labels : RunLabels
    error : str
        Reason why the record can't be read; empty if it can. All that follows has its default value then.
    run_id, network, data : str
        Identity of the run; names of network and data set.
    created : float
        Unix time, s.
    step : int
        Training steps done on the surviving timeline.
    total : int or None
        Planned training steps; None for no limit.
    seconds : float
        Duration of training, s.
    ending : str
        One of :data:`ENDINGS`.
    loss : float or None
        Loss of the newest training step.
    metric : str
        Name of the metric of its evaluations.
    points : tuple of Point
        Some of its evaluations, the first and the newest included.
    weight_bytes : int
        Size of all weights at their bits, without biases and parameters of quantization.
    record_bytes : int
        Size of the record on disk, with its checkpoints.
    parent : str
        Directory of the run that it was forked from; empty if it was not.
    fork_step : int
        Step at which it was forked.
    division : BatchDivision
        Newest division of its batches over workers or replicas.
    """

    directory: str
    labels: RunLabels = RunLabels()
    error: str = ""
    run_id: str = ""
    network: str = ""
    data: str = ""
    created: float = 0.0
    step: int = 0
    total: Optional[int] = None
    seconds: float = 0.0
    ending: str = ""
    loss: Optional[float] = None
    metric: str = "accuracy"
    points: Tuple[Point, ...] = ()
    weight_bytes: int = 0
    record_bytes: int = 0
    parent: str = ""
    fork_step: int = 0
    division: BatchDivision = BatchDivision()

    @property
    def name(self) -> str:
        """Name that the user gave the run, else that of its directory."""
        return self.labels.name or os.path.basename(self.directory)

    @property
    def scores(self) -> Metric:
        """Metric of its evaluations."""
        return METRICS[self.metric]

    @property
    def float_score(self) -> Optional[float]:
        """Float metric of the newest evaluation."""
        return self.points[-1][1] if self.points else None

    @property
    def quantized_score(self) -> Optional[float]:
        """Quantized metric of the newest evaluation."""
        return self.points[-1][2] if self.points else None

    def stored(self) -> Dict[str, Any]:
        """Return the JSON-able form of all that comes from the record."""
        row = self._asdict()
        for key in ("directory", "labels", "error"):
            del row[key]
        row["division"] = self.division.to_dict()
        return row

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON-able form for users of the command line."""
        row = self.stored()
        del row["points"]
        return {
            "directory": self.directory,
            "name": self.name,
            "notes": self.labels.notes,
            "tags": list(self.labels.tags),
            "error": self.error,
            **row,
            "float": self.float_score,
            "quantized": self.quantized_score,
        }


class Catalogue(NamedTuple):
    """Runs of a folder.

    Attributes
    ----------
    folder : str
        Absolute path.
    runs : tuple of RunSummary
        The newest first. Damaged records are among them, with their errors.
    omitted : int
        Number of older runs that are not listed.
    """

    folder: str
    runs: Tuple[RunSummary, ...]
    omitted: int = 0


def summarize(reader: RecordReader) -> RunSummary:
    """Return the summary of a recorded run, without its labels.

    Raises
    ------
    RecordError
        If the record is damaged or incomplete.
    """
    return summary_of(reader, read_outcome(reader))


def summary_of(reader: RecordReader, outcome: Outcome) -> RunSummary:
    """Return :func:`summarize` for a record whose outcome is known."""
    about = reader.description
    origin = about.get("forked_from", {})
    points = [(int(row["step"]), finite(row.get("float")), finite(row.get("quantized"))) for row in outcome.evaluations]
    return RunSummary(
        str(reader.directory),
        run_id=about.get("run_id", ""),
        network=str(about["network"].get("name", "")),
        data=about.get("data_name", ""),
        created=about.get("created", 0.0),
        step=outcome.step,
        total=reader.plan().steps,
        seconds=outcome.seconds,
        ending=outcome.ending,
        loss=finite(outcome.loss),
        metric=outcome.metric.name,
        points=tuple(_some(points)),
        weight_bytes=weight_bytes(outcome.book),
        record_bytes=_size_on_disk(reader.directory),
        parent=origin.get("directory", ""),
        fork_step=origin.get("step", 0),
        division=outcome.division,
    )


def stored_summary(directory: str, row: Any) -> RunSummary:
    """Return the summary of the run in ``directory`` from its stored form.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the form is not that of :meth:`RunSummary.stored`.
    """
    row = values.mapping(row, "summary")
    if row["ending"] not in ENDINGS:
        raise values.refusal("ending", row["ending"], f"one of {ENDINGS}")
    return RunSummary(
        directory,
        run_id=values.name(row["run_id"], "run_id"),
        network=values.name(row["network"], "network"),
        data=values.name(row["data"], "data"),
        created=values.date(row["created"], "created"),
        step=values.step(row["step"]),
        total=values.optional_whole(row["total"], "total"),
        seconds=values.seconds(row["seconds"]),
        ending=row["ending"],
        loss=_optional_number(row["loss"], "loss"),
        metric=METRICS[values.name(row["metric"], "metric")].name,
        points=tuple(_point(point) for point in values.sequence(row["points"], "points")),
        weight_bytes=values.whole(row["weight_bytes"], "weight_bytes"),
        record_bytes=values.whole(row["record_bytes"], "record_bytes"),
        parent=values.name(row["parent"], "parent"),
        fork_step=values.step(row["fork_step"], "fork_step"),
        division=BatchDivision.from_dict(row["division"]),
    )


def weight_bytes(book: SettingsBook) -> int:
    """Return the size of all weights at their bits, bytes; weights that are not quantized have 32 bits."""
    bits = 0
    for tensor in book.plan.tensors:
        if tensor.kind == WEIGHTS:
            settings = book.of(tensor.name)
            bits += tensor.parameters * (settings.code_bits if settings.enabled else _FLOAT_BITS)
    return -(-bits // 8)


def _some(points: Sequence[Point]) -> List[Point]:
    """Return at most ``MOST_POINTS``, evenly spread, the first and the last included."""
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[index] for index in np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]


def _size_on_disk(directory: Path) -> int:
    """Return the size of the files of a record, bytes; those that vanish meanwhile are omitted."""
    total = 0
    for folder in (directory, directory / CHECKPOINTS, directory / INITIAL):
        try:
            with os.scandir(str(folder)) as entries:
                total += sum(entry.stat().st_size for entry in entries if entry.is_file(follow_symlinks=False))
        except OSError:
            continue
    return total


def _optional_number(value: Any, what: str) -> Optional[float]:
    return None if value is None else values.number(value, what)


def _point(row: Any) -> Point:
    step, score, quantized = values.sequence(row, "point")
    return values.step(step), _optional_number(score, "float"), _optional_number(quantized, "quantized")
