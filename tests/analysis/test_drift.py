"""Errors of layers from their outputs, and the conclusion where a drift starts."""

import numpy as np
import pytest

from qatviz.analysis.drift import Drift, LayerDrift, PartError, drift_start, error_sums, layer_drift


def layer(name, own_db, inherited_db):
    own, inherited = (10 ** (-value / 10) for value in (own_db, inherited_db))
    return LayerDrift(name, "Dense", PartError(own, 0.9), PartError(inherited, 0.9), PartError(own + inherited, 0.9))


def drift(*layers):
    return Drift(layers, 0.1, 3, 256)


def test_errors_agree_with_their_definitions():
    random = np.random.RandomState(0)
    reference, own, inherited, total = random.randn(4, 5, 6, 7).astype(np.float32)
    found = layer_drift("conv", "Conv2D", error_sums(reference, own, inherited, total))
    for part, output in (("own", own), ("inherited", inherited), ("total", total)):
        x, y = (np.asarray(each, np.float64).ravel() for each in (reference, output))
        error = getattr(found, part)
        assert error.sqnr_db == pytest.approx(10 * np.log10((x @ x) / ((y - x) @ (y - x))))
        assert error.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    assert found.own_fraction == pytest.approx(found.own.power / (found.own.power + found.inherited.power))


def test_sums_of_examples_add_up():
    random = np.random.RandomState(1)
    outputs = random.randn(4, 10, 3)
    parts = error_sums(*outputs[:, :4]) + error_sums(*outputs[:, 4:])
    np.testing.assert_allclose(parts, error_sums(*outputs))


def test_no_error_and_no_signal():
    ones, zeros = np.ones(3), np.zeros(3)
    exact = layer_drift("a", "Dense", error_sums(ones, ones, ones, ones))
    assert exact.own.sqnr_db == np.inf and exact.own.cosine == 1.0 and np.isnan(exact.own_fraction)
    lost = layer_drift("a", "Dense", error_sums(ones, zeros, ones, zeros))
    assert lost.own.sqnr_db == 0.0 and np.isnan(lost.own.cosine) and lost.own_fraction == 1.0
    silent = layer_drift("a", "Dense", error_sums(zeros, ones, zeros, ones))
    assert silent.own.power == np.inf and silent.to_dict()["own"] == {"sqnr_db": None, "cosine": None}
    assert drift(exact).to_dict()["start"] == {"first": None, "largest": None, "worst": None, "is_own": False}


def test_a_drift_starts_at_the_first_low_layer_if_its_error_is_its_own():
    found = drift_start(drift(layer("a", 40, 99), layer("b", 12, 38), layer("c", 9, 13)))
    assert found.first.layer == "b" and found.is_own
    assert found.largest.layer == "c" and found.worst.layer == "c"


def test_an_inherited_drift_has_its_cause_before_it():
    found = drift_start(drift(layer("a", 24, 99), layer("b", 23, 24), layer("c", 25, 20), layer("d", 5, 18)))
    assert found.first.layer == "c" and not found.is_own
    assert found.largest.layer == "b", "of the layers up to it; that of d is larger"
    assert found.worst.layer == "d"


def test_a_small_error_is_no_drift():
    found = drift_start(drift(layer("a", 40, 99), layer("b", 38, 30)))
    assert found.first is None and found.largest.layer == "b" and found.worst.layer == "b"
