"""Remedies are offered for what the measures show, and only if the network does not get worse."""

from dataclasses import replace

import numpy as np
import pytest
from test_verdict import levels_of, measured, normal, tensor

from qatviz.analysis import remedies as r
from qatviz.analysis import verdict as v
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES
from qatviz.settings import MSE, WEIGHTS, quantizer_settings


def level(**measures):
    found = levels_of(**measures)
    return {name: int(found[SNAPSHOT_MEASURES.index(name)]) for name in v.JUDGED}


LOW = quantizer_settings(WEIGHTS, num_bits=3)


def test_freezing_is_offered_while_weights_oscillate_and_nothing_steadies_them():
    oscillating, steady = level(oscillating=0.08, num_bits=3), level(oscillating=0.001, num_bits=3)
    assert r.Remedy("freeze_threshold", 0.02) in r.remedies(tensor(), LOW, oscillating)
    assert r.remedies(tensor(), LOW, steady) == []
    for setting in ("freeze_threshold", "dampening"):
        steadied = quantizer_settings(WEIGHTS, num_bits=3, **{setting: 0.1})
        assert r.remedies(tensor(), steadied, oscillating) == []
    assert r.remedies(tensor(), LOW, level(oscillating=0.08, num_bits=8)) == [], "at 8 bits it does no harm"


def test_a_learned_range_is_offered_at_few_bits_if_there_is_one(monkeypatch):
    poor = level(sqnr_db=12.0, num_bits=3)
    learned = r.Remedy("range_method", r.LEARNED)
    has_it = r.LEARNED in r.QUANTIZER_SETTINGS["range_method"].choices[WEIGHTS]
    assert (learned in r.remedies(tensor(), LOW, poor)) == has_it
    setting = r.QUANTIZER_SETTINGS["range_method"]
    choices = dict(setting.choices, **{WEIGHTS: (*setting.choices[WEIGHTS], r.LEARNED)})
    monkeypatch.setitem(r.QUANTIZER_SETTINGS, "range_method", _with_choices(setting, choices))
    assert r.remedies(tensor(), LOW, poor) == [learned]
    assert r.remedies(tensor(), LOW, poor, held=True) == []
    assert r.remedies(tensor(), quantizer_settings(WEIGHTS, num_bits=3, range_method=MSE), poor) == []
    assert r.remedies(tensor(), quantizer_settings(WEIGHTS, num_bits=8), level(sqnr_db=12.0)) == []


def _with_choices(setting, choices):
    return replace(setting, choices=choices)


@pytest.mark.parametrize(
    "metric, before, after, is_harmless",
    [
        ("accuracy", 0.86, 0.87, True),
        ("accuracy", 0.86, 0.8555, True),
        ("accuracy", 0.86, 0.85, False),
        ("rmse", 2.0, 1.9, True),
        ("rmse", 2.0, 2.1, False),
    ],
)
def test_only_harmless_remedies_are_offered(metric, before, after, is_harmless):
    assert r.TriedRemedy("freeze_threshold", 0.02, metric, before, after).is_harmless is is_harmless


def test_the_offer_states_what_was_measured():
    tried = r.TriedRemedy("freeze_threshold", 0.02, "accuracy", 0.861, 0.8642)
    assert tried.text == "Freezing threshold 0.02: 86.1 % → 86.4 %"


def test_the_verdict_names_the_fraction_of_oscillating_weights():
    found = v.verdict(measured(normal(), LOW, oscillating=0.081, frozen_weights=0.02), tensor(), LOW)
    assert found.level >= v.WARNING
    assert (
        found.text.startswith("8.10 % of the weights oscillate between two codes") and "2.00 % are frozen" in found.text
    )
    steady = v.verdict(measured(normal(), LOW, oscillating=np.nan), tensor(), LOW)
    assert "oscillate" not in steady.text
