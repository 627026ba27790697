"""Sections of a report on the run as a whole: summary, curves, settings and events."""

from typing import Any, List, Mapping, Sequence, Tuple, Union

from qatviz.analysis.effects import SPAN_STEPS, TRANSIENT_STEPS
from qatviz.data_options import DataOptions
from qatviz.measures import MEASURES
from qatviz.metric import METRICS, MODE_NAMES, MODES
from qatviz.network.graph import Network
from qatviz.number_format import count, shape_text
from qatviz.presentation.event_texts import DELAY_ENDED, change_words, sentence
from qatviz.presentation.score_texts import OUTPUT_HEADS, metric_title, rows_of_outputs, title_of
from qatviz.presentation.times import date, duration
from qatviz.protocol import events
from qatviz.protocol.reasons import SaveKind
from qatviz.protocol.timeline import LoggedEvent
from qatviz.report import headline
from qatviz.report.curves import change_point_text, gallery, run_figures
from qatviz.report.markup import Content, Markup, element, join
from qatviz.report.run_data import ChangePoint, RunData
from qatviz.report.tables import Cell, Head, Heads, Row, bullets, facts, folded, table
from qatviz.report.tensor_rows import LEVEL_STYLES, TensorRow
from qatviz.scaling import formula_text
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS, QuantizerSettings, value_text
from qatviz.start_settings import START_SETTINGS

#: Maximum number of rows of a table; in a longer one, the number of the rows that are not shown replaces the middle.
MAX_ROWS = 1000
#: Maximum number of rows of a table that is not folded.
_MAX_UNFOLDED_ROWS = 25
#: Maximum number of changes at a step that are not folded.
_MAX_UNFOLDED_CHANGES = 12

_UNKNOWN = "unknown"
_MODE_HEADS = [Head(MODE_NAMES[mode].capitalize(), is_number=True) for mode in MODES]


def summary(run: RunData, rows: Sequence[TensorRow], are_linked: bool = True) -> Markup:
    """Return the verdict, the tensors with the worst verdicts (linked to their details), and the evaluations."""
    verdict = [element("p", text) for text in headline.sentences(run, rows)]
    worst = [
        join(
            element("b", row.symbol + " ", class_=LEVEL_STYLES[row.verdict.level]),
            tensor_name(run, row.tensor.name, are_linked),
            ": ",
            row.advice,
        )
        for row in headline.worst(rows)
    ]
    more = headline.more_than_shown(rows)
    return join(
        element("div", verdict, bullets(worst + ([more] if more else [])), class_="verdict"),
        _scores(run),
        [element("p", text, class_="missing") for text in run.missing],
    )


def _scores(run: RunData) -> Content:
    """Return the table of the first and the newest evaluation: in float, partly and fully quantized."""
    found, metric = run.outcome.evaluations, run.metric
    if not found:
        return None
    chosen = [found[0], found[-1]] if len(found) > 1 else [found[0]]
    heads = [Head("After step", is_number=True), *_MODE_HEADS]
    name = metric_title(metric.name, run.outcome.output, True)
    caption = f"{name} in float and quantized"
    caption += f" on {count(run.num_examples, 'held-out example')}" if run.num_examples else ""
    scores = table(
        caption, heads, [[f"{row['step']:,}"] + [metric.text(row[mode]) for mode in MODES] for row in chosen], "scores"
    )
    after = f"after step {found[-1]['step']:,}"
    more = []
    if run.outcome.outputs:
        rows = metric.output_rows(run.outcome.outputs)
        more.append(table(f"{name} by output {after}", ["Output", *heads[1:]], rows, "scores"))
    if run.outcome.losses:
        last = events.FurtherScores(run.outcome.output, metric.name, found[-1])
        rows = rows_of_outputs((last, *run.outcome.further), run.outcome.losses, run.outcome.held_out_loss)
        columns = [Head(name.capitalize(), is_number=name not in ("output", "metric")) for name in OUTPUT_HEADS]
        more.append(table(f"Losses and metrics of the outputs {after}", columns, rows, "scores"))
    elif run.outcome.further:
        rows = [
            [title_of(item), *(METRICS[item.metric].text(item.scores[mode]) for mode in MODES)]
            for item in run.outcome.further
        ]
        more.append(table(f"Further metrics {after}", ["Metric", *heads[1:]], rows, "scores"))
    return join(scores, *more)


