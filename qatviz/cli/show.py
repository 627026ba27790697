"""``qatviz show``: print the record of a run."""

import argparse
import json
import textwrap
import time
from typing import Any, Dict, List

from qatviz.analysis.advice import estimated_offer, with_offer
from qatviz.analysis.causes import facts_of
from qatviz.analysis.verdict import LEVEL_NAMES, WARNING, verdict
from qatviz.cli.messages import OK, print_output
from qatviz.cli.tables import (
    further_table,
    heads_table,
    output_table,
    score_table,
    table,
    tensor_table,
    terminal_width,
)
from qatviz.measures import MEASURES
from qatviz.number_format import bytes_text, finite
from qatviz.presentation.event_texts import plain_change, reason_text, save_text, sentence
from qatviz.presentation.score_texts import metric_title
from qatviz.protocol import events
from qatviz.protocol.corrections import kind_of
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import setting_text
from qatviz.telemetry.outcome import Outcome, read_outcome
from qatviz.telemetry.record.checkpoint_files import CheckpointInfo
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.run_record import RunRecord


def show(options: argparse.Namespace) -> int:
    """Print a recorded run, also while it trains.

    Raises
    ------
    RecordError
        If there is no run, or its record is damaged.
    """
    reader = RunRecord.read(options.directory)
    outcome = read_outcome(reader)
    evaluations = [{name: finite(number) for name, number in row.items()} for row in outcome.evaluations]
    result = dict(
        outcome.to_dict(),
        evaluations=evaluations,
        settings=outcome.book.to_dict(),
        description=reader.description,
        checkpoints=[_checkpoint(info) for info in reader.list_checkpoints()],
    )
    if options.json:
        print_output(json.dumps(result, allow_nan=False))
    else:
        print_output("\n\n".join(_sections(reader, outcome, result)))
    return OK


def _sections(reader: RecordReader, outcome: Outcome, result: Dict[str, Any]) -> List[str]:
    sections = [_headline(reader, outcome), _settings(outcome), tensor_table(result["tensors"])]
    found = _verdicts(reader, outcome)
    if found:
        sections.append("tensors with warnings\n" + found)
    if outcome.evaluations:
        title = f"{metric_title(outcome.metric.name, outcome.output)} on held-out data\n"
        sections.append(title + score_table(outcome.metric, outcome.evaluations))
    if outcome.outputs:
        name = metric_title(outcome.metric.name, outcome.output)
        title = f"{name} by output, after step {outcome.evaluations[-1]['step']:,}\n"
        sections.append(title + output_table(outcome.metric, outcome.outputs))
    if outcome.losses:
        first = events.FurtherScores(outcome.output, outcome.metric.name, outcome.evaluations[-1])
        scored = (first, *outcome.further)
        sections.append("outputs\n" + heads_table(scored, outcome.losses, outcome.held_out_loss))
    elif outcome.further:
        sections.append("further metrics\n" + further_table(outcome.further))
    sections.append("events\n" + _events(reader))
    if result["checkpoints"]:
        sections.append("checkpoints\n" + _checkpoints(result["checkpoints"]))
    return sections


def _headline(reader: RecordReader, outcome: Outcome) -> str:
    about = reader.description
    lines = [
        f"{reader.directory}: {about['network']['name']} on {about.get('data_name')}, {about.get('optimizer')} "
        f"of batch {about.get('batch_size')}, seed {about.get('seed')}"
        + (f", on {outcome.division.text}" if outcome.division.text else "")
    ]
    state = outcome.ending or "not ended: it is running, or was interrupted"
    steps = reader.plan().steps
    total = "" if steps is None else f" of {steps}"
    loss = "" if outcome.loss is None else f", loss {MEASURES['loss'].plain(outcome.loss)}"
    lines.append(f"step {outcome.step}{total}, {outcome.seconds:.1f} s of training{loss}; {state}")
    if "forked_from" in about:
        lines.append("forked from {directory} at {checkpoint}".format(**about["forked_from"]))
    return "\n".join(lines)


def _settings(outcome: Outcome) -> str:
    pairs = [f"{name} {setting_text(setting)}" for name, setting in outcome.book.run.to_dict().items()]
    return textwrap.fill("settings of the run: " + ", ".join(pairs), terminal_width())


def _verdicts(reader: RecordReader, outcome: Outcome) -> str:
    """Return the tensors with warnings or bad verdicts, each with the change that is estimated to help most."""
    snapshot, book = outcome.snapshot, outcome.book
    if snapshot is None:
        return ""
    steps = [step for step in reader.snapshots() if step < snapshot.step]
    facts = facts_of(snapshot, book, reader.snapshot(steps[-1]) if steps else None)
    rows = []
    for index, (tensor, known) in enumerate(zip(book.plan.tensors, facts)):
        settings = book.of(tensor.name).with_grid_bits(snapshot.num_bits[index])
        measures = dict(zip(SNAPSHOT_MEASURES, snapshot.values[:, index].tolist()))
        judged = verdict(measures, tensor, settings, snapshot.enabled[index], facts=known)
        if judged.level >= WARNING:
            offer = estimated_offer(snapshot, book, tensor.name, settings)
            rows.append([tensor.name, LEVEL_NAMES[judged.level], with_offer(judged.text, offer)])
    return table(("tensor", "", "why"), rows, (0, 1, 2)) if rows else ""


def _events(reader: RecordReader) -> str:
    rows = []
    for logged in reader.log()[0]:
        if logged.survives:
            rows += [[str(logged.event.step), text] for text in _texts(logged.event)]
    return table(("step", "what"), rows, (1,))


def _texts(event: events.Event) -> List[str]:
    """Return the texts of an event, one for each changed setting; evaluations and checkpoints have separate tables."""
    texts = list(map(plain_change, getattr(event, "changes", ())))
    if isinstance(event, events.Corrected):
        return list(event.notes)
    if isinstance(event, events.CommandApplied) and kind_of(event.command) is not None:
        return [sentence(event)]
    if isinstance(event, (events.CommandApplied, events.Evaluated, events.CheckpointSaved)):
        return texts
    details = reason_text(event)
    if isinstance(event, events.Planned):
        details = "no limit" if event.steps is None else f"{event.steps} steps"
        details += f", scheduled changes: {len(event.schedule)}" if event.schedule else ""
        details += f", on {event.division.text}" if event.division is not None and event.division.text else ""
    return [event.kind.lower() + (": " + details if details else ""), *texts]


def _checkpoint(info: CheckpointInfo) -> Dict[str, Any]:
    """Return the JSON-able form of a checkpoint."""
    row = {key: getattr(info, key) for key in ("name", "step", "created", "nbytes", "error", "branch")}
    return dict(row, reason=save_text(info.reason))


def _checkpoints(infos: List[Dict[str, Any]]) -> str:
    rows = [
        [
            info["name"],
            str(info["step"]),
            bytes_text(info["nbytes"]),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(info["created"])),
            info["reason"],
        ]
        if not info["error"]
        else [info["name"], "-", "-", "-", "can't be used"]
        for info in infos
    ]
    return table(("name", "step", "size", "saved", "why"), rows, (0, 4))
