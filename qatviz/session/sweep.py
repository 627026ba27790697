"""Sweeps: training of all combinations of options, settings and seeds, in several processes, resumable.

Each run is one child process, ``qatviz train``, and has a directory of its own in that of the sweep. Finished runs are
skipped when the sweep is started again, interrupted ones are resumed.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from qatviz import tensorflow_presence
from qatviz.atomic_files import write_file
from qatviz.errors import QatvizError, RecordError, SettingError, require_tensorflow
from qatviz.protocol import values
from qatviz.session.processes import child_environment
from qatviz.session.sweep_request import (
    FAILED,
    FINISHED,
    INTERRUPTED,
    MOST_PROCESSES,
    NEW,
    PRESET,
    RESUMED,
    SKIPPED,
    STARTED,
    STOPPED,
    TRAINING,
    Report,
    SweepRun,
)
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.labels import LONGEST_TAG, read_labels, write_labels
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import DATABASE_NAME

#: File with the plan of a sweep, in its directory.
PLAN_NAME = "sweep.json"
#: Maximum number of runs of a sweep.
MOST_RUNS = 1000
#: Option of ``qatviz train`` that a plan in a file, which others may have written, cannot give.
CODE = "--allow-code"
#: Interval (s) at which children are polled, and at which the steps of their runs are read.
_POLL_S, _READ_S = 0.2, 1.0
#: Seconds that children have to save their state when the sweep is stopped.
_END_S = 60.0
#: Bytes at the end of a log in which the reason of a failure is looked for.
_REASON_BYTES = 4096
_MAX_PLAN_BYTES = 1 << 20
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


class Variation(NamedTuple):
    """Setting that a sweep varies: its path, or ``preset``, and its values as text."""

    path: str
    values: Tuple[str, ...]


class Side(NamedTuple):
    """One of several sets of options of ``qatviz train`` that are compared, and its name."""

    name: str
    arguments: Tuple[str, ...]


class SweepPlan(NamedTuple):
    """What a sweep trains.

    Attributes
    ----------
    arguments : tuple of str
        Options of ``qatviz train`` that all runs have.
    variations : tuple of Variation
    seeds : tuple of int
        Empty for the seed of the options, or of the run that is forked.
    sides : tuple of Side
        Sets of options, with each of which all combinations are trained; empty for none.
    """

    arguments: Tuple[str, ...]
    variations: Tuple[Variation, ...] = ()
    seeds: Tuple[int, ...] = ()
    sides: Tuple[Side, ...] = ()


Notify = Callable[[Report], None]


def parse_variation(text: str) -> Variation:
    """Return the variation written as ``PATH=VALUE,VALUE,…``.

    Raises
    ------
    SettingError
        If it has another form.
    """
    path, equals, rest = text.partition("=")
    found = tuple(value.strip() for value in rest.split(","))
    if not equals or not path.strip() or not all(found) or len(set(found)) < len(found):
        raise SettingError.of_field("vary", f"is {text!r}: expected PATH=VALUE,VALUE,... with distinct values")
    return Variation(path.strip(), found)


def runs_of(plan: SweepPlan) -> List[SweepRun]:
    """Return the runs of a sweep: all combinations of values, each with all seeds, each of these with all sides.

    Those that are compared with each other train at the same time, if there are several processes.

    Raises
    ------
    SettingError
        If there are too many, or a path is varied twice.
    """
    paths = [variation.path for variation in plan.variations]
    if len(set(paths)) < len(paths):
        raise SettingError.of_field("vary", f"has the paths {', '.join(paths)}: expected each once")
    count = max(len(plan.seeds), 1) * max(len(plan.sides), 1)
    for variation in plan.variations:
        count *= len(variation.values)
    if count > MOST_RUNS:
        raise SettingError(f"a sweep of {count:,} runs: expected at most {MOST_RUNS:,}")
    found = []
    for chosen in itertools.product(*(variation.values for variation in plan.variations)):
        pairs = list(zip(paths, chosen))
        options: List[str] = []
        for path, value in pairs:
            options += ["--preset", value] if path == PRESET else ["--set", f"{path}={value}"]
        words = [_UNFIT.sub("", f"{path.lstrip('*.')}-{value}") for path, value in pairs]
        for seed, side in itertools.product(plan.seeds or (None,), plan.sides or (None,)):
            named, own = list(words), list(options)
            if side is not None:
                named.insert(0, side.name)
                own = [*side.arguments, *own]
            if seed is not None:
                named.append(f"s{seed}")
                own += ["--seed", str(seed)]
            found.append(SweepRun("_".join(named) or "run", tuple(own)))
    names = [run.name for run in found]
    if len(set(names)) < len(names):
        found = [run._replace(name=f"{number:03d}_{run.name}") for number, run in enumerate(found)]
    return found


def open_plan(directory: str, plan: Optional[SweepPlan]) -> SweepPlan:
    """Return the plan of the sweep in ``directory``; store ``plan`` there if it is a new one.

    Raises
    ------
    SettingError
        If the directory has another plan; if ``plan`` is None, also if it has none, or one that allows code.
    RecordError
        If the stored plan is damaged, or can't be written.
    """
    require_tensorflow(tensorflow_presence.TRAINING)
    path = Path(directory) / PLAN_NAME
    if path.exists():
        known = _read_plan(path)
        if plan is not None and plan != known:
            raise SettingError(
                f"{directory}: has a sweep of other settings; expected the same options, none but --out, or another "
                "directory"
            )
        if plan is None and any(CODE in (*known.arguments, *run.arguments) for run in runs_of(known)):
            raise SettingError(
                f"{path}: its runs may execute code in files ({CODE}): to continue the sweep, repeat all its options"
            )
        return known
    if plan is None:
        raise SettingError(f"{directory}: has no sweep to continue; expected what to vary: --vary PATH=VALUE,VALUE")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, (json.dumps(_plan_row(plan), indent=1) + "\n").encode("utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror or error}") from error
    return plan


def _plan_row(plan: SweepPlan) -> Dict[str, Any]:
    row: Dict[str, Any] = {
        "arguments": list(plan.arguments),
        "variations": [[variation.path, list(variation.values)] for variation in plan.variations],
        "seeds": list(plan.seeds),
    }
    if plan.sides:
        row["sides"] = [[side.name, list(side.arguments)] for side in plan.sides]
    return row


def _read_plan(path: Path) -> SweepPlan:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_PLAN_BYTES:
            raise ValueError(f"expected a file of at most {_MAX_PLAN_BYTES:,} bytes")
        row = values.mapping(json.loads(path.read_text(encoding="utf-8")), "plan")
        sides = _named_texts(row.get("sides", []), "sides")
        if any(_UNFIT.search(name) or not name.strip(".") for name, _ in sides):
            raise ValueError("the name of a side is no name of a directory")
        return SweepPlan(
            _texts(row["arguments"], "arguments"),
            tuple(Variation(path, texts) for path, texts in _named_texts(row["variations"], "variations")),
            tuple(values.whole(seed, "seed") for seed in values.sequence(row["seeds"], "seeds")),
            tuple(Side(name, texts) for name, texts in sides),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordError(f"{path}: damaged, or not the plan of a sweep: {error}") from error


def _texts(row: Any, what: str) -> Tuple[str, ...]:
    return tuple(values.name(text, what) for text in values.sequence(row, what))


def _named_texts(rows: Any, what: str) -> List[Tuple[str, Tuple[str, ...]]]:
    found = []
    for row in values.sequence(rows, what):
        name, texts = values.sequence(row, what)
        found.append((values.name(name, what), _texts(texts, what)))
    return found


def state_of(directory: Path) -> str:
    """Return the state of a run of a sweep: ``finished``, ``interrupted`` (it can be resumed) or ``new``.

    Raises
    ------
    RecordError
        If its record is damaged.
    """
    if not (directory / DATABASE_NAME).exists():
        return NEW
    return FINISHED if read_outcome(RunRecord.read(directory)).ending == FINISHED else INTERRUPTED


def run_sweep(
    directory: str, plan: SweepPlan, processes: int, notify: Notify, is_wanted: Callable[[], bool] = lambda: True
) -> int:
    """Train the runs of a sweep that are not finished; return the number of those that failed.

    An interruption (KeyboardInterrupt) stops the children, which save their states, and is raised again.

    Parameters
    ----------
    directory : str
    plan : SweepPlan
    processes : int
        Number of runs that train at a time.
    notify : callable
        Called with a :class:`Report` for each news.
    is_wanted : callable
        Once it returns False, the children are stopped, and the sweep ends; it can be continued.

    Raises
    ------
    SettingError
        If ``processes`` is not allowed.
    RecordError
        If the log of a run can't be written; the children are stopped.
    """
    if not 1 <= processes <= MOST_PROCESSES:
        raise SettingError.of_field("processes", f"is {processes}: expected 1 to {MOST_PROCESSES}")
    sweep = _Sweep(Path(directory), plan, processes, notify)
    try:
        while sweep.is_going and is_wanted():
            sweep.fill()
            if not sweep.collect():
                time.sleep(_POLL_S)
    finally:
        sweep.end()
    return sweep.failed


class _Sweep:
    """Runs of a sweep that wait, and those that train in child processes."""

    def __init__(self, directory: Path, plan: SweepPlan, processes: int, notify: Notify):
        self._directory, self._plan, self._processes, self._notify = directory, plan, processes, notify
        self._waiting = runs_of(plan)
        self._total = len(self._waiting)
        self._active: Dict[SweepRun, subprocess.Popen[bytes]] = {}
        self._steps: Dict[SweepRun, int] = {}  # recorded steps of runs that train
        self._read_at = 0.0
        self._done = self.failed = 0

    @property
    def is_going(self) -> bool:
        """Whether runs wait or train."""
        return bool(self._waiting or self._active)

    def fill(self) -> None:
        """Start runs until all processes are in use."""
        while self._waiting and len(self._active) < self._processes:
            run = self._waiting.pop(0)
            try:
                state = state_of(self._directory / run.name)
            except QatvizError as error:
                self._end_of(run, FAILED, str(error))
                continue
            if state == FINISHED:
                self._end_of(run, SKIPPED)
                continue
            self._active[run] = _start(self._directory, self._plan, run, state, self._processes)
            self._report(run, STARTED if state == NEW else RESUMED)

    def collect(self) -> bool:
        """Report news of the children; return whether some have ended."""
        ended = [run for run, child in self._active.items() if child.poll() is not None]
        for run in ended:
            code = self._active.pop(run).returncode
            self._end_of(run, FAILED if code else FINISHED, self._reason(run, code) if code else "")
            self._label(run)
        if time.monotonic() >= self._read_at + _READ_S:
            self._read_steps()
            self._read_at = time.monotonic()
        return bool(ended)

    def end(self) -> None:
        """Stop the children that have not ended, which save their states; after a while, kill them."""
        for child in self._active.values():
            child.terminate()
        deadline = time.monotonic() + _END_S
        for child in self._active.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for run in self._active:  # only now: who is notified may raise
            self._label(run)
            self._report(run, STOPPED)

    def _report(self, run: SweepRun, event: str, message: str = "") -> None:
        self._notify(Report(run, event, self._done, self._total, message, self._steps.get(run, 0)))

    def _end_of(self, run: SweepRun, event: str, message: str = "") -> None:
        self._done += 1
        self.failed += event == FAILED
        self._report(run, event, message)

    def _read_steps(self) -> None:
        for run in self._active:
            try:
                step = RunRecord.read(self._directory / run.name).last_step
            except RecordError:  # it is not written yet
                continue
            if run not in self._steps:
                self._label(run)
            if step != self._steps.get(run):
                self._steps[run] = step
                self._report(run, TRAINING)

    def _reason(self, run: SweepRun, code: int) -> str:
        """Return the last line of a run's log, and the exit code."""
        with open(str(self._directory / (run.name + ".log")), "rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - _REASON_BYTES, 0))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        return f"{lines[-1]} (exit code {code})" if lines else f"exit code {code}"

    def _label(self, run: SweepRun) -> None:
        """Add the name of the sweep to the tags of a run; a run without a record has none."""
        tag, directory = _UNFIT.sub("", self._directory.name)[:LONGEST_TAG], self._directory / run.name
        try:
            labels = read_labels(directory)
            if tag not in labels.tags:
                write_labels(directory, labels._replace(tags=(*labels.tags, tag)))
        except QatvizError:
            return


def _start(directory: Path, plan: SweepPlan, run: SweepRun, state: str, processes: int) -> "subprocess.Popen[bytes]":
    out = str(directory / run.name)
    arguments = [*plan.arguments, *run.arguments, "--out", out] if state == NEW else ["--resume", out]
    if "--threads" not in arguments:
        arguments += ["--threads", str(max((os.cpu_count() or 1) // processes, 1))]
    try:
        with open(out + ".log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "qatviz", "train", "--quiet", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=child_environment(),
            )
    except OSError as error:
        raise RecordError(f"{out}.log: cannot be written: {error.strerror or error}") from error
