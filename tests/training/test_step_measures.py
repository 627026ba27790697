"""The measures of training steps equal the NumPy reference's on the same sample."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import convnet, spec
from training_cases import graph_of

from qatviz.network.plan import quantization_plan
from qatviz.protocol.snapshots import STEP_MEASURES
from qatviz.quant.affine import AffineGrid
from qatviz.quant.measures import measure
from qatviz.training.step_measures import STEP_SAMPLE, RawMeasures, StepDecoder, sample_size, sample_stride

MEASURED = ("mse", "mse_clipping", "mse_rounding", "sqnr_db", "clipped", "flushed")
RANDOM = np.random.RandomState(5)


@pytest.mark.parametrize("size", [1, 5, 255, 256, 257, 511, 512, 1000, 50176, 401408])
def test_a_sample_is_spread_over_the_tensor(size):
    taken = np.arange(size)[: STEP_SAMPLE * sample_stride(size) : sample_stride(size)]
    assert len(taken) == sample_size(size) <= STEP_SAMPLE
    assert len(taken) >= min(size, STEP_SAMPLE // 3) and taken[-1] >= 0.98 * (size - 1)


def raw_step(decoder, plan, per_channel, enabled):
    """A step of random values on random grids, as the graph would fetch it; and what of each tensor is in the
    sample."""
    place, values, samples = decoder._layout, [], []
    grid, channel_grid = np.zeros((4, len(place.leaders)), np.float32), np.zeros((4, place.num_channels), np.float32)
    for target in (grid, channel_grid):
        target[0] = RANDOM.uniform(0.05, 0.3, target.shape[1])
        target[1] = RANDOM.randint(-3, 4, target.shape[1])
        target[2], target[3] = (-8 - target[1]) * target[0], (7 - target[1]) * target[0]
    for tensor in plan.tensors:
        size = int(np.prod(tensor.shape)) * (1 if tensor.kind == "weights" else 4)
        values.append(RANDOM.randn(size).astype(np.float32))
        taken = values[-1][: STEP_SAMPLE * sample_stride(size) : sample_stride(size)]
        samples.append(np.pad(taken, (0, STEP_SAMPLE - len(taken)), "constant"))
    return RawMeasures(grid, channel_grid, np.concatenate(samples), per_channel, enabled), values


def expected_of(raw, plan, place, values, index):
    """Return the reference's measures of the sample of one tensor."""
    tensor, group = plan.tensors[index], place.group_of[index]
    size = len(values[index])
    positions = np.arange(size)[: STEP_SAMPLE * sample_stride(size) : sample_stride(size)]
    scale, zero_point = raw.grid[0, group], raw.grid[1, group]
    if tensor.kind == "weights" and raw.per_channel[place.weights.index(group)]:
        channels = place.channels[place.weights.index(group)]
        of = channels.start + positions % tensor.num_channels
        scale, zero_point = raw.channel_grid[0, of], raw.channel_grid[1, of]
    return measure(
        values[index][positions], AffineGrid(np.asarray(scale), np.asarray(zero_point).astype(np.int32), 4, False)
    )


@pytest.mark.parametrize("mixed", [False, True])
def test_decoded_measures_equal_the_references(mixed):
    plan = quantization_plan(convnet())
    decoder = StepDecoder(plan, 4)
    place = decoder._layout
    settings = []
    for flag in (False, True):
        per_channel = np.full(len(place.weights), flag)
        per_channel[::2] ^= mixed
        settings.append((per_channel, np.ones(len(place.leaders), bool)))
    steps = [raw_step(decoder, plan, *settings[i // 2]) for i in range(4)]
    decoded = decoder([raw for raw, _ in steps])
    assert decoded.shape == (4, len(STEP_MEASURES), len(plan.tensors)) and decoded.dtype == np.float32
    for (raw, values), step in zip(steps, decoded):
        for index, tensor in enumerate(plan.tensors):
            expected = expected_of(raw, plan, place, values, index)
            found = dict(zip(STEP_MEASURES, step[:, index]))
            np.testing.assert_allclose(
                [found[name] for name in MEASURED],
                [getattr(expected, name) for name in MEASURED],
                rtol=2e-5,
                atol=1e-9,
                err_msg=tensor.name,
            )
            per_channel = tensor.kind == "weights" and raw.per_channel[place.weights.index(place.group_of[index])]
            if per_channel:
                channels = place.channels[place.weights.index(place.group_of[index])]
                assert found["scale"] == raw.channel_grid[0, channels].max()
            else:
                assert found["scale"] == raw.grid[0, place.group_of[index]]


def test_a_tensor_in_float_has_no_error():
    plan = quantization_plan(convnet())
    decoder = StepDecoder(plan, 4)
    enabled = np.arange(len(decoder._layout.leaders)) % 2 == 0
    raw, _ = raw_step(decoder, plan, np.zeros(len(decoder._layout.weights), bool), enabled)
    step = dict(zip(STEP_MEASURES, decoder([raw])[0]))
    off = ~enabled[np.array(decoder._layout.group_of)]
    for name in ("mse", "mse_clipping", "mse_rounding", "clipped", "flushed"):
        assert (step[name][off] == 0).all() and (name == "clipped" or (step[name][~off] > 0).all())


def test_a_scale_of_zero_makes_everything_zero():
    plan = quantization_plan(convnet())
    decoder = StepDecoder(plan, 4)
    raw, _values = raw_step(
        decoder, plan, np.zeros(len(decoder._layout.weights), bool), np.ones(len(decoder._layout.leaders), bool)
    )
    step = dict(zip(STEP_MEASURES, decoder([raw._replace(grid=np.zeros_like(raw.grid))])[0]))
    assert (step["clipped"] == 1).all() and (step["flushed"] == 1).all() and (step["rmse_over_scale"] == 0).all()
    np.testing.assert_allclose(step["sqnr_db"], 0, atol=1e-6)


def test_a_step_of_the_graph_measures_the_weights_it_used(graphs):
    run_spec = spec(convnet())
    book = run_spec.book.change([("*.weights.num_bits", 4), ("conv.weights.per_channel", True)])[0]
    run_spec = replace(run_spec, book=book)
    graph = graph_of(run_spec, graphs)
    graph.write_settings(book.quantizers, book.run, 0)
    graph.write_state(graph.initial_state(book.run))
    plan = run_spec.plan
    weights = dict(zip([t.name for t in plan.tensors if t.kind == "weights"], graph.read_weights()))
    _, raw = graph.step(np.arange(run_spec.batch_size, dtype=np.int32), 0)
    step = StepDecoder(plan, run_spec.batch_size)([raw])[0]
    for name, value in weights.items():
        tensor, settings, column = plan.tensor(name), book.of(name), plan.index(name)
        place = graph.layout
        group = place.weights.index(place.group_of[column])
        source = (
            raw.channel_grid[:, place.channels[group]] if settings.per_channel else raw.grid[:, place.group_of[column]]
        )
        grid = AffineGrid(source[0], source[1].astype(np.int32), settings.num_bits, settings.narrow_range)
        flat, stride = value.reshape(-1), sample_stride(value.size)
        # The reference needs channels last: elements outside the sample become 0, which has no effect.
        kept = np.zeros_like(flat)
        kept[: STEP_SAMPLE * stride : stride] = flat[: STEP_SAMPLE * stride : stride]
        expected = measure(kept.reshape(-1, tensor.num_channels), grid)
        assert step[STEP_MEASURES.index("mse"), column] == pytest.approx(
            expected.mse * flat.size / sample_size(flat.size), rel=1e-4
        ), name
