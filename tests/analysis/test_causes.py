"""Verdicts are true of the values: every sentence is recognized and recomputed."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from value_facts import facts_of_values, grid_of, measures_of, tensor_of

from qatviz.analysis.causes import Motion, Partner
from qatviz.analysis.verdict import BAD, GOOD, WARNING, verdict
from qatviz.quant.affine import fake_quant, quantize
from qatviz.settings import quantizer_settings


class Case:
    """A tensor with given values, and the verdict on it."""

    def __init__(
        self,
        values,
        kind="weights",
        given=None,
        partners=(),
        motion=None,
        nonnegative=False,
        held=False,
        **settings,
    ):
        values = np.float32(values)
        self.values = values.reshape(-1, 1) if values.ndim == 1 else values
        self.settings = quantizer_settings(kind, **settings)
        self.given, self.partners, self.motion, self.held = given, partners, motion, held
        self.grid = grid_of(self.values, self.settings, given)
        self.tensor = tensor_of(self.values, kind, nonnegative)
        self.measures = measures_of(self.values, self.grid)
        facts = facts_of_values(self.values, self.grid, partners, motion, held)
        self.verdict = verdict(self.measures, self.tensor, self.settings, facts=facts)
        self.text = self.verdict.text


def random(seed=0):
    return np.random.RandomState(seed)


# The cases that were judged wrong


def test_a_symmetric_grid_for_one_sided_values_wastes_half_of_its_codes():
    found = Case(np.append(random().uniform(0.02, 0.26, 64 * 64 - 1), -6e-6), symmetric=True)
    assert found.verdict.level == WARNING
    assert "a symmetric grid has as many codes for either side of 0." in found.text and "stretch" not in found.text


def test_values_far_from_0_leave_the_codes_next_to_0_unused():
    found = Case(0.97 + 0.004 * random().standard_normal(4096))
    assert found.text.startswith("Only 9 of 256 codes") and "every grid contains 0: 96.9 % of that range" in found.text
    assert "stretch" not in found.text


def test_weights_of_two_values_are_good_and_use_two_codes():
    found = Case(random().choice([-0.2, 0.7], 4096))
    assert found.verdict.level == GOOD
    assert found.text.endswith("There are 2 distinct values, which use 2 of 256 codes.")


def test_the_small_branch_of_a_concat_shares_the_grid_of_the_wide_one():
    values = 0.01 * random().standard_normal(4096)
    found = Case(values, "activations", (-3, 3), [Partner("big.activations", -3.0, 3.0)])
    assert found.text.startswith("Only 5 of 256 codes are used. It shares its grid with big.activations")


def test_clusters_of_values_leave_the_codes_between_them_unused():
    clusters = random(1).uniform(0, 5, 32).repeat(64) + 1e-3 * random(2).standard_normal(2048)
    found = Case(clusters, "activations", (0, 5))
    assert found.text.startswith("Only ") and " equal intervals between " in found.text
    assert "equal intervals" not in Case(random(1).uniform(0, 5, 2048), "activations", (0, 5)).text


@pytest.mark.parametrize(
    "before, done, word",
    [
        (2.6, 6, "moving average of the"),  # the mean of six batches moves on its own
        (4.6, 2000, "moving average of the"),  # from beyond the values to below them
        (2.0, 2000, "still follows them"),
        (3.0, 2000, "steady"),
    ],
)
def test_only_a_moving_average_that_has_moved_towards_the_values_follows_them(before, done, word):
    values = random(0).uniform(0, 4, 2000)
    found = Case(values, "activations", (0, 3.0), motion=Motion(0.0, before, 5, done), ema_decay=0.999)
    assert found.text.startswith("Clipping dominates") and word in found.text


def test_no_range_of_a_run_with_frozen_ranges_is_called_an_average():
    values = random(0).uniform(0, 4, 2000)
    found = Case(values, "activations", (0, 3.0), motion=Motion(0.0, 3.0, 500, 2000), held=True)
    assert found.text.endswith("It is frozen.") and "average" not in found.text
    assert "The frozen range reaches" in Case(values, "activations", (0, 30.0), held=True).text


def test_outliers_of_other_channels_do_not_stretch_the_grid_of_a_channel():
    values = 0.05 * random().standard_normal([5000, 64]) * np.where(np.arange(64) == 0, 30, 1)
    assert "stretch" not in Case(values, num_bits=2, per_channel=True).text
    values = 0.05 * random().standard_normal([5000, 64])
    values[3] = 4.0
    found = Case(values, num_bits=3, per_channel=True)
    assert "half of the channels span at least 4" in found.text and "stretch" not in found.text


def test_a_percentile_does_not_explain_that_many_values_are_clipped():
    values = random(0).uniform(0, 4, 2000)
    found = Case(values, "activations", (0, 3.0), range_method="percentile", percentile=99.9)
    assert found.text.endswith("It was found in earlier batches, of whose values it leaves out 0.1 %.")
    found = Case(values, "activations", (0, 3.999), range_method="percentile", percentile=99.9)
    assert "earlier batches" not in found.text


def test_one_value_and_one_code_are_singular():
    assert "All values are 0.3, which uses 1 of 256 codes." in Case(np.full(50, 0.3), "activations", (0, 1)).text
    found = Case(0.001 * random().uniform(0, 1, 50), "activations", (-30, 30))
    assert found.text.startswith("Only 1 of 256 codes is used.")


@pytest.mark.parametrize("count", [32, 64])
def test_few_values_cannot_use_many_codes(count):
    values = random().standard_normal(count)
    found = Case(values, "activations", (values.min(), values.max()))
    assert found.verdict.level == GOOD and f"{count} values are measured; they use" in found.text


@pytest.mark.parametrize(
    "before, word", [((-95.0, 95.0), "steady"), ((-80.0, 80.0), "still follows them"), (None, "moving average of the")]
)
def test_a_regression_output_beyond_averaged_extremes_is_clipped(before, word):
    values = random(16).uniform(-160, 160, 1500)
    motion = None if before is None else Motion(*before, 200, 2000)
    found = Case(values, "activations", (-95, 95), motion=motion)
    assert found.text.startswith("Clipping dominates") and word in found.text
    assert found.verdict.level == BAD


def test_sums_of_squares_that_underflow_are_not_called_zeros_or_exact():
    found = Case(1e-25 * random().standard_normal(500), num_bits=4)
    found.measures.update(mse=0.0, sqnr_db=float("nan"))
    facts = facts_of_values(found.values, found.grid)
    assert "too small to measure" in verdict(found.measures, found.tensor, found.settings, facts=facts).text


# Every claim is true


UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


def number(text):
    digits, unit = (text[:-1], text[-1]) if text[-1] in UNITS else (text, "")
    return float(digits.replace("−", "-").replace(",", "")) * UNITS[unit]


def close(text, value, tolerance=0.006):
    return number(text) == pytest.approx(value, rel=tolerance, abs=1e-12)


N = r"(−?[\d.,]*\d(?:e-?\d+|[kMG])?)"
SPAN = rf"from {N} to {N}"
PERCENT = r"(<?\s?[\d.]+) %"


def is_fraction(text, value):
    if text.startswith("<"):
        return 0 < value < float(text[1:]) / 100
    return float(text) == pytest.approx(100 * value, abs=0.06)


def span(case):
    return float(case.values.min()), float(case.values.max())


def matches_span(low, high, expected):
    return close(low, expected[0]) and close(high, expected[1])


def quantized(case):
    return fake_quant(case.values, case.grid)


def codes_in_use(case):
    return np.unique(quantize(case.values, case.grid)).size


def lies_outside(case):
    """Return whether each value lies more than half a step, and float32 slack, outside the representable range."""
    low, high = case.grid.minimum, case.grid.maximum
    return np.maximum(low - case.values, case.values - high) > (0.5 + 1 / 64) * case.grid.scale


def clipped(case):
    return np.mean(lies_outside(case))


def fraction_of_error_from_clipping(case):
    errors = (quantized(case) - case.values).astype(float) ** 2
    return np.sum(errors[lies_outside(case)]) / np.sum(errors)


def relative_error(case):
    x = case.values.astype(float)
    return np.sqrt(np.sum((quantized(case) - x) ** 2) / np.sum(x**2))


def fraction_rounded_to_zero(case):
    return np.mean((quantized(case) == 0) & (case.values != 0))


def representable(case):
    return float(case.grid.minimum.min()), float(case.grid.maximum.max())


def lies_between(case, outside, count, low, high, *ends):
    slack = 0.006 * max(abs(number(low)), abs(number(high)))
    within = np.sum((case.values >= number(low) - slack) & (case.values <= number(high) + slack))
    return (
        number(count) == case.values.size
        and within >= case.values.size - number(outside)
        and (not ends or (not case.settings.per_channel and matches_span(*ends, span(case))))
    )


def is_one_sided(low, high):
    low, high = max(0, -low), max(0, high)
    return min(low, high) < 0.5 * max(low, high)


def extents(case):
    return np.maximum(case.values.max(axis=0), 0) - np.minimum(case.values.min(axis=0), 0)


def is_rounded_up(case, factor):
    low, high = min(0, case.values.min()), max(0, case.values.max())
    needed = 2 * max(-low, high) if case.settings.symmetric else high - low
    needed /= case.settings.num_codes - 1
    return close(factor, float(case.grid.scale[0]) / needed, 0.02)


def is_moving(case, which, before, steps, now):
    index = ["lower", "upper"].index(which)
    return (
        number(steps) == case.motion.steps
        and not case.held
        and close(before, case.motion[index])
        and close(now, representable(case)[index])
        # It has moved towards the extreme, and has not reached it.
        and (representable(case)[index] - case.motion[index]) * (span(case)[index] - representable(case)[index]) > 0
    )


def is_steady(case, which, before, steps, now):
    index = ["lower", "upper"].index(which)
    gap = abs(span(case)[index] - representable(case)[index])
    return not case.held and close(before, case.motion[index]) and abs(number(before) - number(now)) < 0.2 * gap


def has_gaps(case, intervals, low, high, empty):
    """The intervals are bins, between edges of bins or the extremes; the first and last one may be cut off."""
    inside = case.values[(case.values >= number(low) - 1e-9) & (case.values <= number(high) + 1e-9)]
    counts = np.histogram(inside, np.linspace(number(low), number(high), int(number(intervals)) + 1))[0]
    return (
        not case.settings.per_channel
        and np.count_nonzero(counts == 0) == pytest.approx(number(empty), abs=0.06 * number(intervals) + 1)
        and number(empty) > 0.3 * number(intervals)
    )


CLAIMS = {
    rf"Only {N} of {N} codes (?:is|are) used\.": lambda c, used, of: (
        number(used) == codes_in_use(c) and number(of) == c.settings.num_codes
    ),
    rf"It shares its grid with (\S+), whose values reach {SPAN}, its own {SPAN}\.": lambda c, name, *ends: (
        any(name == p.name and matches_span(*ends[:2], p[1:]) for p in c.partners) and matches_span(*ends[2:], span(c))
    ),
    rf"In {N} of {N} channels the values reach less than half as far on one side of 0 as on the other, and a symmetric "
    r"grid has as many codes for either side\.": lambda c, some, of: (
        c.settings.symmetric
        and number(of) == c.values.shape[1]
        and number(some) == sum(map(is_one_sided, c.values.min(axis=0), c.values.max(axis=0)))
    ),
    rf"The values reach {SPAN}, and a symmetric grid has as many codes for either side of 0\.": lambda c, *ends: (
        c.settings.symmetric and matches_span(*ends, span(c)) and is_one_sided(*span(c))
    ),
    rf"The scale is rounded up to a power of two, to {N} times the one needed\.": is_rounded_up,
    r"The (frozen range|moving average of the range|range of the extremes so far|range found in the running histogram) "
    rf"reaches {SPAN}, the present values only {SPAN}\.": (
        lambda c, whose, *ends: (
            c.given is not None
            and (whose == "frozen range") == (c.held or c.settings.range_method == "frozen")
            and matches_span(*ends[:2], representable(c))
            and matches_span(*ends[2:], span(c))
            and np.ptp(representable(c)) > 1.4 * np.ptp([0, *span(c)])
        )
    ),
    rf"The values reach {SPAN}, and every grid contains 0: {PERCENT} of that range, next to 0, holds no value\.": (
        lambda c, low, high, share: (
            matches_span(low, high, span(c)) and is_fraction(share, np.abs(c.values).min() / np.abs(c.values).max())
        )
    ),
    rf"All but {N} of {N} measured values lie between {N} and {N}; the other(?:s stretch| stretches) the range "
    rf"{SPAN}\.": lies_between,
    rf"All but {N} of {N} measured values lie between {N} and {N}; half of the channels span at least {N}\.": (
        lambda c, outside, count, low, high, median: (
            c.settings.per_channel
            and lies_between(c, outside, count, low, high)
            and np.mean(np.ptp(c.values, axis=0) >= number(median) / 1.006) >= 0.5
            and number(median) > 1.4 * (number(high) - number(low))
        )
    ),
    rf"The values are spread unevenly: of {N} equal intervals between {N} and {N}, {N} contain no value\.": has_gaps,
    rf"One grid serves all channels: channel (\d+) spans {N}, half of the channels at most {N}\.": (
        lambda c, index, widest, median: (
            not c.settings.per_channel
            and close(widest, extents(c)[int(index)])
            and close(widest, extents(c).max())
            and np.mean(extents(c) <= number(median) * 1.006) >= 0.5
        )
    ),
    rf"There are {N} distinct values, which use {N} of {N} codes\.": lambda c, count, used, of: (
        number(count) == np.unique(c.values).size and number(used) == codes_in_use(c)
    ),
    rf"All values are {N}, which uses 1 of {N} codes\.": lambda c, value, of: (
        (c.values == c.values[0]).all() and close(value, c.values[0, 0]) and codes_in_use(c) == 1
    ),
    rf"A single value is measured, which uses 1 of {N} codes\.": lambda c, of: (
        c.values.size == codes_in_use(c) == 1 and number(of) == c.settings.num_codes
    ),
    rf"{N} values are measured; they use {N} of {N} codes\.": lambda c, count, used, of: (
        number(count) == c.values.size and number(used) == codes_in_use(c)
    ),
    rf"{N} values are measured, {N} of them 0; they use {N} of {N} codes\.": lambda c, count, zeros, used, of: (
        number(count) == c.values.size and number(zeros) == np.sum(c.values == 0) and number(used) == codes_in_use(c)
    ),
    rf"Clipping dominates the error: {PERCENT} of the values are out of range\.": lambda c, share: (
        is_fraction(share, clipped(c)) and fraction_of_error_from_clipping(c) > 0.5
    ),
    rf"The percentile range leaves out {N} % of the values on purpose\.": lambda c, share: (
        c.settings.range_method == "percentile"
        and close(share, 100 - c.settings.percentile)
        and (c.tensor.kind == "weights" or clipped(c) <= 2 * number(share) / 100)
    ),
    rf"It was found in earlier batches, of whose values it leaves out {N} %\.": lambda c, share: (
        c.settings.range_method == "percentile" and not c.held and clipped(c) > 2 * number(share) / 100
    ),
    r"The range of least squared error clips where that costs less than a larger quantization step\.": lambda c: (
        c.settings.range_method == "mse"
    ),
    r"The range of least KL divergence leaves out rare values on purpose, so that the others have more codes\.": (
        lambda c: c.settings.range_method == "kl"
    ),
    rf"The range reaches {SPAN}, the values {SPAN}\.": lambda c, *ends: (
        matches_span(*ends[:2], representable(c)) and matches_span(*ends[2:], span(c))
    ),
    r"It is frozen\.": lambda c: c.held or c.settings.range_method == "frozen",
    r"All ranges are frozen\.": lambda c: c.held and c.settings.per_channel,
    r"It has the extremes of the training batches so far\.": lambda c: (
        c.settings.range_method == "extremes" and not c.held
    ),
    r"It is the moving average of the extremes of batches\.": lambda c: (
        c.settings.range_method == "moving_average" and not c.held
    ),
    rf"Its (lower|upper) end is a moving average that still follows them \({N} {N} steps ago, {N} now\)\.": is_moving,
    rf"Its (lower|upper) end is a moving average that is steady \({N} {N} steps ago, {N} now\): it is the mean of the "
    r"extremes of batches, which rarer values exceed\.": is_steady,
    rf"Most values become 0 \({PERCENT}\): they are smaller than half a quantization step\.": lambda c, share: (
        is_fraction(share, fraction_rounded_to_zero(c)) and fraction_rounded_to_zero(c) >= 0.5
    ),
    rf"Rounding dominates the error, which is {PERCENT} of the signal\.": lambda c, share: (
        is_fraction(share, relative_error(c)) and fraction_of_error_from_clipping(c) <= 0.5
    ),
    rf"{PERCENT} of the values are clipped, which makes {PERCENT} of the squared error\.": lambda c, some, part: (
        is_fraction(some, clipped(c)) and is_fraction(part, fraction_of_error_from_clipping(c))
    ),
    rf"{PERCENT} of the values become 0; still, the error is only {PERCENT} of the signal\.": lambda c, some, part: (
        is_fraction(some, fraction_rounded_to_zero(c)) and is_fraction(part, relative_error(c))
    ),
    rf"Good: the error is {PERCENT} of the signal\.": lambda c, share: is_fraction(share, relative_error(c)),
    rf"Good: the error is {PERCENT} of the signal, no larger than that of rounding evenly spread values\.": (
        lambda c, share: is_fraction(share, relative_error(c)) and c.measures["rmse_over_scale"] < 0.32
    ),
    r"Exact: every value lies on the grid\.": lambda c: np.array_equal(quantized(c), c.values),
    r"All of its values are 0\.": lambda c: not c.values.any(),
}


def verify_verdict(case):
    """Verify every sentence of the verdict."""
    for sentence in re.split(r"(?<=\.) (?=[A-Z\d])", case.text):
        found = [(claim, re.fullmatch(claim, sentence)) for claim in CLAIMS]
        known = [(claim, match) for claim, match in found if match]
        assert len(known) == 1, sentence
        claim, match = known[0]
        assert CLAIMS[claim](case, *match.groups()), (sentence, case.settings, case.text)


def normal_values(r, n, c):
    return r.standard_normal([n, c])


SITUATIONS = {
    "all zeros": lambda r, n, c: np.zeros([n, c]),
    "constant": lambda r, n, c: np.full([n, c], 0.37),
    "bell": normal_values,
    "one-sided": lambda r, n, c: r.uniform(0.02, 0.26, [n, c]),
    "below 0": lambda r, n, c: -r.exponential(1, [n, c]),
    "ReLU": lambda r, n, c: np.maximum(normal_values(r, n, c) - 1.5, 0),
    "ReLU6": lambda r, n, c: np.clip(8 * normal_values(r, n, c), 0, 6),
    "dead channel": lambda r, n, c: normal_values(r, n, c) * (np.arange(c) > 0),
    "powers of two": lambda r, n, c: r.choice([-1, 1], [n, c]) * 2.0 ** r.randint(-9, 1, [n, c]),
    "ternary": lambda r, n, c: r.choice([-0.3, 0, 0.3], [n, c]),
    "two values": lambda r, n, c: r.choice([-0.2, 0.7], [n, c]),
    "biases": lambda r, n, c: 0.1 + 0.01 * r.standard_normal([1, c]),
    "pruned": lambda r, n, c: normal_values(r, n, c) * (r.rand(n, c) < 0.05),
    "two clusters": lambda r, n, c: np.where(r.rand(n, c) < 0.5, r.normal(-4, 0.1, [n, c]), r.normal(5, 0.1, [n, c])),
    "heavy tails": lambda r, n, c: r.standard_t(1.2, [n, c]),
    "one outlier": lambda r, n, c: np.where(np.arange(n * c).reshape(n, c) == 7, 300.0, normal_values(r, n, c)),
    "spread of channels": lambda r, n, c: normal_values(r, n, c) * 10.0 ** r.uniform(-3, 0, c),
    "far from 0": lambda r, n, c: 0.97 + 0.004 * normal_values(r, n, c),
    "one large channel": lambda r, n, c: normal_values(r, n, c) * np.where(np.arange(c) == 0, 30, 0.05),
    "halves": lambda r, n, c: r.randint(-3, 4, [n, c]) / 2,
}


@hypothesis_settings(deadline=None, max_examples=400)
@given(
    st.integers(0, 10**6),
    st.sampled_from(sorted(SITUATIONS)),
    st.sampled_from([(4, 1), (60, 1), (3000, 1), (300, 8)]),
    st.sampled_from([2, 3, 4, 8, 12]),
    st.fixed_dictionaries(
        {
            "symmetric": st.booleans(),
            "narrow_range": st.booleans(),
            "power_of_two": st.booleans(),
            "per_channel": st.booleans(),
            "range_method": st.sampled_from(["min_max", "percentile", "mse", "frozen"]),
            "percentile": st.sampled_from([90.0, 99.9]),
        }
    ),
    st.sampled_from([0.1, 0.6, 0.95, 1.0, 1.8, 5.0]),
)
def test_every_sentence_on_weights_is_true(seed, situation, shape, num_bits, settings, width):
    values = np.float32(SITUATIONS[situation](random(seed), *shape))
    given_range = None
    if settings["range_method"] == "frozen":
        settings["per_channel"] = False
        given_range = width * values.min(), width * values.max()
    verify_verdict(Case(values, given=given_range, num_bits=num_bits, **settings))


@hypothesis_settings(deadline=None, max_examples=400)
@given(
    st.integers(0, 10**6),
    st.sampled_from(sorted(SITUATIONS)),
    st.sampled_from([4, 60, 3000]),
    st.sampled_from([2, 4, 8, 12]),
    st.booleans(),
    st.sampled_from(["moving_average", "extremes", "percentile", "mse", "kl", "frozen"]),
    st.sampled_from([0.1, 0.6, 0.95, 1.0, 1.8, 5.0]),
    st.sampled_from([None, 0.5, 0.9, 0.999, 1.0, 1.3]),
    st.sampled_from([100, 105, 5000]),
    st.sampled_from([None, 1.0, 50.0]),
    st.booleans(),
)
def test_every_sentence_on_activations_is_true(
    seed, situation, count, num_bits, symmetric, method, width, earlier, done, partner, held
):
    values = np.float32(SITUATIONS[situation](random(seed), count, 1))
    low, high = min(0, values.min()), max(0, values.max())
    partners = [] if partner is None else [Partner("other.activations", partner * low, partner * high)]
    given_range = width * low * (partner or 1), width * high * (partner or 1)
    settings = quantizer_settings("activations", num_bits=num_bits, symmetric=symmetric)
    grid = grid_of(values, settings, given_range)
    motion = None
    if earlier is not None:
        motion = Motion(float(grid.minimum[0]) * earlier, float(grid.maximum[0]) * earlier, 100, done)
    verify_verdict(
        Case(
            values,
            "activations",
            given_range,
            partners,
            motion,
            held=held,
            num_bits=num_bits,
            symmetric=symmetric,
            range_method=method,
            ema_decay=0.99,
        )
    )