def _inputs_text(network: Network) -> str:
    """Return the shape of the input; of several, with their names."""
    if len(network.inputs) == 1:
        return shape_text(network.input_shape)
    return ", ".join(f"{name} {shape_text(shape)}" for name, shape in network.inputs)


def facts_of(run: RunData) -> Markup:
    """Return the list of network, data, optimizer and other facts about the run."""
    about, network = run.about, run.network
    parameters = sum(row.parameters for row in network.summary())
    loss = "" if run.outcome.loss is None else f", last loss {MEASURES['loss'].text(run.outcome.loss)}"
    pairs = [
        (
            "Network",
            f"{network.name}: {count(len(network.layers), 'layer')}, {parameters:,} parameters, input "
            f"{_inputs_text(network)}",
        ),
        ("Data", about.get("data_name", _UNKNOWN)),
        *([("Scaling", formula_text(about["scaling"]))] if "scaling" in about else []),
        *([("Data read with", DataOptions.of(about["data_options"]).text())] if about.get("data_options") else []),
        ("Data fingerprint", about.get("data_fingerprint", _UNKNOWN)),
        ("Batch size", count(about["batch_size"], "example") if isinstance(about.get("batch_size"), int) else _UNKNOWN),
        *([("Batches computed on", run.outcome.division.text)] if run.outcome.division.text else []),
        ("Optimizer", about.get("optimizer", _UNKNOWN)),
        *_losses(about),
        *([("Class weights", about["class_weights"])] if about.get("class_weights") else []),
        ("Seed", about.get("seed", _UNKNOWN)),
        ("Training", f"{count(run.outcome.step, 'step')} in {duration(run.outcome.seconds)}{loss}"),
        ("Started", date(about.get("created"))),
        ("Run", f"{about.get('run_id', _UNKNOWN)} ({run.directory})"),
        ("Recorded by", f"qatviz {about.get('qatviz', '(unknown version)')}"),
    ]
    forked = about.get("forked_from")
    if isinstance(forked, dict):
        pairs.append(("Forked from", f"checkpoint {forked.get('checkpoint', _UNKNOWN)}"))
    return facts([(term, str(value)) for term, value in pairs])


