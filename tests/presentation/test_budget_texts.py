"""Texts on bits within a budget."""

import pytest

from qatviz.analysis.bit_costs import CostUnit
from qatviz.analysis.budget import Allocation
from qatviz.presentation.budget_texts import effect_text


@pytest.mark.parametrize(
    "cost, loss, text",
    [
        (36_200, 0.016, "36.2 kB (−12 kB), predicted loss 0.016 (+0.004)"),
        (50_200, 0.010, "50.2 kB (+2 kB), predicted loss 0.01 (−0.002)"),
        (48_200, 0.012, "48.2 kB, predicted loss 0.012"),
    ],
)
def test_the_effect_states_differences_only_where_there_are_any(cost, loss, text):
    before = Allocation((8,), 48_200, 0.012)
    assert effect_text(CostUnit.STORED, before, Allocation((4,), cost, loss)) == text
