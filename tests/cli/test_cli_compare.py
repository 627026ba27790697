"""``qatviz compare``."""

import pytest
from cli_calls import call, error_of
from recorded_samples import record_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    record_run(folder / "wide-s0")
    record_run(folder / "wide-s1", seed=1)
    record_run(folder / "narrow", bits=4)
    return folder


def runs(folder):
    return [folder / name for name in ("wide-s0", "wide-s1", "narrow")]


def test_settings_that_differ_and_measures_are_printed(folder):
    answer = call("compare", *runs(folder))
    assert answer.code == 0
    listed, settings, measures, group = answer.out.rstrip().split("\n\n")
    assert [line.split()[0] for line in listed.splitlines()] == ["name", "wide-s0", "wide-s1", "narrow"]
    rows = [line.split() for line in settings.splitlines()]
    assert ["seed", "0", "1", "0"] in rows and ["*.weights.num_bits", "8", "8", "4"] in rows and len(rows) == 4
    assert any(line.startswith("accuracy, quantized") and "(-8.00 pp)" in line for line in measures.splitlines())
    assert group == "wide (2 runs): wide-s0, wide-s1"


def test_json_has_curves_of_groups(folder):
    found = call("compare", *runs(folder), "--json").json
    assert [run["name"] for run in found["runs"]] == ["wide-s0", "wide-s1", "narrow"]
    assert [group["runs"] for group in found["groups"]] == [[0, 1], [2]]
    loss = found["groups"][0]["curves"]["loss"]
    assert loss["step"] == list(range(1, 21)) and loss["high"][0] > loss["mean"][0] > loss["low"][0]
    quantized = next(row for row in found["measures"] if row["measure"] == "quantized")
    assert quantized["values"][0] == quantized["values"][1] > quantized["values"][2]


def test_the_html_file_is_written_and_no_other_file_is_replaced(folder, tmp_path):
    path = tmp_path / "compared.html"
    answer = call("compare", *runs(folder), "--html", path)
    assert answer.code == 0 and answer.out.startswith(f"{path}: 3 runs, ")
    assert "wide-s1" in path.read_text(encoding="utf-8")
    assert call("compare", *runs(folder), "--html", path).code == 0, "a report is replaced"
    path.write_text("mine")
    assert "found another file" in error_of("compare", *runs(folder), "--html", path)
    assert path.read_text() == "mine"


def test_what_is_no_run_is_refused(folder, tmp_path):
    assert "not found" in error_of("compare", folder / "narrow", tmp_path)


def test_forks_of_one_checkpoint_are_compared_on_the_same_batches(tmp_path):
    origin = {"run_id": "x", "directory": str(tmp_path / "gone"), "checkpoint": "c", "step": 10}
    for name, bits in (("A", 8), ("B", 4)):
        record_run(tmp_path / name, bits=bits, steps=40, first=10, forked_from=origin)
    answer = call("compare", tmp_path / "A", tmp_path / "B")
    assert answer.code == 0 and "losses on the same batches\nloss, B minus A: 0" in answer.out
    found = call("compare", tmp_path / "A", tmp_path / "B", "--json").json["loss_differences"]
    assert found[0] is None and (found[1]["steps"], found[1]["mean"]) == (30, 0.0)
    assert call("compare", tmp_path / "A", tmp_path / "B", "--html", tmp_path / "c.html").code == 0
    assert "B minus A" in (tmp_path / "c.html").read_text()