def _losses(about: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """Return the loss of the run, or of each output with its weight."""
    text = START_SETTINGS["loss"].text
    if "heads" in about:
        rows = [f"{row['output']}: {text(row['loss'])} × {row['weight']:g}" for row in about["heads"]]
        weights = [f"{row['output']}: {row['class_weights']}" for row in about["heads"] if row.get("class_weights")]
        return [("Losses", "; ".join(rows)), *([("Class weights", "; ".join(weights))] if weights else [])]
    return [("Loss", text(about["loss"]))] if "loss" in about else []


def course(run: RunData) -> Markup:
    """Return the curves of the whole run and the table of setting changes and their effects."""
    return join(gallery(run_figures(run)), element("h3", "Setting changes and their effects"), _changes(run))


def _changes(run: RunData) -> Content:
    """Return the table of setting changes and their effects."""
    if not run.change_points:
        return element("p", "No setting was changed during training.")
    heads: Heads = [
        Head("No.", "Number of the marker in the charts", True),
        Head("After step", "Number of steps done before the change took effect", True),
        "Change",
        Head(
            "Effect",
            f"Means over up to {SPAN_STEPS} steps before the change and up to {SPAN_STEPS} steps after it, without "
            f"the first {TRANSIENT_STEPS}; for evaluations, the last before and the first after",
        ),
    ]
    rows: List[Row] = [
        [str(index), f"{point.step:,}", _changes_at(point), point.effect.describe()]
        for index, point in enumerate(run.change_points, 1)
    ]
    return table("Setting changes", heads, _limited(rows))


def _changes_at(point: ChangePoint) -> Content:
    """Return the changes at a step, folded if there are many."""
    items = [change_words(changed) for changed in point.changes]
    items += [f"{name}: {DELAY_ENDED}" for name in point.activated]
    if len(items) > _MAX_UNFOLDED_CHANGES:
        return folded(change_point_text(point), bullets(items))
    return bullets(items) if len(items) > 2 else change_point_text(point)


def settings(run: RunData) -> Markup:
    """Return the tables of settings at the start and now, with the differences marked."""
    first, last = run.first_book.run.to_dict(), run.book.run.to_dict()
    rows: List[Row] = [
        [
            _named(RUN_SETTINGS[name].label, RUN_SETTINGS[name].help),
            value_text(name, first[name]),
            Cell(value_text(name, last[name]), "changed" if first[name] != last[name] else None),
        ]
        for name in RUN_SETTINGS
    ]
    heads = ["Setting of the run", "At the start", "Now"]
    return join(
        element("p", "Changed values are bold; for quantizers, the value at the start is before the arrow."),
        table("Settings of the run", heads, rows),
        _quantizers(run),
    )


def _quantizers(run: RunData) -> Markup:
    """Return the table of quantizer settings."""
    heads = [Head("Tensor")] + [Head(s.label, s.help) for s in QUANTIZER_SETTINGS.values()]
    rows: List[Row] = []
    for tensor in run.book.plan.tensors:
        first, last = run.first_book.of(tensor.name), run.book.of(tensor.name)
        rows.append([tensor.name, *(_setting_cell(first, last, name, tensor.kind) for name in QUANTIZER_SETTINGS)])
    return table("Settings of the quantizers", heads, rows)


def _setting_cell(first: QuantizerSettings, last: QuantizerSettings, name: str, kind: str) -> Union[Cell, Content]:
    """Return the value of a setting of a tensor of ``kind``, and its value at the start if that differs."""
    if kind not in QUANTIZER_SETTINGS[name].kinds:
        return ""
    before, now = (
        # 1 bit is a map by itself; all other values are those that were set.
        settings.text(name, kind) if name == "weight_map" else value_text(name, getattr(settings, name))
        for settings in (first, last)
    )
    return now if before == now else Cell(f"{before} → {now}", "changed")


def timeline(run: RunData) -> Markup:
    """Return the tables of events and of evaluations."""
    shown_events = [h for h in run.log if _is_shown(h.event)]
    heads: Heads = [Head("After step", is_number=True), "Time", "Event"]
    rows: List[Row] = [[f"{h.event.step:,}", date(h.time), _event(h)] for h in shown_events]
    shown = table("Events by step", heads, _limited(rows)) if rows else element("p", "No events yet.")
    parts = [_maybe_folded(shown, count(len(rows), "event"), len(rows))]
    found = run.outcome.evaluations
    if found:
        heads = [heads[0], *_MODE_HEADS]
        rows = [[f"{row['step']:,}"] + [run.metric.text(row[mode], 2) for mode in MODES] for row in found]
        name = metric_title(run.metric.name, run.outcome.output)
        shown = table(f"Evaluations on held-out data: {name}", heads, _limited(rows))
        parts.append(_maybe_folded(shown, count(len(rows), "evaluation"), len(rows)))
    return join(parts)


def _is_shown(event: events.Event) -> bool:
    """Return whether an event is listed.

    Evaluations have a separate table. Commands that changed nothing and checkpoints before changes are omitted.
    """
    if isinstance(event, events.CommandApplied):
        return event.has_effect
    if isinstance(event, events.CheckpointSaved):
        return event.reason.kind is not SaveKind.BEFORE_CHANGE
    return not isinstance(event, events.Evaluated)


def _event(logged: LoggedEvent) -> Cell:
    """Return an event as text, struck through if it is on a discarded branch."""
    text = sentence(logged.event)
    if not logged.survives:
        return Cell(join(element("s", text), " (discarded: the run was rewound)"), "left")
    is_grave = isinstance(logged.event, (events.Failed, events.NonFinite, events.RecordFailed))
    return Cell(text, "grave" if is_grave else None)


def _maybe_folded(content: Markup, summary_: str, rows: int) -> Markup:
    return folded(summary_, content) if rows > _MAX_UNFOLDED_ROWS else content


def _limited(rows: List[Row]) -> List[Row]:
    """Return at most `MAX_ROWS` rows; of more, the first and the last with the number of rows between them."""
    if len(rows) <= MAX_ROWS:
        return rows
    half = MAX_ROWS // 2
    gap = ["…", f"{len(rows) - 2 * half:,} rows not shown"] + [""] * (len(rows[0]) - 2)
    return [*rows[:half], gap, *rows[-half:]]


def _named(label: str, about: str) -> Markup:
    return element("abbr", label, title=about)


def tensor_name(run: RunData, tensor: str, is_linked: bool) -> Content:
    """Return the name of a tensor, as a link to its section if ``is_linked``."""
    return element("a", tensor, href="#" + anchor(run, tensor)) if is_linked else tensor


def anchor(run: RunData, tensor: str) -> str:
    """Return the id of a tensor's section, which contains its index, as its name may not be a valid id."""
    return f"tensor-{run.book.plan.index(tensor) + 1}"
