"""The report's sections on drift and channels."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
from PIL import Image
from report_cases import recorded

from qatviz.analysis.channels import RunChannels, channel_ranges, screened
from qatviz.analysis.drift import Drift, FeatureMaps, LayerDrift, PartError, RunDrift
from qatviz.presentation.palette import DARK, LIGHT
from qatviz.report.drift import drift_section
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


def with_maps(shape):
    """Return a drift with feature maps whose second channel has the largest error."""
    values = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    error = np.where(np.arange(shape[-1]) == 1, 0.5, 0.125).astype(np.float32)
    return RunDrift("", Drift((), 0.125, 3, 256), FeatureMaps("conv1", 7, values, values + error, 3))


def images(text, style):
    """Return the images of a picture of this class: uint8 RGB arrays."""
    picture = re.search(rf'<svg[^>]*class="chart {style}".*?</svg>', text, re.DOTALL).group()
    files = map(base64.b64decode, re.findall(r'href="data:image/png;base64,([^"]+)"', picture))
    return [np.array(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]


def test_feature_maps_are_pictures_in_the_colours_of_both_palettes():
    found = with_maps((5, 3, 2))
    text = str(drift_section(found))
    assert "<h3>Output of conv1</h3>" in text and "Held-out example 7, at step 3. In float, quantized, and" in text
    for style, palette in (("in-light", LIGHT), ("in-dark", DARK)):
        pictures = images(text, style)
        assert [picture.shape for picture in pictures] == [(5, 3, 3)] * 6
        in_float, _, difference = pictures[:3]  # the channel with the largest error is the first
        assert tuple(difference[0, 0]) == tuple(bytes.fromhex(palette.in_range[1:])), "the largest difference"
        assert tuple(in_float[-1, -1]) == tuple(bytes.fromhex(palette.in_range[1:])), "the largest value"
        assert in_float[0, 0, 2] < in_float[-1, -1, 2], "negative values are orange"


def test_a_vector_is_one_picture_in_the_colours_of_the_style_sheet():
    text = str(drift_section(with_maps((10,))))
    assert text.count("<svg") == 2 and "in-dark" not in text and "Lines: values in float" in text


def test_no_feature_maps_are_shown_if_none_are_known():
    assert "<h3>" not in str(drift_section(with_maps((10,))._replace(maps=None)))
