"""The sections of a report on the run as a whole: what it came to, its course, its settings, its events."""

from typing import Any, Dict, List, Sequence

from qatviz.measures import MEASURES
from qatviz.metric import WAY_NAMES, WAYS
from qatviz.number_format import count, shape_text
from qatviz.presentation.event_texts import change_words, sentence
from qatviz.protocol import events
from qatviz.protocol.timeline import LoggedEvent
from qatviz.report import headline
from qatviz.report.curves import gallery, run_figures, turn_words
from qatviz.report.markup import Content, Markup, element, join
from qatviz.report.run_data import RunData, Turn
from qatviz.report.tables import Cell, Head, bullets, facts, folded, table
from qatviz.report.tensor_rows import LEVEL_STYLES, TensorRow
from qatviz.report.words import date, duration
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS, applicable, value_text

#: Rows of a table beyond which those in the middle are left out: it is said how many.
MOST_ROWS = 1000
#: Rows that are shown at once; more are folded.
_AT_ONCE = 25
#: Changes of one turn that are listed one by one.
_MOST_CHANGES = 12


def summary(run: RunData, rows: Sequence[TensorRow]) -> Markup:
    """What the run came to."""
    told = [element("p", text) for text in headline.sentences(run, rows)]
    worst = [
        join(
            element("b", row.symbol + " ", class_=LEVEL_STYLES[row.verdict.level]),
            element("a", row.tensor.name, href="#" + anchor(run, row.tensor.name)),
            ": ",
            row.verdict.text,
        )
        for row in headline.worst(rows)
    ]
    more = headline.left_out(rows)
    return join(
        element("div", told, bullets(worst + ([more] if more else [])), class_="verdict"),
        _scores(run),
        [element("p", text, class_="missing") for text in run.missing],
    )


def _scores(run: RunData) -> Content:
    """The metric four ways, at the first evaluation and at the newest."""
    found, metric = run.outcome.evaluations, run.metric
    if not found:
        return None
    chosen = [found[0], found[-1]] if len(found) > 1 else [found[0]]
    heads = [Head("After step", is_number=True)] + [Head(WAY_NAMES[way].capitalize(), is_number=True) for way in WAYS]
    name = metric.heading.partition(" (")[0]
    caption = f"{name} four ways" + (f" on {count(run.num_examples, 'held-out example')}" if run.num_examples else "")
    return table(
        caption, heads, [[f"{row['step']:,}"] + [metric.text(row[way]) for way in WAYS] for row in chosen], "scores"
    )


def facts_of(run: RunData) -> Markup:
    """What was trained on what, and how."""
    about, network = run.about, run.network
    parameters = sum(row.parameters for row in network.summary())
    loss = "" if run.outcome.loss is None else f", last loss {MEASURES['loss'].text(run.outcome.loss)}"
    pairs = [
        (
            "Network",
            f"{network.name}: {count(len(network.layers), 'layer')}, {parameters:,} parameters, input "
            f"{shape_text(network.input_shape)}",
        ),
        ("Data", about.get("data_name", "not known")),
        ("Data's fingerprint", about.get("data_fingerprint", "not known")),
        ("Batch", count(about["batch_size"], "example") if isinstance(about.get("batch_size"), int) else "not known"),
        ("Optimizer", about.get("optimizer", "not known")),
        ("Seed", about.get("seed", "not known")),
        ("Training", f"{count(run.outcome.step, 'step')} in {duration(run.outcome.seconds)}{loss}"),
        ("Begun", date(about.get("created"))),
        ("Run", f"{about.get('run_id', 'not known')} ({run.directory})"),
        ("Recorded by", f"qatviz {about.get('qatviz', 'of an unknown version')}"),
    ]
    forked = about.get("forked_from")
    if isinstance(forked, dict):
        pairs.append(("Forked from", f"checkpoint {forked.get('checkpoint', 'not known')}"))
    return facts([(term, str(what)) for term, what in pairs])


def course(run: RunData) -> Markup:
    """Curves of the whole run, and what each change of settings did."""
    return join(gallery(run_figures(run)), element("h3", "Changes, and what they did"), _changes(run))


def _changes(run: RunData) -> Content:
    if not run.turns:
        return element("p", "No setting changed while it trained.")
    heads = [
        Head("No.", "The number at the markers in the pictures", True),
        Head("After step", "Steps that were done before it took effect", True),
        "What changed",
        Head(
            "What it did",
            "Means over up to 50 steps before the change, and over up to 50 after the first 10; "
            "of evaluations the last before and the first after",
        ),
    ]
    rows = [
        [str(index), f"{turn.step:,}", _turn(turn), turn.effect.describe()] for index, turn in enumerate(run.turns, 1)
    ]
    return table("Changes of settings", heads, _limited(rows))


