"""Division of batches over workers or replicas: its texts, and its form in records."""

import json

import pytest

from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.run_spec import Placement


@pytest.mark.parametrize(
    "placement, text",
    [
        (Placement(), ""),
        (Placement(tower_moments=True), ""),
        (Placement(towers=4), "4 parts on 1 device"),
        (Placement(replicas=3), "3 replicas"),
        (Placement(replicas=2, towers=4), "4 parts on 2 replicas"),
        (Placement(workers=("a:1",)), "1 worker"),
        (Placement(workers=("a:1", "b:1")), "2 workers"),
        (Placement(workers=("a:1", "b:1"), towers=3), "3 parts on 2 workers"),
        (Placement(replicas=2, tower_moments=True), "2 replicas, batch norm by part"),
    ],
)
def test_a_division_is_stated_with_its_devices(placement, text):
    assert placement.division.text == text
    again = BatchDivision.from_dict(json.loads(json.dumps(placement.division.to_dict())))
    assert again == placement.division == BatchDivision.described({"batch_division": again.to_dict()})


def test_older_records_have_no_division():
    assert BatchDivision.described({}) == BatchDivision.from_dict({}) == Placement().division


@pytest.mark.parametrize(
    "row", [None, 3, [], {"parts": 0}, {"workers": -1}, {"replicas": True}, {"parts": 2.0}, {"has_own_moments": 1}]
)
def test_an_invalid_form_is_refused(row):
    with pytest.raises(ValueError, match="expected"):
        BatchDivision.from_dict(row)
