"""Section of a report on exports and the proofs that they are equivalent to the run.

The content of proofs is not trusted: values of unexpected types are omitted or shown as text.
"""

from typing import Any, Dict, List, Optional

from qatviz.metric import ACCURACY, METRICS
from qatviz.number_format import UNKNOWN, bytes_text, count
from qatviz.presentation.proof_values import proof_number
from qatviz.report.exports import FoundExport, is_count, is_number, named_rows, numbers, rows, texts
from qatviz.report.markup import Content, Markup, element, join
from qatviz.report.run_data import RunData
from qatviz.report.tables import Cell, Head, Heads, Row, bullets, folded, table

#: Maximum number of layers, or of tensors, shown of a proof.
_MAX_ROWS = 1000
#: Maximum length of a text from a proof.
_MAX_TEXT = 500
#: Keys of numbers that must not exceed their expected value.
_AT_MOST = ("largest", "relative")
_NAMES = {
    "identical": "Identical codes",
    "largest": "Largest difference",
    "top1": "Same top-1",
    "relative": "Relative difference",
    "close": "Values within the tolerance",
}
#: Comparison that is shown in the overview.
_MAIN = "file to evaluation graph"


def exports(run: RunData) -> Markup:
    """Return the section: sizes before exporting, and all exports that were found, or how to create one."""
    return join(_sizes(run), _proofs(run))


def _sizes(run: RunData) -> Optional[Markup]:
    """Return the table of the sizes that exports would have."""
    if not run.sizes:
        return None
    heads: Heads = [
        "Format",
        Head("Size", "Of the files without proof and README; for C, of the constants", True),
        "Packed",
    ]
    shown: List[Row] = []
    notes: List[Content] = []
    for form in run.sizes:
        if form.size is None:
            shown.append([form.title, UNKNOWN, f"not supported: {form.refused}"])
            continue
        size, *others = form.size.lines
        shown.append([form.title, size, ", ".join(others)])
        notes += [f"{form.title}: {note}" for note in form.size.notes]
    return join(table("Sizes of exports of the newest checkpoint", heads, shown), bullets(notes))


def _proofs(run: RunData) -> Markup:
    if not run.exports:
        return element(
            "p",
            "No export found in or next to the run's directory. ",
            element("code", "qatviz export"),
            " writes one, with a proof that it is equivalent.",
        )
    found = [export for export in run.exports if not export.problem]
    broken = [f"{export.name} {export.problem}" for export in run.exports if export.problem]
    return join(
        _overview(run, found) if found else None,
        [_export(run, export) for export in found],
        element("p", "Proofs that cannot be used:", class_="missing") if broken else None,
        bullets(list(broken)),
    )


def _overview(run: RunData, found: List[FoundExport]) -> Markup:
    heads: Heads = [
        "Proof",
        "Format",
        "Run in",
        Head("Step", is_number=True),
        Head("Size", is_number=True),
        Head("Identical codes", "Logits: file compared with the evaluation graph", True),
        Head("Largest difference", "In codes", True),
        Head("Same top-1", "", True),
        "Verdict",
    ]
    shown: List[Row] = []
    for export in found:
        record = export.record
        about, outputs = record["about"], dict(named_rows(record, "outputs"))
        main: Dict[str, Any] = {}
        if not _not_run(record):
            first: Dict[str, Any] = next(iter(outputs.values()), {})
            main = outputs.get(_MAIN) or {"top1": first.get("top1")}  # other comparisons are of values, not of codes
        step, nbytes = about.get("step"), numbers(record, "bytes").get("file")
        shown.append(
            [
                export.name,
                _text(about.get("format")),
                _text(about.get("runtime")),
                f"{step:,}" if is_count(step) else UNKNOWN,
                UNKNOWN if nbytes is None else bytes_text(nbytes),
                *(_number(key, main.get(key)) for key in ("identical", "largest", "top1")),
                _verdict(export),
            ]
        )
    return table("Exports", heads, shown)


def _not_run(record: Dict[str, Any]) -> str:
    """Return the reason why a file was not run; an empty string if it was run."""
    return _text(record["not_run"]) if record.get("not_run") else ""


def _verdict(export: FoundExport) -> Cell:
    if _not_run(export.record):
        return Cell("○ not run", "none")
    faults = export.record.get("faults")
    if faults:
        number = count(len(faults), "operation") + " " if isinstance(faults, list) else ""
        return Cell(f"✖ {number}wrong", "bad")
    expected = export.record.get("as_expected")
    if expected is True:
        return Cell("● as expected", "good")
    return Cell("▲ below expectation", "warning") if expected is False else Cell("○ unknown", "none")


def _export(run: RunData, export: FoundExport) -> Markup:
    record = export.record
    about = record["about"]
    title = f"{_text(about.get('format'))} ({export.name})"
    remarks: List[Content] = []
    if not export.is_own:
        remarks.append(element("p", f"Exported from another run ({_text(about.get('run'))}).", class_="missing"))
    step = about.get("step")
    if export.is_own and is_count(step) and step != run.outcome.step:
        checkpoint = _text(about.get("checkpoint"))
        remarks.append(
            element("p", f"Exported from the state after step {step:,} (checkpoint {checkpoint}), not from the newest.")
        )
    if _not_run(record):
        reason = _not_run(record).rstrip(".")
        remarks.append(
            element(
                "p",
                f"NOT RUN: {reason}. The comparisons are of the model that was written to the file.",
                class_="grave",
            )
        )
    remarks += [element("p", "WRONG: " + _text(fault), class_="grave") for fault in texts(record, "faults")]
    notes = _scores_and_sizes(record) + ["Note: " + _text(note) for note in texts(record, "notes")]
    return element(
        "section",
        element("h3", title),
        remarks,
        _outputs(record),
        bullets(notes),
        _layers(record),
        _tensors(record),
        class_="card",
    )


