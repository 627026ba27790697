"""Files with scales and biases for kernels that round twice: gemmlowp's arithmetic, TensorFlow 1.15's interpreter."""

import numpy as np
import pytest
from integer_cases import model_of, network_of
from test_tflite_lowering import SETTINGS, everything, images_for, random_chain

import qatviz.export.tflite.weights
from qatviz.export.integers.fixed_point import requantize
from qatviz.export.integers.simulator import run_codes
from qatviz.export.proof.parity import compare_layers
from qatviz.export.tflite.double_rounding import requantize_with_double_rounding
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflite.runtime import TfliteRunner
from qatviz.export.tflite.storage import is_uniform
from qatviz.export.tflite.weights import stored_weights
from qatviz.network.layers import Conv2D, Dense, DepthwiseConv2D, Flatten, ReLU


def gemmlowp(value, real):
    """``MultiplyByQuantizedMultiplier`` of TensorFlow 1.15 (``lite/kernels/internal/common.h``), in Python's
    integers."""
    fraction, exponent = np.frexp(real)
    multiplier = int(np.floor(fraction * 2**31 + 0.5))
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    product = (value << max(int(exponent), 0)) * multiplier
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    high = nudged // 2**31 if nudged >= 0 else -(-nudged // 2**31)
    shift = max(-int(exponent), 0)
    mask = (1 << shift) - 1
    return (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0))


@pytest.mark.parametrize("real", [0.75, 0.5, 2.0**-9, 0.9999999999, 0.00123, 3.7e-5, 1.6, 6.0])
def test_double_rounding_equals_gemmlowps(real):
    near_ties = [int((step + 0.5) / real) + offset for step in range(-40, 40) for offset in (-1, 0, 1)]
    values = np.array(sorted(set(near_ties + list(range(-70, 70)))))
    expected = [gemmlowp(int(value), real) for value in values]
    np.testing.assert_array_equal(
        requantize_with_double_rounding(values[:, np.newaxis], np.array([real]))[:, 0], expected
    )


def different(model, **options):
    """Return the fraction of codes that differ in the interpreter, over operations with weights, on exact inputs."""
    file = tflite_model(model, outputs=[op.output for op in model.ops], **options)
    layers = compare_layers(model, TfliteRunner(file).run, images_for(model, 24))
    weighted = [layer for layer in layers if model.op(layer.layer).weights is not None]
    assert max(layer.own.largest for layer in weighted) <= 1
    return np.mean([1 - layer.own.identical for layer in weighted])


POWER_OF_TWO = ({"symmetric": True, "power_of_two": True}, {"power_of_two": True})


@pytest.mark.parametrize(
    "settings", [*(SETTINGS[name] for name in ("int8", "int8 per tensor", "uint8", "int4")), POWER_OF_TWO]
)
def test_the_option_makes_fewer_codes_differ(settings):
    model = model_of(random_chain(4), *settings)
    plain, suited = (different(model, double_rounding=on) for on in (False, True))
    assert suited < 0.85 * plain


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_no_accumulator_is_rounded_worse(setting):
    """Of all that an operation can have, in gemmlowp's arithmetic."""
    changed = 0
    for model in (model_of(everything(), *SETTINGS[setting]), model_of(random_chain(4), *SETTINGS[setting])):
        dtype = tflite_model(model).dtype
        for op in (op for op in model.ops if op.weights is not None):
            per_channel = dtype != np.uint8 and not (op.kind == "Dense" and is_uniform(op.weights))
            plain, suited = (
                stored_weights(model, op, dtype, per_channel, True, double_rounding=on) for on in (False, True)
            )
            exact = op.requantization.real
            most = int(min(2.0 ** (op.accumulator_bits - 1), 300 / exact.min()))
            for channel in range(min(4, len(exact))):
                accumulators = np.arange(-most, most + 1)[:, np.newaxis]
                by = op.requantization._replace(
                    multiplier=op.requantization.multiplier[[channel]],
                    right_shift=op.requantization.right_shift[[channel]],
                )
                wrong = []
                for stored in (plain, suited):
                    place = min(channel, len(stored.scale) - 1)
                    times = round(float(op.weights.channel_scales[channel] / plain.scale[place]))
                    source, output = model.tensor(op.inputs[0]), model.tensor(op.output)
                    real = np.float64(source.scale) * np.float64(stored.scale[[place]]) / np.float64(output.scale)
                    bias = int(stored.bias[channel]) - int(plain.bias[channel])
                    found = requantize_with_double_rounding(accumulators * times + bias, real)
                    clamp = op.clamp[0] - output.zero_point, op.clamp[1] - output.zero_point
                    wrong.append(np.clip(found, *clamp) != np.clip(requantize(accumulators, by), *clamp))
                assert not (wrong[1] & ~wrong[0]).any(), (op.name, channel)
                changed += wrong[0].sum() - wrong[1].sum()
    assert changed > 0, "the option changes nothing"