def _turn(turn: Turn) -> Content:
    """All of its changes, folded where they are too many to be read."""
    items = [change_words(changed) for changed in turn.changes]
    items += [name + " quantized, as its delay is over" for name in turn.activated]
    if len(items) > _MOST_CHANGES:
        return folded(turn_words(turn), bullets(items))
    return bullets(items) if len(items) > 2 else turn_words(turn)


def settings(run: RunData) -> Markup:
    """Settings at the beginning and now; what differs is marked."""
    first, last = run.first_book.run.to_dict(), run.book.run.to_dict()
    rows = [
        [
            _named(RUN_SETTINGS[name].label, RUN_SETTINGS[name].help),
            value_text(name, first[name]),
            Cell(value_text(name, last[name]), "changed" if first[name] != last[name] else None),
        ]
        for name in RUN_SETTINGS
    ]
    heads = ["Setting of the run", "At the beginning", "Now"]
    return join(
        element("p", "What changed is bold, with the value at the beginning before the arrow."),
        table("Settings of the run", heads, rows),
        _quantizers(run),
    )


def _quantizers(run: RunData) -> Markup:
    heads = [Head("Tensor")] + [Head(s.label, s.help) for s in QUANTIZER_SETTINGS.values()]
    rows = []
    for tensor in run.book.plan.tensors:
        first = applicable(run.first_book.of(tensor.name), tensor.kind)
        last = applicable(run.book.of(tensor.name), tensor.kind)
        rows.append([tensor.name] + [_setting_cell(first, last, name) for name in QUANTIZER_SETTINGS])
    return table("Settings of the quantizers", heads, rows)


def _setting_cell(first: Dict[str, Any], last: Dict[str, Any], name: str) -> Content:
    if name not in last:
        return ""
    if first[name] == last[name]:
        return value_text(name, last[name])
    return Cell(f"{value_text(name, first[name])} → {value_text(name, last[name])}", "changed")


def timeline(run: RunData) -> Markup:
    """All that happened, and all evaluations."""
    told = [h for h in run.log if _is_told(h.event)]
    heads = [Head("After step", is_number=True), "When", "What happened"]
    rows = [[f"{h.event.step:,}", date(h.time), _event(h)] for h in told]
    shown = table("What happened, by step", heads, _limited(rows)) if rows else element("p", "Nothing happened yet.")
    parts = [_maybe_folded(shown, count(len(rows), "event"), len(rows))]
    found = run.outcome.evaluations
    if found:
        heads = [heads[0]] + [Head(WAY_NAMES[way].capitalize(), is_number=True) for way in WAYS]
        rows = [[f"{row['step']:,}"] + [run.metric.text(row[way], 2) for way in WAYS] for row in found]
        shown = table(f"Evaluations on held-out data: {run.metric.title}", heads, _limited(rows))
        parts.append(_maybe_folded(shown, count(len(rows), "evaluation"), len(rows)))
    return join(parts)


def _is_told(event: events.Event) -> bool:
    """Whether an event is worth a line.

    Evaluations have a table of their own; answers to commands that changed nothing, and checkpoints that are kept
    before each change, say nothing.
    """
    if isinstance(event, events.CommandApplied):
        return bool(event.changes)
    if isinstance(event, events.CheckpointSaved):
        return not event.reason.startswith("before")
    return not isinstance(event, events.Evaluated)


def _event(logged: LoggedEvent) -> Cell:
    told = sentence(logged.event)
    if not logged.survives:
        return Cell(join(element("s", told), " (left behind: the run was set back)"), "left")
    is_grave = isinstance(logged.event, (events.Failed, events.NonFinite, events.RecordFailed))
    return Cell(told, "grave" if is_grave else None)


def _maybe_folded(content: Markup, summary_: str, rows: int) -> Markup:
    return folded(summary_, content) if rows > _AT_ONCE else content


def _limited(rows: List[List[Any]]) -> List[List[Any]]:
    if len(rows) <= MOST_ROWS:
        return rows
    half = MOST_ROWS // 2
    gap = ["…", f"{len(rows) - 2 * half:,} left out here"] + [""] * (len(rows[0]) - 2)
    return [*rows[:half], gap, *rows[-half:]]


def _named(label: str, about: str) -> Markup:
    return element("abbr", label, title=about)


def anchor(run: RunData, tensor: str) -> str:
    """Where a tensor is told about: by its place, as names are anything."""
    return f"tensor-{run.book.plan.index(tensor) + 1}"
