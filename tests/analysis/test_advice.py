"""Advice: an offered change brings the improvement that it promises."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_causes import SITUATIONS, Case
from value_facts import facts_of_values, grid_of, histogram_of, tensor_of

from qatviz.analysis.advice import MARGIN_DB, Member, best_offer, candidates, estimated_trials, trials
from qatviz.analysis.causes import clipping
from qatviz.analysis.verdict import verdict
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.snapshots import Snapshot
from qatviz.quant.measures import measure
from qatviz.settings import quantizer_settings


def offer_of(values, kind="weights", given=(0.0, 0.0), partners=(), held=False, **settings):
    values = np.float32(values).reshape(len(values), -1)
    members = [Member(tensor_of(values, kind), values)]
    members += [Member(tensor_of(other, kind), other) for other in partners]
    kept = np.float32(given[:1]), np.float32(given[1:])
    return best_offer(trials(members, quantizer_settings(kind, **settings), kept, False, held))


def test_symmetric_off_for_values_on_one_side_of_0():
    values = np.append(np.random.RandomState(0).uniform(0.02, 0.26, 64 * 64 - 1), -6e-6)
    found = offer_of(values, symmetric=True)
    assert found.text == "Symmetric off: SQNR 48.3 dB → 54.5 dB"


def test_no_range_is_offered_for_an_output_whose_range_is_fixed():
    values = np.append(np.random.RandomState(0).uniform(0, 0.02, 4000), 0.9)
    tensor = tensor_of(values, "activations")
    settings = quantizer_settings("activations", symmetric=True)
    assert "range_method" in [name for name, _ in candidates(tensor, settings)]
    assert candidates(replace(tensor, fixed_range="sigmoid"), settings) == [("symmetric", False)]


def test_a_fixed_range_is_not_called_an_average():
    values = np.random.RandomState(0).uniform(0, 0.1, 2000)
    case = Case(values, "activations", (0, 1.0))
    tensor, facts = replace(case.tensor, fixed_range="sigmoid"), facts_of_values(case.values, case.grid)
    assert "moving average" in clipping(facts, case.measures, case.tensor, case.settings)
    assert clipping(facts, case.measures, tensor, case.settings).endswith("It is fixed by TFLite's sigmoid.")
    assert "average" in case.text
    assert "average" not in verdict(case.measures, tensor, case.settings, facts=facts).text


def test_changes_without_improvement_are_not_offered():
    """Values on one side of 0: neither least squared error nor ranges per channel are offered."""
    values = np.random.RandomState(0).uniform(0.02, 0.26, [64, 64])
    assert offer_of(values, symmetric=False, per_channel=True) is None


def test_more_bits_are_offered_only_for_large_errors_without_other_remedy():
    uniform = np.random.RandomState(0).uniform(-1, 1, [2000, 1])
    assert offer_of(uniform, num_bits=2).setting == "num_bits"
    assert offer_of(uniform, num_bits=8) is None
    spread = np.random.RandomState(0).standard_normal([500, 8]) * 10.0 ** -np.arange(8)
    assert offer_of(spread, num_bits=3).setting != "num_bits"


def test_no_more_bits_are_offered_than_bring_something():
    """Where values are clipped, 16 bits bring hardly more than 6."""
    values = np.random.RandomState(0).uniform(0, 1, [6000, 1])
    found = offer_of(values, "activations", given=(0, 0.8), num_bits=2, held=True)
    assert (found.setting, found.value) == ("num_bits", 6)


def test_nothing_is_offered_for_values_whose_error_a_run_cannot_measure():
    values = np.random.RandomState(0).uniform(0.02, 0.26, [64, 64])
    assert offer_of(values, symmetric=True) is not None and offer_of(1e-30 * values, symmetric=True) is None


def test_changes_that_harm_another_tensor_of_the_grid_are_not_offered():
    """Three levels suit values of -1, 0 and 1 exactly; a full range suits a uniform tensor of their group better."""
    uniform = np.random.RandomState(0).uniform(0, 1, [2000, 1])
    exact = np.float32(np.random.RandomState(1).choice([-1, 0, 1], [2000, 1]))
    settings = {"given": (-1, 1), "narrow_range": True, "num_bits": 2, "held": True}
    assert offer_of(uniform, "activations", **settings).setting == "narrow_range"
    together = offer_of(uniform, "activations", partners=[exact], **settings)
    assert together is None or together.setting != "narrow_range"


@hypothesis_settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.sampled_from(sorted(SITUATIONS)),
    st.sampled_from([(60, 1), (2000, 1), (200, 8)]),
    st.sampled_from([2, 4, 8]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_an_offered_change_brings_the_promised_improvement(
    seed, situation, shape, num_bits, symmetric, narrow, power_of_two
):
    values = np.float32(SITUATIONS[situation](np.random.RandomState(seed), *shape))
    settings = {"num_bits": num_bits, "symmetric": symmetric, "narrow_range": narrow, "power_of_two": power_of_two}
    found = offer_of(values, **settings)
    if found is None:
        return
    before, after = [
        measure(values, grid_of(values, quantizer_settings("weights", **chosen))).sqnr_db
        for chosen in (settings, {**settings, found.setting: found.value})
    ]
    assert found.before == pytest.approx(before, abs=0.01) and found.after == pytest.approx(after, abs=0.01)
    assert after >= before + MARGIN_DB


@pytest.mark.parametrize("channels", [1, 16, 512])
@pytest.mark.parametrize("num_bits", [2, 3])
def test_an_offer_estimated_from_a_histogram_is_not_too_optimistic(channels, num_bits):
    values = np.float32(np.random.RandomState(0).standard_normal([16384 // channels * 4, channels]))
    settings = quantizer_settings("weights", num_bits=num_bits, per_channel=True, range_method="mse")
    plan = QuantizationPlan((), (tensor_of(values),), ((0,),), {})
    snapshot = Snapshot(
        1,
        0.0,
        np.zeros([0, 1]),
        {"layer.weights": histogram_of(values, grid_of(values, settings))},
        (num_bits,),
        (True,),
    )
    found = best_offer(estimated_trials(snapshot, plan, "layer.weights", settings))
    chosen = replace(settings, **{found.setting: found.value})
    assert found.is_estimate and "≈" in found.text
    before, after = [measure(values, grid_of(values, used)).sqnr_db for used in (settings, chosen)]
    # Substitutes have more extreme values than the tensor, so that too little is promised, not too much.
    assert after - 3.5 < found.after < after + 0.5 and after >= before + MARGIN_DB


TAILS = np.float32(np.abs(np.random.RandomState(2).standard_t(3, [6000, 1])))


def test_range_methods_of_activations_are_tried():
    """With few bits, a range of least squared error is offered for a long tail, and brings what it promises."""
    high = float(TAILS.max())
    found = offer_of(TAILS, "activations", given=(0, high), num_bits=3, range_method="extremes")
    assert (found.setting, found.value) == ("range_method", "mse") and found.is_estimate
    assert found.text.startswith("Range Least squared error (MSE): SQNR ≈ ")
    before, after = [
        measure(TAILS, grid_of(TAILS, quantizer_settings("weights", num_bits=3, range_method=method))).sqnr_db
        for method in ("min_max", "mse")
    ]
    assert found.before == pytest.approx(before, abs=0.1) and found.after == pytest.approx(after, abs=0.2)


def test_a_moving_average_that_clips_is_answered_with_the_extremes():
    values = np.random.RandomState(3).uniform(0, 1, [3000, 1])
    found = offer_of(values, "activations", given=(0, 0.7), num_bits=8)
    assert found.setting == "range_method" and found.after > 45
    frozen = offer_of(values, "activations", given=(0, 0.7), num_bits=8, held=True)
    assert frozen is None or frozen.setting != "range_method"


def test_a_method_that_is_in_use_is_judged_by_the_range_in_effect():
    """The range that the run found in its batches, not the one that these values would give."""
    found = offer_of(TAILS, "activations", given=(0, 0.5), num_bits=4, range_method="mse")
    clipped = np.minimum(TAILS, 0.5)
    noise = float(np.mean((TAILS - clipped) ** 2))
    assert found.before == pytest.approx(10 * np.log10(np.mean(TAILS**2) / noise), abs=0.2)


def test_tensors_of_one_grid_get_one_range():
    """A range method is judged on the range of all values of the group."""
    small = np.float32(np.random.RandomState(4).uniform(0, 0.01, [500, 1]))
    alone = offer_of(small, "activations", given=(0, 1.0), num_bits=8)
    assert alone.value == "extremes" or alone.after > 45
    wide = np.float32(np.random.RandomState(5).uniform(0, 1, [500, 1]))
    together = offer_of(small, "activations", given=(0, 1.0), partners=[wide], num_bits=8)
    assert together is None or together.setting != "range_method" or together.after < 30


DISTRIBUTIONS = {
    "normal": lambda random, count: random.standard_normal(count),
    "uniform": lambda random, count: random.uniform(0.0, 3.0, count),
    "long tails": lambda random, count: random.standard_t(4, count),
    "relu": lambda random, count: np.maximum(random.standard_normal(count), 0.0),
}


def test_an_offer_from_few_values_promises_no_more_than_the_run_attains():
    """A range found in the 32 outputs of a Dense(1), and measured on them, would promise up to 7 dB too much."""
    excess = []
    for distribution, num_bits, count, seed in itertools.product(DISTRIBUTIONS.values(), (4, 8), (32, 320), range(3)):
        everything = np.float32(distribution(np.random.RandomState(seed), 20000)).reshape(-1, 1)
        given = min(0.5 * everything.min(), 0), 0.5 * everything.max()
        found = offer_of(everything[:count], "activations", given=given, num_bits=num_bits)
        if found is not None and found.setting == "range_method":
            wanted = quantizer_settings("activations", num_bits=num_bits, range_method=found.value)
            excess.append(found.after - measure(everything, grid_of(everything, wanted)).sqnr_db)
            assert found.is_estimate and found.text.endswith(" or more")
    assert len(excess) > 20 and max(excess) < 2.5 and np.percentile(excess, 75) < 0


def test_offers_of_other_settings_from_few_values_promise_no_more_either():
    """But for long tails, of which few values lack those that a range clips."""
    excess, kinds = [], set()
    names = sorted(set(DISTRIBUTIONS) - {"long tails"})
    for name, symmetric, count, seed in itertools.product(names, (False, True), (32, 320), range(5)):
        everything = np.float32(DISTRIBUTIONS[name](np.random.RandomState(seed), 20000)).reshape(-1, 1)
        given = np.quantile(everything, [0.0005, 0.9995])
        settings = {"num_bits": 2, "symmetric": symmetric}
        found = offer_of(everything[:count], "activations", given=given, held=True, **settings)
        if found is not None:
            wanted = quantizer_settings("activations", **{**settings, found.setting: found.value})
            excess.append(found.after - measure(everything, grid_of(everything, wanted, given)).sqnr_db)
            kinds.add(found.setting)
            assert found.text.endswith(" or more")
    assert kinds == {"num_bits", "symmetric"} and len(excess) > 40
    assert np.mean(np.array(excess) > 0) < 0.15 and max(excess) < 1.5


@pytest.mark.parametrize("count", [32, 64, 320, 2048])
def test_few_values_give_no_reason_to_replace_a_range_that_is_right_for_all(count):
    everything = np.float32(np.random.RandomState(0).standard_normal([20000, 1]))
    given = float(everything.min()), float(everything.max())
    assert offer_of(everything[:count], "activations", given=given, num_bits=8) is None
