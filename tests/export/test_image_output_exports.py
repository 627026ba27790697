"""Exports of a network whose output is an image: the proof of every format has the error of all its pixels."""

import json

import numpy as np
import pytest
from export_cases import INT8
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.export.formats import FORMATS
from qatviz.export.source import ExportSource
from qatviz.network.layers import Conv2D, ReLU

pytestmark = pytest.mark.usefixtures("quick_c")

NETWORK = network_of(
    (6, 5, 1),
    (Conv2D, "conv", {"filters": 4, "kernel_size": (3, 3)}),
    (ReLU, "relu", {}),
    (Conv2D, "out", {"filters": 2, "kernel_size": (3, 3)}),
)
STATE = state_of(NETWORK)


def source():
    x = np.random.RandomState(0).rand(60, 6, 5, 1).astype(np.float32)
    y = np.concatenate([x, 1 - x], axis=3)
    data = from_arrays("images", "a test", (x, y), (x[:40], y[:40]))
    return ExportSource(NETWORK, book_of(NETWORK, INT8), STATE, data)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"encodings"}))  # which have no outputs
def test_the_proof_of_every_format_has_the_error_of_its_file(name, tmp_path):
    form, options = FORMATS[name], {"rebuild": True} if name == "keras" else {}
    written = form.export(source(), tmp_path / ("net" + form.suffix), options)
    assert not written.report.faults
    record = json.loads(json.dumps(written.report.to_record(), allow_nan=False))
    assert record["metric"] == "rmse" and len(record["rmse"]) >= 2
    assert all(found.get("top1") is None for found in record["outputs"].values())
    assert max(record["rmse"].values()) == pytest.approx(min(record["rmse"].values()), rel=0.05)
