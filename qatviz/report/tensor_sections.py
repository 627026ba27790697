"""Sections of a report on the quantized tensors: table, network and details by tensor."""

from typing import List, Optional, Sequence

from qatviz.analysis.verdict import LEVEL_KEY
from qatviz.measures import MEASURES
from qatviz.number_format import bytes_text, count, shape_text
from qatviz.report.curves import Figure, explained, gallery, tensor_figures
from qatviz.report.heat import scale_legend
from qatviz.report.histogram import SIZE, common_axis, histogram, legend, shown_at
from qatviz.report.markup import Markup, element, join
from qatviz.report.network_picture import network_picture
from qatviz.report.run_data import RunData
from qatviz.report.sections import anchor, tensor_name
from qatviz.report.tables import Cell, Head, Row, facts, folded, scrolling, table
from qatviz.report.tensor_rows import LEVEL_STYLES, TensorRow, shown_columns, sizes

_KEY = f"{LEVEL_KEY}. Verdicts are rules of thumb for where to look first; what counts is the result on held-out data."


def tensor_table(run: RunData, rows: Sequence[TensorRow], are_linked: bool = True) -> Markup:
    """Return the table of all tensors with their verdicts, linked to their details."""
    now, in_float, mean_bits = sizes(rows)
    when = "settings only, no histograms yet" if run.last is None else f"after step {run.last.step:,}"
    columns = shown_columns(rows)
    heads = (
        [
            Head("Tensor", "Layer, and its weights or its activations (output)"),
            Head("", "Verdict"),
        ]
        + [Head(c.header, c.about, c.is_number) for c in columns]
        + [Head("Verdict")]
    )
    shown: List[Row] = [
        [
            tensor_name(run, row.tensor.name, are_linked),
            _symbol(row),
            *(Cell(c.text(row), _level_style(row, c.key)) for c in columns),
            row.advice,
        ]
        for row in rows
    ]
    total = (
        f"All weights: {bytes_text(now)} instead of {bytes_text(in_float)} in float32, "
        f"{MEASURES['num_bits'].text(mean_bits)} per weight."
        if in_float
        else "There are no weights."
    )
    return join(
        table(f"All quantized tensors, {when}", heads, shown, "tensors"),
        element("p", total),
        element("p", _KEY),
        folded("Meaning of the columns", facts([(c.header, c.about) for c in columns])),
    )


def _symbol(row: TensorRow) -> Cell:
    return Cell(row.symbol, LEVEL_STYLES[row.verdict.level])


def _level_style(row: TensorRow, key: str) -> Optional[str]:
    """Return the style of a cell, only for warnings and bad values of quantized tensors."""
    level = row.levels.get(key, 0) if row.is_active else 0
    return LEVEL_STYLES[level] if LEVEL_STYLES[level] in ("warning", "bad") else None


def network(run: RunData, rows: Sequence[TensorRow]) -> Markup:
    """Return the figure of the network."""
    picture = network_picture(run, {row.tensor.name: row for row in rows})
    about = (
        "Each box is one operation with the bits and the SQNR of its weights (w) and activations (a), on the colour of "
        "the SQNR."
    )
    return join(element("p", about), element("p", scale_legend()), scrolling("The network as a graph", picture))


def one_by_one(run: RunData, rows: Sequence[TensorRow]) -> Markup:
    """Return the histograms and curves of each tensor."""
    terms = folded("Meaning of the curves", explained())
    if run.first is None or run.last is None:
        remark = element("p", "There are no histograms, as there is no snapshot yet.", class_="missing")
    elif run.first is run.last:
        remark = element(
            "p", f"There is a single snapshot, after step {run.first.step:,}: before and after are identical."
        )
    else:
        remark = element(
            "p",
            f"Histograms of the first snapshot (after step {run.first.step:,}) and of the newest (after step "
            f"{run.last.step:,}). "
            "Where a common axis is not useful, each histogram has its own.",
        )
    return join(
        remark,
        legend((run.first, run.last)) if run.first is not None else None,
        terms,
        [_card(run, index, row) for index, row in enumerate(rows)],
    )


def _card(run: RunData, index: int, row: TensorRow) -> Markup:
    tensor = row.tensor
    shape = shape_text(tensor.shown_shape)
    what = [
        f"weights {shape} of {tensor.shown_kind}, {count(tensor.parameters, 'parameter')}"
        if tensor.parameters
        else f"activations {shape} of {tensor.shown_kind}"
    ]
    if row.is_active:
        what.append(", ".join(row.settings.phrases(tensor.kind)))
    same_grid = [t.name for t in run.book.plan.tensors if t.group == tensor.group and t is not tensor]
    if same_grid:
        what.append("same scale and zero point as " + ", ".join(same_grid))
    level = row.verdict.level
    head = element("h3", element("span", row.symbol, class_=LEVEL_STYLES[level]), " ", tensor.name)
    figures = _histograms(run, index, row) + tensor_figures(run, tensor)
    return element(
        "section",
        head,
        element("p", "; ".join(what), class_="about"),
        element("p", row.advice),
        gallery(figures),
        id=anchor(run, tensor.name),
        class_="card",
    )


def _histograms(run: RunData, index: int, row: TensorRow) -> List[Figure]:
    """Return the histograms of a tensor in the first and the last snapshot."""
    if run.first is None or run.last is None:
        return []
    snapshots = [("Before", run.first)] * (run.first is not run.last) + [("After", run.last)]
    shown = [shown_at(snapshot, row.tensor, index) for _, snapshot in snapshots]
    extents = [found.extent for found in shown if found is not None]
    axis = common_axis(*extents) if len(extents) == 2 else None
    figures = []
    for (when, snapshot), found in zip(snapshots, shown):
        title = f"{when}: step {snapshot.step:,}"
        picture = found and histogram(found, f"{row.tensor.name}, {title.lower()}", axis)
        figures.append(Figure(title, picture, SIZE, "its values are not finite", about=found.words if found else ""))
    return figures
