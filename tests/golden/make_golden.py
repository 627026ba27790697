"""Store what the golden tests compare with: ``make_golden.py [exports] [surface] [reports] [shown]``.

Run it only for an intended change: an export with other bytes, a new option of a command, a new key in JSON output, a
new figure in the report. Then read the diff: exports.json and texts/ (exports), surface.json (options, JSON keys, names
of the API), report-*.json (figures and tables of the report) and show-*.json (output of `qatviz show`) may contain
nothing but that change. Without arguments all of them are written.

The runs in records/ are never replaced, see record_runs.py.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import golden_cases as cases
import golden_page
import golden_surface
from golden_content import TEXT_BYTES
from golden_program import Program


def make_exports(program: Program, records: Path, folder: Path) -> None:
    """Store descriptions of all exports, and their texts; texts that are equal once."""
    shutil.rmtree(str(cases.TEXTS), ignore_errors=True)
    stored, texts = {}, {}
    for name, case in cases.CASES.items():
        (folder / name).mkdir()
        found = cases.export(program, records, case, folder / name)
        for path, described in found.items():
            if described["kind"] == "text" and described["bytes"] <= TEXT_BYTES:
                described["text"] = texts.setdefault(described["sha256"], f"{name}/{path}")
                copy = cases.TEXTS / described["text"]
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(folder / name / path), str(copy))
        stored[name] = found
    cases.store(cases.EXPORTS, stored)


def make_surface(program: Program, records: Path, folder: Path) -> None:
    """Store options, JSON keys and names of the API."""
    cases.store(
        golden_surface.STORED,
        {
            "options": golden_surface.options(program),
            "json": golden_surface.json_schemas(program, records, folder),
            "api": program.api(),
        },
    )


def make_reports(program: Program, records: Path, folder: Path) -> None:
    """Store figures and tables of the reports."""
    for run in cases.RUNS:
        cases.store(golden_page.stored(run), golden_page.report(program, records / run, folder / (run + ".html")))


def make_shown(program: Program, records: Path, folder: Path) -> None:
    """Store the output of ``qatviz show`` for the records."""
    for run in cases.RUNS:
        answer = program.call("show", records / run, "--json")
        assert answer.code == 0, answer.err
        cases.store(cases.shown(run), answer.json)


def main() -> None:
    """Store the results that the arguments name."""
    makers = {"exports": make_exports, "surface": make_surface, "reports": make_reports, "shown": make_shown}
    for name in sys.argv[1:] or makers:
        with tempfile.TemporaryDirectory() as folder:
            program = Program(Path(folder))
            try:
                (Path(folder) / "out").mkdir()
                makers[name](program, cases.unpack_records(Path(folder)), Path(folder) / "out")
            finally:
                program.close()


if __name__ == "__main__":
    main()
