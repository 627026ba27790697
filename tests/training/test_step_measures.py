"""The measures of training steps equal the NumPy reference's: exact for small tensors, else estimates with errors."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import convnet, mlp, spec
from training_cases import Driver, graph_of

from qatviz.network import zoo
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, ReLU
from qatviz.network.plan import quantization_plan
from qatviz.protocol.snapshots import GRID_MEASURES, SCALE_GRADIENT, STEP_MEASURES, STEP_SAMPLE
from qatviz.quant.affine import AffineGrid, choose_grid
from qatviz.quant.measures import measure
from qatviz.telemetry.record.refill import measured
from qatviz.training.step_measures import RawMeasures, StepDecoder, measure_interval, sample_indices, sample_order

MEASURED = ("mse", "mse_clipping", "mse_rounding", "sqnr_db", "rmse_over_scale", "clipped", "flushed")
RANDOM = np.random.RandomState(5)


@pytest.mark.parametrize("size", [1, 5, STEP_SAMPLE - 1, STEP_SAMPLE, STEP_SAMPLE + 1, 8191, 50176, 4000037])
def test_a_sample_is_all_of_a_small_tensor_and_spread_over_a_large_one(size):
    taken = sample_indices(size)
    assert len(taken) == min(size, STEP_SAMPLE) >= min(size, 4096)
    assert (np.diff(taken) > 0).all() and taken[0] >= 0 and taken[-1] < size
    pieces = np.arange(len(taken) + 1) * size // len(taken)
    assert (taken >= pieces[:-1]).all() and (taken < pieces[1:]).all()


def test_a_sample_has_equal_parts_of_all_channels():
    taken = np.bincount(sample_indices(500 * 256) % 256, minlength=256)
    assert taken.min() > 0 and np.std(taken) < 1.3 * np.sqrt(STEP_SAMPLE / 256)


def in_order(samples):
    """Return the samples of all tensors one after the other, as the graph returns them."""
    return np.concatenate([samples[index] for index in sample_order(list(map(len, samples)))])


def raw_step(decoder, plan, per_channel, enabled):
    """Return a step of random values on random grids, as the graph would fetch it, and the sampled positions of each
    tensor."""
    place, values, samples = decoder._layout, [], []
    grid, channel_grid = np.zeros((4, len(place.leaders)), np.float32), np.zeros((4, place.num_channels), np.float32)
    for target in (grid, channel_grid):
        target[0] = RANDOM.uniform(0.05, 0.3, target.shape[1])
        target[1] = RANDOM.randint(-3, 4, target.shape[1])
        target[2], target[3] = (-8 - target[1]) * target[0], (7 - target[1]) * target[0]
    for tensor in plan.tensors:
        size = int(np.prod(tensor.shape)) * (1 if tensor.kind == "weights" else 4)
        values.append(RANDOM.randn(size).astype(np.float32))
        samples.append(values[-1][sample_indices(size)])
    return RawMeasures(grid, channel_grid, in_order(samples), per_channel, enabled), values


def expected_of(raw, plan, place, values, index):
    """Return the reference's measures of the sample of one tensor."""
    tensor, group = plan.tensors[index], place.group_of[index]
    size = len(values[index])
    positions = sample_indices(size)
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
    for name in ("mse", "mse_clipping", "mse_rounding", "clipped", "flushed", "mse_error", "sqnr_db_error"):
        assert (step[name][off] == 0).all() and (name not in ("mse", "mse_rounding") or (step[name][~off] > 0).all())


def test_a_scale_of_zero_makes_everything_zero():
    plan = quantization_plan(convnet())
    decoder = StepDecoder(plan, 4)
    raw, _values = raw_step(
        decoder, plan, np.zeros(len(decoder._layout.weights), bool), np.ones(len(decoder._layout.leaders), bool)
    )
    step = dict(zip(STEP_MEASURES, decoder([raw._replace(grid=np.zeros_like(raw.grid))])[0]))
    assert (step["clipped"] == 1).all() and (step["flushed"] == 1).all()
    np.testing.assert_allclose(step["rmse_over_scale"], np.sqrt(step["mse"]), rtol=1e-6)
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
        assert value.size <= STEP_SAMPLE
        expected = measure(value.reshape(-1, tensor.num_channels), grid)
        for key in MEASURED:
            assert step[STEP_MEASURES.index(key), column] == pytest.approx(
                getattr(expected, key), rel=1e-4, abs=1e-7
            ), (name, key)