def _outputs(record: Dict[str, Any]) -> Optional[Markup]:
    outputs = named_rows(record, "outputs")
    if not outputs:
        return None
    keys = list(dict.fromkeys(key for _, row in outputs for key in row if isinstance(key, str)))[:8]
    heads = [Head("Compared")] + [Head(_NAMES.get(key, _text(key)), is_number=True) for key in keys]
    examples: Any = record.get("examples")
    caption = "Outputs" + (f" for {count(examples, 'held-out example')}" if is_count(examples) else "")
    shown = [[_text(name)] + [_number(key, row.get(key)) for key in keys] for name, row in outputs]
    return table(caption, heads, shown)


def _scores_and_sizes(record: Dict[str, Any]) -> List[Content]:
    metric = METRICS.get(str(record.get("metric")), ACCURACY)
    found, sizes = numbers(record, metric.name), numbers(record, "bytes")
    items: List[Content] = []
    if found:
        scores = metric.listing({_text(name): value for name, value in found.items()})
        items.append(f"{metric.capitalized_title}: {scores}")
    if sizes:
        items.append("Size: " + ", ".join(f"{_text(name)} {bytes_text(value)}" for name, value in sizes.items()))
    bar = {**numbers(record, "reached"), **numbers(record, "bar")}
    if bar:
        items.append(
            "Expected: "
            + ", ".join(
                f"{_NAMES.get(name, _text(name)).lower()} at {'most' if name in _AT_MOST else 'least'} "
                f"{_number(name, value)}"
                for name, value in bar.items()
            )
        )
    return items


def _layers(record: Dict[str, Any]) -> Optional[Markup]:
    """Return the table by layer: in the whole network, and separately with the same input codes as in the file."""
    layers = rows(record, "layers")
    if not layers:
        return None
    heads = [Head("Layer"), Head("Operation")] + [
        Head(text, about, True)
        for text, about in (
            ("Identical", "Identical codes in the whole network"),
            ("Largest", "Largest difference in codes in the whole network"),
            ("Separately", "Identical codes if the layer's input codes are those in the file"),
            ("Largest", "Largest difference in codes if the layer's input codes are those in the file"),
            ("Unexplained", "Codes whose difference exceeds that of rounding"),
        )
    ]
    shown = []
    for layer in layers[:_MAX_ROWS]:
        whole, own = ({} if not isinstance(layer.get(key), dict) else layer[key] for key in ("whole", "own"))
        unexplained = layer.get("unexplained")
        shown.append(
            [_text(layer.get("layer")), _text(layer.get("operation"))]
            + [_number(key, part.get(key)) for part in (whole, own) for key in ("identical", "largest")]
            + [Cell(_number("", unexplained), "bad" if unexplained else None)]
        )
    shown_table = table("File compared with simulator, by layer", heads, shown)
    return folded(f"By layer: {count(len(layers), 'layer')}", shown_table, _rest(len(layers), "layer"))


def _tensors(record: Dict[str, Any]) -> Optional[Markup]:
    """Return the table by tensor of an export that contains quantization parameters only."""
    tensors = rows(record, "tensors")
    if not tensors:
        return None
    heads = [Head("Tensor"), Head("Bits", "", True), Head("Codes", "", True)]
    heads += [Head(_NAMES[key], "", True) for key in ("identical", "largest")]
    shown = []
    for tensor in tensors[:_MAX_ROWS]:
        found: Any = tensor.get("found") if isinstance(tensor.get("found"), dict) else {}
        bits = "float" if tensor.get("num_bits") is None else _number("num_bits", tensor["num_bits"])
        shown.append(
            [_text(tensor.get("name")), bits, _number("codes", tensor.get("codes"))]
            + [_number(key, found.get(key)) for key in ("identical", "largest")]
        )
    shown_table = table("Quantization parameters in the file compared with those of the run", heads, shown)
    return folded(f"By tensor: {count(len(tensors), 'tensor')}", shown_table, _rest(len(tensors), "tensor"))


def _rest(number: int, thing: str) -> Optional[Markup]:
    """Return a text on the rows beyond `_MAX_ROWS`; None if all are shown."""
    return element("p", f"Not shown: {count(number - _MAX_ROWS, 'more ' + thing)}.") if number > _MAX_ROWS else None


def _number(key: str, value: Any) -> str:
    """Return a value from a proof in the format of its key; a dash for None."""
    if is_number(value):
        return proof_number(key, value)
    return UNKNOWN if value is None else _text(value)


def _text(value: Any) -> str:
    """Return a value from a proof as text of limited length; a dash for None."""
    if value is None:
        return UNKNOWN
    text = str(value)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
