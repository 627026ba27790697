"""Remedies of refusals: the first of each, applied together as the export dialog does, make an export possible."""

import itertools

import numpy as np
import pytest
from export_cases import NETWORK
from integer_cases import book_of, model_of, network_of

from qatviz.errors import Advice, ExportError, OptionChange, SettingChange
from qatviz.export.encodings.limits import VERSIONS
from qatviz.export.formats import ENCODINGS, FORMATS, ONNX, TFLITE
from qatviz.export.tflite.storage import storage_type
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Add, Dense

WEIGHTS = [
    {},
    {"num_bits": 12},
    {"per_channel": True},
    {"num_bits": 3, "per_channel": True},
    {"num_bits": 4, "symmetric": True},
    {"narrow_range": True, "range_method": "mse"},
    {"enabled": False},
    {"quant_delay": 100},
]
ACTIVATIONS = [{}, {"num_bits": 16}, {"num_bits": 12, "narrow_range": True}, {"enabled": False, "num_bits": 3}]
FLAGS = [
    dict(zip(("int4", "int16", "double_rounding"), values)) for values in itertools.product((False, True), repeat=3)
]
CASES = [(TFLITE, flags) for flags in FLAGS] + [(ENCODINGS, {"encodings_version": version}) for version in VERSIONS]
CASES += [(ONNX, {"exact": True, "storage": "int8"}), (FORMATS["c"], {}), (FORMATS["npz"], {})]


def applied(book, options, remedies):
    """Return the settings and options after these changes."""
    settings = [remedy for remedy in remedies if isinstance(remedy, SettingChange)]
    book, _ = book.change(settings)
    changed = {remedy.option: remedy.value for remedy in remedies if isinstance(remedy, OptionChange)}
    return book, {**options, **changed}


@pytest.mark.parametrize("form, options", CASES, ids=lambda case: getattr(case, "name", str(case)))
def test_the_first_remedies_together_make_an_export_possible(form, options, monkeypatch):
    monkeypatch.setattr("qatviz.export.onnx.limits.find_spec", lambda name: name)
    tried = 0
    for weights, activations in itertools.product(WEIGHTS, ACTIVATIONS):
        book, values = book_of(NETWORK, weights, activations), form.with_defaults(options)
        for _ in range(4):
            refusals = form.limits(NETWORK, book, 3, values)
            if not refusals:
                break
            assert all(refusal.remedies for refusal in refusals)
            book, values = applied(book, values, [refusal.remedies[0] for refusal in refusals])
            tried += 1
        assert form.limits(NETWORK, book, 3, values) == [], (weights, activations)
    assert tried >= 4


@pytest.mark.parametrize("form, options", CASES, ids=lambda case: getattr(case, "name", str(case)))
def test_each_remedy_removes_its_refusal(form, options, monkeypatch):
    monkeypatch.setattr("qatviz.export.onnx.limits.find_spec", lambda name: name)
    for weights, activations in itertools.product(WEIGHTS, ACTIVATIONS):
        before, values = book_of(NETWORK, weights, activations), form.with_defaults(options)
        for refusal in form.limits(NETWORK, before, 3, values):
            for remedy in refusal.remedies:
                if not isinstance(remedy, Advice):
                    book, changed = applied(before, values, [remedy])
                    assert refusal not in form.limits(NETWORK, book, 3, changed), (refusal, remedy)


def test_an_add_of_three_tensors_is_refused_before_anything_is_computed():
    net = NetworkBuilder("sum", (3,))
    names = [net.add(Dense, name, inputs="input", units=2) for name in ("a", "b", "c")]
    net.add(Add, "sum", inputs=tuple(names))
    net.add(Dense, "logits", units=2)
    network = net.network()
    (refusal,) = TFLITE.limits(network, book_of(network), None, TFLITE.with_defaults())
    assert str(refusal).startswith("layer 'sum': adds 3 tensors") and isinstance(refusal.remedies[0], Advice)
    assert ENCODINGS.limits(network, book_of(network), None, ENCODINGS.with_defaults()) == []


def test_weights_whose_codes_do_not_need_their_zero_point_are_int8():
    """Settings alone do not suffice and are refused; the arrays of the integer model decide."""
    network = network_of((4,), (Dense, "logits", {"units": 2}))
    assert TFLITE.limits(network, book_of(network, {"per_channel": True}), None, TFLITE.with_defaults())
    around_0, above_0 = np.float32([[-128, -256], [64, 128], [0, 32], [127, 254]]), np.float32([[1, 2]] * 4)
    model = model_of(network, {"per_channel": True}, logits__weights=around_0)
    assert model.ops[0].weights.zero_point.tolist() == [0, 0] and storage_type(model) == np.int8
    with pytest.raises(ExportError, match="a zero point for each channel"):
        storage_type(model_of(network, {"per_channel": True}, logits__weights=above_0))