def test_errors_are_nan_at_steps_without_samples():
    plan = quantization_plan(convnet())
    decoder = StepDecoder(plan, 4)
    settings = np.zeros(len(decoder._layout.weights), bool), np.ones(len(decoder._layout.leaders), bool)
    gradients = np.arange(decoder._layout.num_learned, dtype=np.float32)
    raw = [raw_step(decoder, plan, *settings)[0]._replace(scale_gradients=gradients) for _ in range(70)]
    skipped = [raw_._replace(samples=raw_.samples[:0]) if index % 4 else raw_ for index, raw_ in enumerate(raw)]
    some, every = decoder(skipped), decoder(raw)
    np.testing.assert_array_equal(some[::4], every[::4])
    errors = len(GRID_MEASURES)
    unmeasured = np.arange(70) % 4 > 0
    np.testing.assert_array_equal(some[unmeasured, :errors], every[unmeasured, :errors])
    assert np.isnan(some[unmeasured, errors:]).all() and not np.isnan(every).any()
    np.testing.assert_array_equal(measured(some), ~unmeasured)


def test_short_steps_are_measured_more_rarely():
    """The interval depends on nothing but the network and the batch size."""
    small, large = mlp(), zoo.build("resnet8", (28, 28, 1), 10)
    intervals = [
        measure_interval(quantization_plan(small), small.macs, 64),
        measure_interval(quantization_plan(small), 20000 * small.macs, 64),
        measure_interval(quantization_plan(large), large.macs, 64),
    ]
    assert intervals[0] > intervals[1] == 1 and all(interval & (interval - 1) == 0 for interval in intervals)


def test_a_run_measures_errors_at_every_interval(graphs):
    run_spec = spec(convnet(), steps=40)
    interval = measure_interval(run_spec.plan, convnet().macs, run_spec.batch_size)
    assert interval > 1
    with Driver(run_spec) as driver:
        driver.finish()
        records = driver.steps()
        history = driver.run.history
    steps = np.array([record.step for record in records])
    values = np.stack([record.values for record in records])
    assert steps.tolist() == list(range(1, 41))
    np.testing.assert_array_equal(measured(values), (steps - 1) % interval == 0)
    assert not np.isnan(values[:, : len(GRID_MEASURES)]).any()
    assert history.series("conv.weights/scale").last_step.tolist() == steps.tolist()
    assert history.series("conv.weights/mse").last_step.tolist() == steps[::interval].tolist()


def wide(units):
    """Return a plan with weights of ``[units, 8]``, and these rows of a step of them."""
    net = NetworkBuilder("wide", (units,))
    net.add(Dense, "wide", units=8)
    net.add(ReLU, "relu")
    return quantization_plan(net.network())


def step_of_weights(values, grid, plan):
    """Return the measures, by name, of a step whose weights are ``values`` on ``grid``; everything else is 0."""
    decoder = StepDecoder(plan, 2)
    place, samples = decoder._layout, []
    for tensor in plan.tensors:
        if tensor.kind == "weights":
            samples.append(values.reshape(-1)[sample_indices(values.size)])
        else:
            samples.append(np.zeros(len(sample_indices(2 * int(np.prod(tensor.shape)))), np.float32))
    rows = np.stack([grid.scale, grid.zero_point.astype(np.float32), grid.minimum, grid.maximum]).astype(np.float32)
    whole, channels = np.zeros((4, len(place.leaders)), np.float32), np.zeros((4, place.num_channels), np.float32)
    per_channel = np.full(len(place.weights), grid.scale.size > 1)
    if grid.scale.size > 1:
        channels[:] = rows
    else:
        whole[:, place.weights[0]] = rows.reshape(4)
    raw = RawMeasures(whole, channels, in_order(samples), per_channel, np.ones(len(place.leaders), bool))
    column = [tensor.kind for tensor in plan.tensors].index("weights")
    return dict(zip(STEP_MEASURES, decoder([raw])[0][:, column].tolist()))


