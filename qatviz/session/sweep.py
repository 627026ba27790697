"""Sweeps: training of all combinations of settings and seeds, in several processes, resumable.

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
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from qatviz.atomic_files import write_file
from qatviz.errors import QatvizError, RecordError, SettingError
from qatviz.protocol import values
from qatviz.session.processes import child_environment
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.labels import RunLabels, write_labels
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import DATABASE_NAME

#: File with the plan of a sweep, in its directory.
PLAN_NAME = "sweep.json"
#: Maximum number of runs of a sweep, and of processes.
MOST_RUNS, MOST_PROCESSES = 1000, 64
#: Option of ``qatviz train`` that a plan in a file, which others may have written, cannot give.
CODE = "--allow-code"
#: Name that varies the preset instead of a setting.
PRESET = "preset"
#: Interval (s) at which children are polled, and seconds that they have to save their state when the sweep is stopped.
_POLL_S, _END_S = 0.2, 60.0
_MAX_PLAN_BYTES = 1 << 20
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
FINISHED, INTERRUPTED, NEW = "finished", "interrupted", "new"


class Variation(NamedTuple):
    """Setting that a sweep varies: its path, or ``preset``, and its values as text."""

    path: str
    values: Tuple[str, ...]


class SweepPlan(NamedTuple):
    """What a sweep trains.

    Attributes
    ----------
    arguments : tuple of str
        Options of ``qatviz train`` that all runs have.
    variations : tuple of Variation
    seeds : tuple of int
        Empty for the seed of the options, or of the run that is forked.
    """

    arguments: Tuple[str, ...]
    variations: Tuple[Variation, ...] = ()
    seeds: Tuple[int, ...] = ()


class SweepRun(NamedTuple):
    """Run of a sweep: the name of its directory, and its own options of ``qatviz train``."""

    name: str
    arguments: Tuple[str, ...]


class Report(NamedTuple):
    """News of a run of the sweep: ``event`` is "started", "resumed", "finished", "failed" or "skipped"."""

    run: SweepRun
    event: str
    done: int
    total: int
    message: str = ""


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
    """Return the runs of a sweep: all combinations of values, each with all seeds.

    Raises
    ------
    SettingError
        If there are too many, or a path is varied twice.
    """
    paths = [variation.path for variation in plan.variations]
    if len(set(paths)) < len(paths):
        raise SettingError.of_field("vary", f"has the paths {', '.join(paths)}: expected each once")
    count = max(len(plan.seeds), 1)
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
        for seed in plan.seeds or (None,):
            seeded = words if seed is None else [*words, f"s{seed}"]
            own = options if seed is None else [*options, "--seed", str(seed)]
            found.append(SweepRun("_".join(seeded) or "run", tuple(own)))
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
    return {
        "arguments": list(plan.arguments),
        "variations": [[variation.path, list(variation.values)] for variation in plan.variations],
        "seeds": list(plan.seeds),
    }


def _read_plan(path: Path) -> SweepPlan:
    try:
        if not path.is_file() or path.stat().st_size > _MAX_PLAN_BYTES:
            raise ValueError(f"expected a file of at most {_MAX_PLAN_BYTES:,} bytes")
        row = values.mapping(json.loads(path.read_text(encoding="utf-8")), "plan")
        variations = []
        for item in values.sequence(row["variations"], "variations"):
            variation, found = values.sequence(item, "variation")
            texts = tuple(values.name(text, "value") for text in values.sequence(found, "values"))
            variations.append(Variation(values.name(variation, "path"), texts))
        return SweepPlan(
            tuple(values.name(word, "argument") for word in values.sequence(row["arguments"], "arguments")),
            tuple(variations),
            tuple(values.whole(seed, "seed") for seed in values.sequence(row["seeds"], "seeds")),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordError(f"{path}: damaged, or not the plan of a sweep: {error}") from error


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


def run_sweep(directory: str, plan: SweepPlan, processes: int, notify: Notify) -> int:
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

    Raises
    ------
    SettingError
        If ``processes`` is not allowed.
    RecordError
        If the log of a run can't be written; the children are stopped.
    """
    if not 1 <= processes <= MOST_PROCESSES:
        raise SettingError.of_field("processes", f"is {processes}: expected 1 to {MOST_PROCESSES}")
    runs = runs_of(plan)
    waiting, active = list(runs), {}  # type: List[SweepRun], Dict[SweepRun, subprocess.Popen[bytes]]
    done = failed = 0
    try:
        while waiting or active:
            while waiting and len(active) < processes:
                run = waiting.pop(0)
                try:
                    state = state_of(Path(directory) / run.name)
                except QatvizError as error:
                    done, failed = done + 1, failed + 1
                    notify(Report(run, "failed", done, len(runs), str(error)))
                    continue
                if state == FINISHED:
                    done += 1
                    notify(Report(run, "skipped", done, len(runs)))
                    continue
                active[run] = _start(directory, plan, run, state, processes)
                notify(Report(run, "started" if state == NEW else "resumed", done, len(runs)))
            ended = [run for run, child in active.items() if child.poll() is not None]
            for run in ended:
                child = active.pop(run)
                done += 1
                failed += child.returncode != 0
                notify(Report(run, "finished" if child.returncode == 0 else "failed", done, len(runs), _last(child)))
                _label(directory, run)
            if active and not ended:
                time.sleep(_POLL_S)
    finally:
        _end(list(active.values()))
    return failed


def _start(directory: str, plan: SweepPlan, run: SweepRun, state: str, processes: int) -> "subprocess.Popen[bytes]":
    out = str(Path(directory) / run.name)
    arguments = [*plan.arguments, *run.arguments, "--out", out] if state == NEW else ["--resume", out]
    if "--threads" not in arguments:
        arguments += ["--threads", str(max((os.cpu_count() or 1) // processes, 1))]
    path = os.path.join(directory, run.name + ".log")
    try:
        with open(path, "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "qatviz", "train", "--quiet", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=child_environment(),
            )
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror or error}") from error


def _last(child: "subprocess.Popen[bytes]") -> str:
    return "" if child.returncode == 0 else f"exit code {child.returncode}"


def _label(directory: str, run: SweepRun) -> None:
    """Give a run the name of its sweep as a tag; a run without a record has none."""
    try:
        write_labels(Path(directory) / run.name, RunLabels("", "", (_UNFIT.sub("", Path(directory).name)[:40],)))
    except QatvizError:
        return


def _end(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Stop children, which save their states; after a while, kill those that have not ended."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + _END_S
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
