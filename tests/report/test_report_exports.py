"""Proofs of exports: search, section of the report, and untrusted content."""

import json
import os
import random

import pytest
from report_cases import Page, recorded

from qatviz.report import export_section, exports
from qatviz.report.exports import find_exports
from qatviz.report.page import page
from qatviz.report.run_data import read_run
from qatviz.telemetry.record.run_record import RunRecord

HOSTILE = "<img src=x onerror=alert(1)>"


def proof(**changes):
    """Return a proof in the form of ``ParityReport.to_record``."""
    return dict(
        {
            "about": {
                "format": "TFLite int8",
                "runtime": "an interpreter",
                "network": "mlp",
                "run": "r1",
                "checkpoint": "final",
                "step": 4,
            },
            "examples": 200,
            "layer_examples": 50,
            "outputs": {
                "file to evaluation graph": {"identical": 0.99999, "largest": 1, "top1": 1.0},
                "file to simulator": {"identical": 0.5, "largest": 7, "top1": 0.75},
            },
            "layers": [
                {
                    "layer": "dense1",
                    "operation": "Dense",
                    "whole": {"identical": 0.98, "largest": 2},
                    "own": {"identical": 1.0, "largest": 0},
                    "unexplained": 0,
                }
            ],
            "accuracy": {"float": 0.9701, "file": 0.9602},
            "bytes": {"file": 219696, "float32 parameters": 861480},
            "notes": ["weights are spread"],
            "faults": [],
            "reached": {"identical": 0.85, "largest": 2, "top1": 0.995},
            "as_expected": True,
        },
        **changes,
    )


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "runs" / "a"
    recorded(path, lambda run: run.advance(4), run_id="r1")
    return path


def page_of(directory):
    return Page(page(read_run(RunRecord.read(directory))))


def test_proofs_in_the_directory_and_beside_it_are_found(directory):
    write(directory / "net.parity.json", proof())
    write(directory / "deep" / "er" / "model" / "parity.json", proof())
    write(directory.parent / "beside.parity.json", proof())
    write(directory.parent / "saved" / "parity.json", proof())
    write(directory.parent / "others.parity.json", proof(about={"run": "r2"}))
    write(directory.parent / "b" / "net.parity.json", proof())
    write(directory / "parity.json.txt", "no proof")
    found = find_exports(directory, "r1")
    assert [export.name for export in found] == [
        "deep/er/model/parity.json",
        "net.parity.json",
        "../beside.parity.json",
        "../saved/parity.json",
    ]
    assert all(export.is_own and not export.problem for export in found)
    assert [export.is_own for export in find_exports(directory, "r2")] == [False, False, True]
    assert not any(export.is_own for export in find_exports(directory, None))


def test_the_content_of_a_proof_is_shown(directory):
    write(directory / "net.parity.json", proof())
    found = page_of(directory)
    assert found.tables["Exports"][1] == [
        "net.parity.json",
        "TFLite int8",
        "an interpreter",
        "4",
        "220 kB",
        "99.99 %",
        "1",
        "100.00 %",
        "● as expected",
    ]
    assert found.tables["Outputs for 200 held-out examples"][2] == ["file to simulator", "50.00 %", "7", "75.00 %"]
    layers = found.tables["File compared with simulator, by layer"]
    assert layers[1] == ["dense1", "Dense", "98.00 %", "2", "100.00 %", "0", "0"]
    assert "Expected: identical codes at least 85.00 %, largest difference at most 2, same top-1 at least" in found.text
    for text in ("Accuracy: float 97.01 %, file 96.02 %", "file 220 kB, float32 parameters 861 kB", "are spread"):
        assert text in found.text
    assert "another run" not in found.text and "not from the newest" not in found.text


def test_faults_and_other_steps_and_runs_are_shown(directory):
    write(directory / "a.parity.json", proof(faults=["layer 'dense1' is off"], as_expected=False))
    about = dict(proof()["about"], step=2, checkpoint="before")
    write(directory / "b.parity.json", proof(as_expected=False, about=about))
    write(directory / "c.parity.json", proof(about={"run": "r2"}))
    found = page_with_numbered_captions(directory)
    assert [row[-1] for row in found.tables["Exports"][1:]] == [
        "✖ 1 operation wrong",
        "▲ below expectation",
        "● as expected",
    ]
    assert "WRONG: layer 'dense1' is off" in found.text
    assert "Exported from the state after step 2 (checkpoint before), not from the newest." in found.text
    assert "Exported from another run (r2)." in found.text


def page_with_numbered_captions(directory):
    """Parse the page after numbering the captions that several exports have in common."""
    html = page(read_run(RunRecord.read(directory)))
    start = html.index('id="exports"')
    for number in range(9):
        for caption in ("Outputs for", "File compared with simulator"):
            place = html.find("<caption>" + caption, start)
            if place >= 0:
                html = html[:place] + f"<caption>{number} " + html[place + len("<caption>") :]
    return Page(html)


def test_regression_has_no_top_1_and_another_metric(directory):
    outputs = {"file to evaluation graph": {"identical": 1.0, "largest": 0, "top1": None}}
    record = proof(metric="rmse", rmse={"float": 0.0123, "file": 0.0125}, outputs=outputs)
    del record["accuracy"]
    write(directory / "net.parity.json", record)
    found = page_of(directory)
    assert found.tables["Exports"][1][-2] == "–" and "RMSE: float 0.0123, file 0.0125" in found.text


