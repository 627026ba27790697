"""Records written by version 0.1.0 can be shown, opened, resumed and forked."""

import math
import struct
import zlib

import golden_cases
import pytest
from golden_compare import expect_none, value_differences

from qatviz.telemetry.record.reader import RecordReader

#: Losses that are computed again are compared for the first steps only, with a relative tolerance: the last digits of
#: sums depend on threads and processor, and sooner or later one of them changes a code. (Seen after 19 steps.)
COMPARED_STEPS, LOSS_TOLERANCE = 10, 0.01


def shown(program, record):
    """Return the output of ``qatviz show`` for a record."""
    answer = program.call("show", record, "--json")
    assert answer.code == 0, answer.err
    return answer.json


def trained(program, run, *arguments):
    """Return the result of ``qatviz train`` with the stored data of a run."""
    answer = program.call("train", *arguments, "--data", golden_cases.data_of(run), "--quiet", "--json")
    assert answer.code == 0, answer.err
    return answer.json


def losses_after(record, step):
    """Return the recorded losses of the steps that follow ``step``, COMPARED_STEPS at most."""
    series = RecordReader(record).steps(step + 1, step + COMPARED_STEPS)
    assert list(series.steps) == list(range(step + 1, step + 1 + COMPARED_STEPS))
    return list(series.loss)


def changes_in(told, first=0):
    """Return which settings changed when, from a step on."""
    return [(change["step"], change["setting"], change["new"]) for change in told["events"] if change["step"] >= first]


@pytest.mark.parametrize("run", golden_cases.RUNS)
def test_show_reads_everything_recorded(run, program, records):
    lines = value_differences(golden_cases.load(golden_cases.shown(run)), shown(program, records / run))
    expect_none(lines, f"`qatviz show` of {run} has changed:")
    assert program.call("show", records / run).code == 0


@pytest.mark.parametrize("run", golden_cases.RUNS)
def test_an_evaluation_equals_the_reference_scores_of_exports(run, program, records, tmp_path):
    """An evaluation without changes gives the scores with which exports of the same checkpoint are compared."""
    data = ("--data", golden_cases.data_of(run), "--json")
    told = program.call("evaluate", records / run, *data)
    assert told.code == 0, told.err
    metric, before = told.json["metric"], shown(program, records / run)
    out = tmp_path / "run.npz"
    proof = program.call("export", records / run, *data, "--format", "npz", "--verify", 64, "--out", out).json
    scores = {"float": "float", "quantized": "evaluation graph"}
    assert {mode: told.json[metric][mode] for mode in scores} == pytest.approx(
        {mode: proof[metric][name] for mode, name in scores.items()}, rel=1e-5
    )
    assert told.json["changes"] == [] and told.json["checkpoint"] == proof["about"]["checkpoint"]
    *_, newest = (dict(row) for row in before["evaluations"] if row["step"] <= told.json["step"])
    assert told.json["recorded"] == {"step": newest.pop("step"), metric: newest}
    in_float = program.call("evaluate", records / run, *data, "--preset", "float").json
    assert set(in_float[metric].values()) == {told.json[metric]["float"]}
    expect_none(value_differences(before, shown(program, records / run)), "an evaluation has changed the record:")


def test_a_stopped_run_continues_with_its_planned_changes(program, records):
    record = records / "shapes"
    before = shown(program, record)
    assert before["step"] == 40 and before["ending"] == "stopped"
    result = trained(program, "shapes", "--resume", record)
    after = shown(program, record)
    for told in (result, after):
        assert (told["step"], told["ending"]) == (60, "finished") and math.isfinite(told["loss"])
    assert changes_in(after)[: len(changes_in(before))] == changes_in(before)
    tensors = [tensor["name"] for tensor in before["tensors"] if tensor["kind"] == "activations"]
    assert sorted(changes_in(after, 40)) == sorted(
        [(50, "run.learning_rate", 0.002)] + [(50, name + ".ema_decay", 0.9) for name in tensors]
    )
    assert [row["step"] for row in after["evaluations"]] == [15, 30, 45, 60]
    assert after["evaluations"][:2] == before["evaluations"]
    names = [info["name"] for info in after["checkpoints"]]
    assert "final-00000060" in names and {"good", "wide", "channels"} <= set(names)


def test_a_killed_run_repeats_the_steps_after_its_last_checkpoint(program, records):
    record = records / "pairs"
    before = shown(program, record)
    assert before["step"] == 33 and not before["ending"]
    assert max(info["step"] for info in before["checkpoints"]) == 22
    losses = losses_after(record, 22)
    result = trained(program, "pairs", "--resume", record, "--steps", 33)
    assert (result["step"], result["ending"]) == (33, "finished")
    assert (
        changes_in(result, 22)
        == changes_in(before, 22)
        == [(28, "dense1.activations.symmetric", True), (28, "numbers.weights.range_method", "mse")]
    )
    assert losses_after(record, 22) == pytest.approx(losses, rel=LOSS_TOLERANCE)
    result = trained(program, "pairs", "--resume", record, "--steps", 45)
    assert result["step"] == 45 and changes_in(result, 29) == [(40, "run.learning_rate", 0.001)]


def test_a_run_is_resumed_from_a_named_checkpoint(program, records):
    record = records / "shapes"
    result = trained(program, "shapes", "--resume", record, "--checkpoint", "channels", "--steps", 27)
    after = shown(program, record)
    settings = {tensor["name"]: tensor for tensor in after["tensors"]}
    assert result["step"] == after["step"] == 27
    assert settings["dense1.weights"]["per_channel"] and settings["dense1.weights"]["num_bits"] == 8
    assert {tensor["num_bits"] for tensor in after["tensors"] if tensor["kind"] == "activations"} == {6}
    assert after["settings"]["run"]["learning_rate"] == 0.02


def test_a_fork_repeats_the_run_from_a_checkpoint(program, records, tmp_path):
    fork = tmp_path / "fork"
    result = trained(
        program,
        "shapes",
        "--fork",
        f"{records / 'shapes'}@good",
        "--out",
        fork,
        "--steps",
        40,
        "--set",
        "24:dense1.weights.num_bits=4,pointwise.weights.range_method=percentile",
    )
    before, after = shown(program, records / "shapes"), shown(program, fork)
    assert result["step"] == after["step"] == 40 and result["ending"] == "finished"
    assert losses_after(fork, 18) == pytest.approx(losses_after(records / "shapes", 18), rel=LOSS_TOLERANCE)
    assert changes_in(after) == changes_in(before, 24)
    origin = after["description"]["forked_from"]
    assert (origin["checkpoint"], origin["step"]) == ("good", 18)
    assert origin["run_id"] == before["description"]["run_id"] != after["description"]["run_id"]
    assert next(info["name"] for info in after["checkpoints"]) == "start-00000018"
    assert shown(program, records / "shapes") == before


@pytest.mark.parametrize("run", golden_cases.RUNS)
def test_the_window_opens_a_record(run, program, records, tmp_path):
    picture = tmp_path / "window.png"
    answer = program.call("screenshot", "--record", records / run, "--out", picture, "--size", "1000x700")
    assert answer.code == 0, answer.err
    assert len(set(pixels(picture))) > 50


def pixels(path):
    """Return the bytes of an 8-bit PNG's rows."""
    content, at, packed = path.read_bytes(), 8, b""
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            packed += content[at + 8 : at + 8 + length]
        at += length + 12
    return zlib.decompress(packed)
