"""The report's sections on drift and channels."""

from dataclasses import replace

import numpy as np
from report_cases import recorded

from qatviz.analysis.channels import RunChannels, channel_ranges, screened
from qatviz.analysis.drift import Drift, LayerDrift, PartError, RunDrift
from qatviz.report.page import page
from qatviz.report.run_data import read_run
from qatviz.telemetry.record.run_record import RunRecord


def section(text, key):
    return text[text.index(f'id="{key}"') :].split("</section>")[0]


def test_sections_are_there_if_the_results_are_known(tmp_path):
    run = recorded(tmp_path / "run", lambda run: run.advance(3))
    data = read_run(RunRecord.read(tmp_path / "run"))
    assert 'id="drift"' not in page(data) and 'id="channels"' not in page(data)
    layers = tuple(
        LayerDrift(name, "Conv2D", PartError(10**-own, 0.99), PartError(10**-3.5, 0.999), PartError(10**-own, 0.98))
        for name, own in (("one", 3.0), ("two", 1.5))
    )
    weights = [tensor for tensor in run.plan.tensors if tensor.kind == "weights"]
    random = np.random.RandomState(0)
    tensors = [screened(channel_ranges(t, random.randn(*t.shape)), run.book.of(t.name)) for t in weights]
    text = page(
        replace(
            data,
            drift=RunDrift("step-3", Drift(layers, 0.125, 3, 256)),
            channels=RunChannels("step-3", 3, tuple(tensors)),
        )
    )
    drift, channels = section(text, "drift"), section(text, "channels")
    assert "The drift starts at two" in drift and "step 3 on 256 held-out examples" in drift and ">15.0<" in drift
    assert all(tensor.name in channels for tensor in weights) and channels.count("<svg") == 1
    assert text.index('id="drift"') < text.index('id="channels"') < text.index('id="network"')
