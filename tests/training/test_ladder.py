"""Bit ladder: its rungs are changes of settings at steps that evaluations, or a number of steps, determine."""

from dataclasses import replace

import pytest
from small_runs import spec
from training_cases import Driver

from qatviz.low_bit_settings import LADDER_BITS
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Resume, SingleStep, Undo
from qatviz.protocol.run_state import LadderState, RunState
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.ladder import has_recovered, next_bits, rung

RUN = {"evaluation_interval": 10, "ladder": True}


def laddered(steps=None, run=None, **settings):
    wide = {"weights": {"num_bits": 8}, "activations": {"num_bits": 8}}
    return spec(run=dict(RUN, **(run or {})), steps=steps, **{**wide, **settings})


def rungs(items):
    """Return steps and assignments of the changes of settings."""
    return [
        (event.step, dict(event.command.assignments))
        for event in items
        if isinstance(event, events.CommandApplied) and isinstance(event.command, ChangeSettings)
    ]


def trained(run_spec, record=None):
    with Driver(run_spec, record) as driver:
        assert isinstance(driver.finish(), events.Finished)
    return driver


@pytest.mark.parametrize(
    "score, reference, higher, expected",
    [
        (95.0, 96.0, True, False),
        (95.1, 96.0, True, True),
        (97.0, 96.0, True, True),
        (1.005, 1.0, False, True),
        (1.02, 1.0, False, False),
        (float("nan"), 96.0, True, False),
        (-1.005, -1.0, True, True),
    ],
)
def test_a_result_has_recovered_within_a_percent(score, reference, higher, expected):
    assert has_recovered(score, reference, 1.0, higher) is expected


def test_rungs_lower_only_tensors_with_more_bits():
    book, _ = spec(weights={"num_bits": 8}, activations={"num_bits": 8}).book.change(
        (("dense1.weights.num_bits", 4), ("input.activations.enabled", False))
    )
    assert next_bits(book) == 6
    assert dict(rung(book, 6)) == {"logits.weights.num_bits": 6, **_bits_of(book, 6)}
    assert dict(rung(book, 3)) == {"*.weights.num_bits": 3, **_bits_of(book, 3)}
    only = replace(book, run=replace(book.run, ladder_tensors="weights", ladder_lowest=4))
    assert dict(rung(only, 4)) == {"logits.weights.num_bits": 4}
    assert next_bits(only.change((("*.weights.num_bits", 4),))[0]) is None
    wide, _ = book.change((("logits.weights.num_bits", 12),))
    assert next_bits(wide) == 8


def test_weights_whose_map_chooses_the_codes_are_on_the_lowest_rung():
    """Their number of bits has no effect: they would only delay the rungs of the others."""
    weights_only = spec(run={"ladder_tensors": "weights"}).book
    book, _ = weights_only.change((("dense1.weights.weight_map", "ternary"), ("logits.weights.num_bits", 4)))
    assert book.of("dense1.weights").num_bits == 8
    assert next_bits(book) == 3
    assert rung(book, 3) == (("logits.weights.num_bits", 3),)


def _bits_of(book, bits):
    names = [t.name for t in book.plan.tensors if t.kind == "activations" and t.name != "input.activations"]
    return {name + ".num_bits": bits for name in names}


def test_without_evaluations_a_rung_is_taken_after_a_number_of_steps():
    driver = trained(laddered(30, {"evaluation_interval": 0, "ladder_steps": 5}))
    bits = LADDER_BITS[LADDER_BITS.index(8) + 1 :]
    both = [{"*.weights.num_bits": n, "*.activations.num_bits": n} for n in bits]
    both[-1]["run.ladder"] = False
    assert rungs(driver.news) == list(zip(range(5, 30, 5), both))
    assert {s.num_bits for s in driver.run.final.book.quantizers} == {2}
    assert not driver.run.final.book.run.ladder and driver.run.final.ladder is None
    ids = [e.id for e in driver.events(events.CommandApplied)]
    assert len(set(ids)) == len(ids) == 4 and all(ids)


def test_a_rung_waits_until_evaluations_have_recovered():
    """With a network that has learned its data, the first evaluation after a rung has, if the bits suffice."""
    driver = trained(laddered(200, {"ladder_lowest": 4, "ladder_tolerance": 20.0}))
    taken, found = rungs(driver.news), {e.step: e.scores["quantized"] for e in driver.events(events.Evaluated)}
    assert [change["*.weights.num_bits"] for _, change in taken] == [6, 4]
    since, best = 0, 0.0
    for step, _ in taken:
        known = {at: score for at, score in found.items() if at < step}
        best = max(known.values())
        recovered = [at for at, score in known.items() if at >= since and score >= 0.8 * best]
        assert recovered, "no evaluation had recovered"
        since = step


def test_runs_of_equal_seed_take_equal_rungs():
    first, second = (trained(laddered(120, {"ladder_tolerance": 10.0})) for _ in range(2))
    assert rungs(first.news) == rungs(second.news) != []


def test_undo_of_a_rung_waits_again():
    # Paused between two rungs: otherwise, the second one could be taken before the commands arrive.
    with Driver(laddered(run={"evaluation_interval": 0, "ladder_steps": 20}), paused=True) as driver:
        since = len(driver.news)
        driver.send(SingleStep(30))
        assert driver.until_event(events.Paused, since=since).step == 30
        driver.send(ChangeSettings((("run.ladder", False),)))
        driver.send(Undo())  # of the switch
        answer = driver.send(Undo())
        restored = driver.events(events.Restored)[-1]
        assert restored.step == 20 and answer.changes
        bits = {c.new for c in answer.changes if c.setting.endswith("num_bits")}
        assert bits == {8}
        since = len(driver.news)
        driver.send(Resume())
        again = driver.until(lambda i: isinstance(i, events.CommandApplied) and "num_bits" in str(i.command), since)
        assert again.step == 40


def test_the_ladder_is_a_part_of_the_state(tmp_path):
    run_spec = laddered(45, {"evaluation_interval": 0, "ladder_steps": 20})
    record = RunRecord.create(tmp_path / "run", run_spec.description())
    driver = trained(run_spec, record)
    reader = RunRecord.read(tmp_path / "run")
    arrays, meta = reader.load_checkpoint(driver.run.final.name)
    state = RunState.from_checkpoint("final", arrays, meta, run_spec.plan)
    assert state.ladder == driver.run.final.ladder == LadderState(40, state.ladder.reference)
    resumed = trained(replace(run_spec, start=state, steps=70))
    assert [step for step, _ in rungs(resumed.news)] == [60]
