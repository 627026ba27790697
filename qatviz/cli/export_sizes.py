"""``qatviz export --dry-run``: sizes of exports, without writing them."""

# A separate module, because the command that writes exports does not use it.

import json
from typing import Any, Dict, List, Mapping, Sequence

from qatviz.cli.messages import OK, print_output
from qatviz.cli.tables import table
from qatviz.errors import ExportError
from qatviz.export.formats import Format
from qatviz.export.source import ExportSource
from qatviz.number_format import bytes_text, names_text
from qatviz.option_names import option_name
from qatviz.presentation.export_sizes import ExportSize
from qatviz.session.sizes import export_size

_LEGEND = (
    "sizes of the files (c: of its constants), without proof and README; packed: two weights of up to 4 bits per byte, "
    "with the options in brackets"
)


def print_sizes(source: ExportSource, formats: Sequence[Format], options: Mapping[str, Any], as_json: bool) -> int:
    """Print the sizes of the exports of a state in these formats, of which a single one may have options."""
    found: Dict[str, Any] = {}
    for form in formats:
        try:
            found[form.name] = export_size(form, source, options)
        except ExportError as error:
            found[form.name] = str(error)
    if as_json:
        print_output(json.dumps([_record(name, size) for name, size in found.items()]))
        return OK
    print_output(table(("format", "size", "packed", ""), [_row(name, size) for name, size in found.items()], (0, 2, 3)))
    print_output(f"\n{_LEGEND}")
    sizes = [size for size in found.values() if isinstance(size, ExportSize)]
    if sizes and sizes[0].few:
        print_output(f"weights of up to 4 bits ({names_text(sizes[0].few)}) in 8-bit storage save nothing")
    for note in sizes[0].notes if len(formats) == 1 and sizes else ():
        print_output(f"note: {note}")
    return OK


def _row(name: str, size: Any) -> List[str]:
    if not isinstance(size, ExportSize):
        return [name, "-", "", size]
    others = [f"{bytes_text(size.plain)} (not packed)"] if size.few and size.chosen else []
    others += [f"{bytes_text(packing.nbytes)} ({_switches(packing.options)})" for packing in size.unchosen]
    return [name, bytes_text(size.nbytes), ", ".join(others), ""]


def _switches(options: Mapping[str, Any]) -> str:
    return " ".join(
        option_name(name) if value is True else f"{option_name(name)} {value}" for name, value in options.items()
    )


def _record(name: str, size: Any) -> Dict[str, Any]:
    if not isinstance(size, ExportSize):
        return {"format": name, "bytes": None, "without_packing": None, "packed": [], "notes": [], "refused": size}
    packed = [{"options": dict(packing.options), "bytes": packing.nbytes} for packing in size.packings]
    return {
        "format": name,
        "bytes": size.nbytes,
        "without_packing": size.plain,
        "packed": packed,
        "notes": size.notes,
        "refused": None,
    }
