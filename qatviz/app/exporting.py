"""Exports that the window asks for, as calls of the command line in processes of their own."""

import filecmp
import itertools
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import qatviz
from qatviz.atomic_files import atomic_file
from qatviz.errors import RecordError
from qatviz.gui.model.exporting import Command, ExportWanted
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.telemetry.record.checkpoint_files import SUBDIRECTORY, SUFFIX, CheckpointInfo
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.checkpointer import AUTOMATIC, BEFORE_CHANGE

#: Libraries that compute in threads of their own take one: the training has the others.
_ONE_THREAD = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
#: Of these checkpoints a run that goes on keeps only the newest; names of those that are kept all the same begin so.
_KEPT = "kept-"
_PASSING = re.compile(rf"({AUTOMATIC}|{BEFORE_CHANGE})-\d+(-\d+)?")


def command_of(wanted: ExportWanted) -> Command:
    """The call of ``qatviz export``; the checkpoint will be there until it is read.

    Raises
    ------
    RecordError
        If there is no such checkpoint.
    """
    checkpoint = keep(wanted.directory, wanted.checkpoint)
    arguments = [
        "-m",
        "qatviz",
        "export",
        wanted.directory,
        "--format",
        wanted.form,
        "--out",
        wanted.path,
        "--checkpoint",
        checkpoint,
        "--progress",
    ]
    if wanted.examples is not None:
        arguments += ["--verify", str(wanted.examples)]
    for name, value in wanted.options.items():
        switch = "--" + name.replace("_", "-")
        if value is not False:
            arguments += [switch] if value is True else [switch, str(value)]
    return Command(sys.executable, arguments, _environment())


def keep(directory: str, checkpoint: str) -> str:
    """The name of a checkpoint with the same content that stays: of those that are made by themselves, a run that goes
    on deletes the oldest. It then also tells where an export came from.

    Raises
    ------
    RecordError
        If there is no such checkpoint, or it can't be kept.
    """
    if not _PASSING.fullmatch(checkpoint):
        return checkpoint
    folder = Path(directory) / SUBDIRECTORY
    old = folder / (checkpoint + SUFFIX)
    try:
        for number in itertools.count(1):
            name = _KEPT + checkpoint + (f".{number}" if number > 1 else "")
            new = folder / (name + SUFFIX)
            if not new.exists():
                _link(old, new)
            if filecmp.cmp(str(old), str(new)):  # else it is of a timeline that was left
                return name
    except OSError as error:
        raise RecordError(f"{old}: this checkpoint can't be kept: {error.strerror or error}") from error


def moments(directory: str) -> List[CheckpointInfo]:
    """The checkpoints of a run that can be read, by step; of one that was kept twice, the first.

    Raises
    ------
    RecordError
        If there is no run.
    """
    infos = [info for info in RunRecord.read(directory).list_checkpoints() if not info.error]
    names = {info.name for info in infos}
    return [info for info in infos if not (info.name.startswith(_KEPT) and info.name[len(_KEPT) :] in names)]


def settings_at(directory: str, checkpoint: str) -> Tuple[SettingsBook, int]:
    """The settings of a checkpoint, and its step.

    Raises
    ------
    RecordError
        If there is no such checkpoint, or it can't be read.
    """
    reader = RunRecord.read(directory)
    arrays, meta = reader.load_checkpoint(checkpoint)
    try:
        plan = quantization_plan(Network.from_dict(reader.description["network"]))
    except (KeyError, TypeError) as error:
        raise RecordError(f"{reader.path}: the description of the run is incomplete: {error!r}") from error
    moment = RunState.from_checkpoint(checkpoint, arrays, meta, plan)
    return moment.book, moment.step


def _link(old: Path, new: Path) -> None:
    try:
        os.link(str(old), str(new))  # takes no room
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        with open(str(old), "rb") as content, atomic_file(new) as file:
            shutil.copyfileobj(content, file)


def _environment() -> Dict[str, str]:
    """The program is found where this one was, installed or not."""
    paths = [str(Path(qatviz.__file__).resolve().parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return dict(dict.fromkeys(_ONE_THREAD, "1"), PYTHONPATH=os.pathsep.join(path for path in paths if path))