def test_rmse_over_scale_per_channel_equals_the_snapshots():
    """Case r6: one channel is thirty times as wide; the error of each counts in its own quantization steps."""
    values = (np.random.RandomState(6).randn(72, 8) * 0.05).astype(np.float32)
    values[:, 0] *= 30
    grid = choose_grid(values.min(axis=0), values.max(axis=0), 8, symmetric=True, narrow_range=True)
    found = step_of_weights(values, grid, wide(72))
    expected = measure(values, grid)
    assert 0.25 < expected.rmse_over_scale < 0.3
    assert found["rmse_over_scale"] == pytest.approx(expected.rmse_over_scale, rel=1e-5)
    assert found["sqnr_db"] == pytest.approx(expected.sqnr_db, abs=1e-4)


def test_min_max_ranges_clip_nothing():
    plan = wide(300)
    for seed in range(40):
        random = np.random.RandomState(seed)
        values = (random.randn(300, 8) * 10 ** random.uniform(-6, 6) + random.choice([0, 3])).astype(np.float32)
        grid = choose_grid(values.min(), values.max(), random.randint(2, 17), random.rand() < 0.5, random.rand() < 0.5)
        found = step_of_weights(values, grid, plan)
        assert found["clipped"] == found["mse_clipping"] == measure(values, grid).clipped == 0
        assert found["mse"] == found["mse_rounding"]


@pytest.mark.parametrize("kind", ["normal", "clipped", "heavy tails", "per channel"])
def test_standard_errors_cover_the_measures_of_all_values(kind):
    """At least 90 % of the 95 % intervals of many tensors contain the measure over all values, and they are not too
    wide."""
    plan, inside, distances = wide(3000), {"mse": 0, "sqnr_db": 0}, {"mse": [], "sqnr_db": []}
    trials = 120
    for seed in range(trials):
        random = np.random.RandomState(1000 + seed)
        values = random.randn(3000, 8) if kind != "heavy tails" else random.laplace(size=(3000, 8))
        values = (values * (random.uniform(0.1, 3, 8) if kind == "per channel" else 1)).astype(np.float32)
        axis, share = (0 if kind == "per channel" else None), np.float32(0.5 if kind == "clipped" else 1)
        grid = choose_grid(values.min(axis=axis) * share, values.max(axis=axis) * share, 5)
        found, expected = step_of_weights(values, grid, plan), measure(values, grid)
        for name in inside:
            distance = abs(found[name] - getattr(expected, name)) / found[name + "_error"]
            distances[name].append(distance)
            inside[name] += distance <= 1.96
    for name, number in inside.items():
        assert number >= 0.9 * trials, (name, number)
        assert np.sqrt(np.mean(np.square(distances[name]))) > 0.7, name


def test_small_and_exact_tensors_have_no_standard_error():
    values = np.random.RandomState(3).randn(300, 8).astype(np.float32)
    small = step_of_weights(values, choose_grid(values.min(), values.max(), 4), wide(300))
    assert small["mse_error"] == small["sqnr_db_error"] == 0
    on_grid = np.random.RandomState(3).randint(-8, 8, (3000, 8)).astype(np.float32)
    exact = step_of_weights(on_grid, choose_grid(-8, 7, 4), wide(3000))
    assert exact["mse"] == 0 and np.isinf(exact["sqnr_db"]) and np.isnan(exact["sqnr_db_error"])


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_gradient_of_a_scale_is_the_mean_over_channels(per_channel):
    plan = quantization_plan(convnet())
    decoder = StepDecoder(plan, 4)
    place = decoder._layout
    settings = np.full(len(place.weights), per_channel), np.ones(len(place.leaders), bool)
    gradients = np.arange(place.num_learned, dtype=np.float32)
    raw = raw_step(decoder, plan, *settings)[0]
    found = decoder([raw._replace(scale_gradients=gradients)])[0, STEP_MEASURES.index(SCALE_GRADIENT)]
    for index, tensor in enumerate(plan.tensors):
        group = place.group_of[index]
        own = gradients[place.learned_at(group, per_channel and tensor.kind == "weights")]
        assert found[index] == own.mean()
    assert np.isnan(decoder([raw])[0, STEP_MEASURES.index(SCALE_GRADIENT)]).all(), "no range is learned"
