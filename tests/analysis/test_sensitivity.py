"""Sensitivities by tensor and number of bits."""

import json

import numpy as np
import pytest

from qatviz.analysis.sensitivity import Sensitivity


def sensitivity(scores, present, widths=(2, 8)):
    names = tuple(f"layer{index}.weights" for index in range(len(present)))
    return Sensitivity(names, widths, np.array(scores, float), np.array(present, float), 100, 64)


def test_a_score_is_found_by_tensor_and_bits():
    found = sensitivity([[0.5, 0.1], [0.25, 0.0]], [0.1, 0.0])
    assert found.score("layer1.weights", 2) == 0.25
    with pytest.raises(ValueError, match="not in tuple"):
        found.score("layer1.weights", 5)


@pytest.mark.parametrize("scores, present", [([[0.5]], [0.1]), ([[0.5, 0.1]], [0.1, 0.2])])
def test_arrays_of_other_shapes_are_refused(scores, present):
    with pytest.raises(ValueError, match="expected float64"):
        sensitivity(scores, present)


def test_arrays_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        sensitivity([[0.5, 0.1]], [0.1]).scores[0, 0] = 1.0


def test_the_json_form_has_no_infinities():
    row = json.loads(json.dumps(sensitivity([[np.inf, 0.1]], [np.nan]).to_dict(), allow_nan=False))
    assert row["tensors"] == {"layer0.weights": {"scores": [None, 0.1], "present": None}}
    assert row["widths"] == [2, 8] and row["step"] == 100 and row["examples"] == 64