@pytest.mark.parametrize("setting", ["int8", "int8 per tensor", "uint8", "affine 7 bits", "int4"])
@pytest.mark.parametrize("kind, sizes", [(Conv2D, {"filters": 6}), (DepthwiseConv2D, {}), (Dense, {"units": 16})])
@pytest.mark.parametrize("activated", [False, True])
def test_no_code_of_a_layer_gets_worse_in_tensorflows_interpreter(kind, sizes, setting, activated):
    """Given the same input, all codes that are equal without the option are equal with it."""
    first = [] if kind is not Dense else [(Flatten, "flat", {})]
    last = [(ReLU, "relu", {})] if activated else []
    after = [(Flatten, "flatten", {})] if kind is not Dense else []
    net = network_of((6, 6, 6), *first, (kind, "layer", sizes), *last, *after, (Dense, "logits", {"units": 2}))
    model = model_of(net, *SETTINGS[setting])
    output = model.op("layer").output
    codes = np.random.RandomState(0).randint(*model.tensor("input").bounds, (300, 6, 6, 6))
    expected = run_codes(model, codes, [output])[output]
    wrong = [
        TfliteRunner(tflite_model(model, outputs=[output], double_rounding=on)).run(codes)[output] != expected
        for on in (False, True)
    ]
    assert not (wrong[1] & ~wrong[0]).any()


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_proof_explains_every_difference_but_finds_a_fault(setting, monkeypatch):
    model = model_of(everything(), *SETTINGS[setting])

    def unexplained():
        file = tflite_model(model, outputs=[op.output for op in model.ops], double_rounding=True)
        layers = compare_layers(model, TfliteRunner(file).run, images_for(model, 24))
        return sum(layer.unexplained for layer in layers)

    assert unexplained() == 0
    monkeypatch.setattr(
        qatviz.export.tflite.weights,
        "minimize_double_rounding_error",
        lambda op, source, output, scale, times, **_: (scale, np.full(scale.shape, 3 * times.max(), np.int64)),
    )
    assert unexplained() > 10


def test_ties_that_litert_rounds_down_are_noted():
    """With power-of-two multipliers and results below 0, unless the file is for kernels that round twice."""
    model = model_of(random_chain(4), *POWER_OF_TWO)
    notes = [note for note in tflite_model(model).notes if "LiteRT rounds every second tie down" in note]
    below = [op.name for op in model.ops if op.weights is not None and op.clamp[0] < model.tensor(op.output).zero_point]
    assert below and len(notes) == 1 and notes[0].startswith(", ".join(below[:6]))
    for other in (
        tflite_model(model, double_rounding=True),
        tflite_model(model_of(random_chain(4), *SETTINGS["int8"])),
    ):
        assert not [note for note in other.notes if "every second" in note]


def test_biases_change_by_one_at_most_and_scales_by_little():
    model = model_of(everything(), {"symmetric": True, "per_channel": True})
    for op in (op for op in model.ops if op.weights is not None):
        plain, suited = (
            stored_weights(model, op, np.dtype(np.int8), True, True, double_rounding=on) for on in (False, True)
        )
        np.testing.assert_array_equal(suited.codes, plain.codes)
        assert set(np.unique(suited.bias - plain.bias)) <= {-1, 0, 1}
        # Two units of the first rounding at the result 128.
        np.testing.assert_allclose(suited.scale / plain.scale, 1, atol=2.1 * op.requantization.real.max() / 128)
    changed, same = (tflite_model(model, double_rounding=on).content for on in (True, False))
    assert changed != same and len(changed) == len(same)