def test_no_comparison_is_shown_for_a_file_that_was_not_run(directory):
    outputs = {"simulator to evaluation graph": {"identical": 1.0, "largest": 0, "top1": 1.0}}
    write(directory / "net.parity.json", proof(outputs=outputs, layers=[], not_run="there is no <C> compiler."))
    found = page_of(directory)
    assert found.tables["Exports"][1][5:] == ["–", "–", "–", "○ not run"]
    assert (
        "NOT RUN: there is no <C> compiler. The comparisons are of the model that was written to the file."
        in found.text
    )


def test_exports_of_quantization_parameters_are_shown_by_tensor(directory):
    tensors = [
        {
            "name": "a",
            "kind": "weights",
            "num_bits": 4,
            "grids": 1,
            "codes": 1234,
            "found": {"identical": 0.5, "largest": 2},
        },
        {"name": "b", "kind": "weights", "num_bits": None, "grids": 0, "codes": 0, "found": None},
    ]
    write(directory / "net.parity.json", {"about": {"format": "encodings"}, "tensors": tensors, "as_expected": False})
    found = page_of(directory)
    assert found.tables["Quantization parameters in the file compared with those of the run"][1:] == [
        ["a", "4", "1,234", "50.00 %", "2"],
        ["b", "float", "0", "–", "–"],
    ]
    assert found.tables["Exports"][1][5:] == ["–", "–", "–", "▲ below expectation"]


def test_layers_and_tensors_beyond_the_limit_are_counted(directory, monkeypatch):
    monkeypatch.setattr(export_section, "_MAX_ROWS", 2)
    rows = [{"name": str(index), "layer": str(index)} for index in range(5)]
    write(directory / "net.parity.json", {"about": {}, "tensors": rows, "layers": rows[:3]})
    found = page_of(directory)
    tensors = found.tables["Quantization parameters in the file compared with those of the run"]
    layers = found.tables["File compared with simulator, by layer"]
    assert [row[0] for row in tensors[1:]] == [row[0] for row in layers[1:]] == ["0", "1"]
    assert "Not shown: 3 more tensors." in found.text and "Not shown: 1 more layer." in found.text


def test_unknown_keys_of_a_proof_are_shown_unchanged(directory):
    write(
        directory / "net.parity.json",
        {
            "about": {"format": "Keras"},
            "as_expected": True,
            "outputs": {"file to float": {"largest": 0.25, "relative": 1.5e-5, "close": 0.999, "new": 3, "top1": 1.0}},
        },
    )
    found = page_of(directory)
    assert found.tables["Outputs"] == [
        ["Compared", "Largest difference", "Relative difference", "Values within the tolerance", "new", "Same top-1"],
        ["file to float", "0.25", "1.50e-5", "99.90 %", "3", "100.00 %"],
    ]
    assert found.tables["Exports"][1][5:] == ["–", "–", "100.00 %", "● as expected"], "0.25 is no difference in codes"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"about": 3}', "\x00\x01", "[" * 100000, '{"about": {}, "outputs": ' + "[" * 50000],
)
def test_a_damaged_proof_is_listed_by_name(directory, content):
    write(directory / "bad.parity.json", content)
    found = page_of(directory)
    assert (
        "Proofs that cannot be used:" in found.text
        and "bad.parity.json " in found.text
        and "Exports" not in found.tables
    )


def test_folders_broken_links_and_large_files(directory, monkeypatch):
    monkeypatch.setattr(exports, "MAX_BYTES", 100)
    write(directory / "large.parity.json", proof())
    (directory / "folder.parity.json").mkdir()
    os.symlink(str(directory / "nowhere"), str(directory / "link.parity.json"))
    os.symlink(str(directory.parent), str(directory / "loop"))
    found = find_exports(directory, "r1")
    assert [export.name for export in found] == ["large.parity.json", "link.parity.json"]
    assert all(export.problem for export in found)


def test_limits_of_the_search(directory, monkeypatch):
    monkeypatch.setattr(exports, "MAX_PROOFS", 3)
    for number in range(5):
        write(directory / f"{number}.parity.json", proof())
    write(directory / "/".join("abcdefghij") / "parity.json", proof())
    found = find_exports(directory, "r1")
    assert [export.name for export in found] == ["0.parity.json", "1.parity.json", "2.parity.json"]


def mutated(value, chance):
    """Return a JSON value with parts replaced by unexpected values."""
    if chance.random() < 0.12:
        return chance.choice(
            [None, True, -1, 1e308, 2**70, "", HOSTILE, [], {}, [HOSTILE], {HOSTILE: HOSTILE}, "x" * 2000]
        )
    if isinstance(value, dict):
        return {(HOSTILE if chance.random() < 0.05 else key): mutated(part, chance) for key, part in value.items()}
    return [mutated(part, chance) for part in value] if isinstance(value, list) else value


def test_no_content_of_a_proof_breaks_the_page(directory):
    run = read_run(RunRecord.read(directory))
    chance = random.Random(4)
    seen = set()
    for _ in range(200):
        record = mutated(proof(), chance)
        record = dict(record, about=record.get("about")) if isinstance(record, dict) else record
        write(directory / "net.parity.json", record)
        (found,) = find_exports(directory, "r1")
        seen.add(bool(found.problem))
        html = section_of(run, found)
        assert HOSTILE not in html and "x" * 600 not in html
        Page(f"<div>{html}</div>")
    assert seen == {True, False}


def section_of(run, export):
    from dataclasses import replace

    from qatviz.report.export_section import exports as section

    return section(replace(run, exports=(export,)))
