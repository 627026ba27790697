"""Settings take effect at the next step of the same graph, and telemetry shows exactly those in use."""

import numpy as np
import pytest
from small_runs import convnet, dataset, mlp, spec
from training_cases import Driver, graph_of

from qatviz.data import BatchSchedule
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import AveragePool, Conv2D, Dense, Flatten, ReLU
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, SingleStep, TakeSnapshot
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot
from qatviz.quant import affine, measures, ranges
from qatviz.quant.weight_maps import mapped
from qatviz.settings import MIN_MAX, MSE, PERCENTILE, WEIGHTS
from qatviz.training.range_policy import SEARCH_INTERVAL

ROWS = {name: index for index, name in enumerate(STEP_MEASURES)}
GRID_ROWS = ("scale", "zero_point", "range_min", "range_max")


def plain():
    """Return a network without batch norm, so that the float weights are the parameters."""
    net = NetworkBuilder("plain", (6, 6, 2))
    net.add(Conv2D, "conv", filters=3)
    net.add(ReLU, "conv_relu")
    net.add(AveragePool, "pool")
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=3)
    return net.network()


class Stepper:
    """A paused run that advances step by step, with the reference in NumPy."""

    def __init__(self, driver, graphs):
        self.driver, self.plan = driver, driver.run.spec.plan
        self.graph = graph_of(driver.run.spec, graphs)
        self.book = driver.run.spec.book

    def change(self, *assignments):
        applied = self.driver.send(ChangeSettings(assignments))
        assert isinstance(applied, events.CommandApplied) and applied.changes, applied
        self.book, _ = self.book.change(assignments)

    def step(self, count=1):
        """Take ``count`` steps; return the record of the last one."""
        since, first = len(self.driver.news), self.driver.run.step
        self.driver.run.send(SingleStep(count))
        self.driver.until_event(events.Paused, since=since)
        return self.driver.until(lambda item: hasattr(item, "loss") and item.step == first + count, since)

    def step_measured(self):
        """Take steps until the errors of one are measured; return its record, and the state that it began with."""
        while True:
            state, record = self.graph.read_state(), self.step()
            if not np.isnan(record.values[ROWS["mse"]]).any():
                return record, state

    def grid(self, name, state, held=None):
        """Return the grid that the next step must use, and the channel of it that telemetry shows."""
        tensor, s = self.plan.tensor(name), self.book.of(name).on_grid()
        settings = (s.num_bits, s.symmetric, s.narrow_range, s.power_of_two)
        if tensor.kind == WEIGHTS:
            x = mapped(state[name], self.book.of(name), tensor.num_channels)
            x = x.reshape(-1, tensor.num_channels if s.per_channel else 1)
            if held is not None:
                low, high = held
            elif s.range_method == PERCENTILE:
                low, high = ranges.percentile_range(x, s.percentile)
            elif s.range_method == MSE:
                low, high = ranges.mse_range(x, *settings)
            else:
                low, high = ranges.min_max_range(x)
        else:
            place = self.graph.layout
            index = place.activations.index(place.group_of[self.plan.index(name)])
            low, high = state["range_min"][index : index + 1], state["range_max"][index : index + 1]
        return affine.choose_grid(low, high, *settings)

    def assert_next_step_uses_the_settings(self, held=None):
        state = self.graph.read_state()
        record = self.step()
        for tensor in self.plan.tensors:
            grid = self.grid(tensor.name, state, (held or {}).get(tensor.name))
            shown = int(np.argmax(grid.scale))
            expected = [grid.scale[shown], grid.zero_point[shown], grid.minimum[shown], grid.maximum[shown]]
            found = [record.values[ROWS[row], self.plan.index(tensor.name)] for row in GRID_ROWS]
            assert found == [np.float32(value) for value in expected], tensor.name
        return record


@pytest.fixture
def stepper(graphs):
    with Driver(spec(plain(), optimizer="momentum"), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.step(2)
        yield stepper


@pytest.mark.parametrize(
    "assignments",
    [
        (("*.num_bits", 2),),
        (("*.num_bits", 16),),
        (("conv.weights.num_bits", 5), ("input.activations.num_bits", 3)),
        (("*.weights.symmetric", False),),
        (("*.activations.symmetric", True),),
        (("*.weights.narrow_range", False),),
        (("*.activations.narrow_range", True),),
        (("conv.weights.per_channel", False),),
        (("*.weights.per_channel", True),),
        (("*.power_of_two", True),),
        (("*.weights.range_method", "percentile"), ("*.weights.percentile", 90.0)),
        (("*.weights.weight_map", "tanh"), ("*.weights.num_bits", 4)),
        (("*.weights.weight_map", "tanh"), ("*.weights.range_method", "mse"), ("*.weights.num_bits", 3)),
        (("*.weights.weight_map", "ternary"), ("*.weights.per_channel", True)),
        (("*.weights.weight_map", "ternary"), ("*.weights.per_channel", False)),
        (("*.weights.num_bits", 1), ("*.weights.range_method", "percentile")),
        (("*.weights.num_bits", 1), ("run.freeze_ranges", True)),
        (("*.weights.stochastic_rounding", True), ("*.gradient_scaling", 1.0), ("run.ramp_end", 100)),
        (("*.weights.range_method", "mse"), ("*.weights.num_bits", 3)),
        (("*.weights.range_method", "mse"), ("*.weights.per_channel", True), ("*.weights.num_bits", 2)),
    ],
    ids=lambda value: ",".join("{}={}".format(*pair) for pair in value),
)
def test_the_next_step_uses_the_new_grid_exactly(stepper, assignments):
    stepper.assert_next_step_uses_the_settings()
    stepper.graph.complete()
    operations = len(stepper.graph._graph.get_operations())
    stepper.change(*assignments)
    stepper.assert_next_step_uses_the_settings()
    assert stepper.graph._graph.finalized and len(stepper.graph._graph.get_operations()) == operations


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("assignment", [("run.freeze_ranges", True), ("*.weights.range_method", "frozen")])
def test_frozen_weights_keep_their_range(stepper, assignment, per_channel):
    stepper.change(("*.weights.per_channel", per_channel), ("run.learning_rate", 0.1))
    stepper.step()
    held = {}
    for name in ("conv.weights", "logits.weights"):
        x = channels_last(stepper.graph.read_state(), stepper.plan, name)
        held[name] = ranges.min_max_range(x if per_channel else x.reshape(-1, 1))
    before = stepper.graph.read_state()
    stepper.change(assignment)
    stepper.assert_next_step_uses_the_settings(held)
    stepper.step(SEARCH_INTERVAL)
    stepper.change(("*.weights.num_bits", 5))
    stepper.assert_next_step_uses_the_settings(held)
    state = stepper.graph.read_state()
    moved = not np.array_equal(state["range_max"], before["range_max"])
    assert moved == (assignment[0] != "run.freeze_ranges")
    stepper.change((assignment[0], False if assignment[1] is True else MIN_MAX))
    stepper.assert_next_step_uses_the_settings()


def test_frozen_activations_keep_their_range(stepper):
    stepper.change(("conv.activations.range_method", "frozen"))
    before = stepper.graph.read_state()
    stepper.step(3)
    after = stepper.graph.read_state()
    place = stepper.graph.layout
    frozen = place.activations.index(place.group_of[stepper.plan.index("conv.activations")])
    same = before["range_max"] == after["range_max"]
    assert same[frozen] and not same.all()


def test_searched_ranges_are_held_between_periodic_searches(stepper):
    stepper.change(("*.weights.range_method", "percentile"), ("*.weights.percentile", 80.0), ("run.learning_rate", 0.1))
    # Telemetry shows the coarsest channel, so one channel for all.
    stepper.change(("*.weights.per_channel", False))
    column = stepper.plan.index("logits.weights")
    first = stepper.step().values[ROWS["scale"], column]
    while stepper.driver.run.step % SEARCH_INTERVAL:
        assert stepper.step().values[ROWS["scale"], column] == first
    stepper.assert_next_step_uses_the_settings()
    assert stepper.driver.steps()[-1].values[ROWS["scale"], column] != first


@pytest.mark.parametrize("delay", [False, True])
def test_a_disabled_quantizer_passes_floats(stepper, delay):
    column = stepper.plan.index("conv.weights")
    assert stepper.step_measured()[0].values[ROWS["mse"], column] > 0
    until = stepper.driver.run.step + 60  # more than the steps of three measurements
    stepper.change(("conv.weights.quant_delay", until) if delay else ("conv.weights.enabled", False))
    for _ in range(3):
        record, _ = stepper.step_measured()
        assert record.step <= until and record.values[ROWS["mse"], column] == 0
        assert record.values[ROWS["mse"], stepper.plan.index("logits.weights")] > 0
    if not delay:
        stepper.change(("conv.weights.enabled", True))
    else:
        stepper.step(until - stepper.driver.run.step)
    assert stepper.step_measured()[0].values[ROWS["mse"], column] > 0


def batch_ranges(stepper):
    """Return the range of each group of activations in the next batch: the average at a decay of 0."""
    graph, step, run_spec = stepper.graph, stepper.driver.run.step, stepper.driver.run.spec
    state = graph.read_state()
    batch = BatchSchedule(len(run_spec.dataset.x_train), run_spec.batch_size, run_spec.seed).indices(step)
    book, _ = stepper.book.change([("*.activations.range_method", "moving_average"), ("*.activations.ema_decay", 0.0)])
    graph.write_settings(book.quantizers, book.run, step)
    graph.step(batch, step)
    seen = graph.read_state()
    graph.write_state(state)
    graph.write_settings(stepper.book.quantizers, stepper.book.run, step)
    images = run_spec.dataset.x_train[batch]
    assert (seen["range_min"][0], seen["range_max"][0]) == (images.min(), images.max())
    return np.stack([seen["range_min"], seen["range_max"]]).astype(np.float64)


def test_activation_ranges_are_zero_debiased_moving_averages(graphs):
    """Averages over batches, newest first, with weights (1 - d), (1 - d) d ...; also if the decay changes."""
    with Driver(spec(plain(), optimizer="momentum", activations={"ema_decay": 0.9}), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        total, weight = 0.0, 0.0
        for decay in (0.9, 0.9, 0.9, 0.5, 0.5, 0.99, 0.99):
            if decay != stepper.book.of("input.activations").ema_decay:
                stepper.change(("*.activations.ema_decay", decay))
            batch = batch_ranges(stepper)
            total, weight = decay * total + (1 - decay) * batch, decay * weight + (1 - decay)
            stepper.step()
            state = stepper.graph.read_state()
            np.testing.assert_allclose(
                np.stack([state["range_min"], state["range_max"]]), total / weight, rtol=1e-5, atol=1e-6
            )


def test_the_extremes_method_covers_all_batches_since_it_was_chosen(graphs):
    """They start from the range in use; the average continues from them; a frozen range is not widened."""
    with Driver(spec(plain(), optimizer="momentum", activations={"ema_decay": 0.9}), paused=True) as driver:
        stepper = Stepper(driver, graphs)

        def ranges_now():
            state = stepper.graph.read_state()
            return np.stack([state["range_min"], state["range_max"]])

        stepper.step(3)
        stepper.change(("*.activations.range_method", "extremes"))
        low, high = ranges_now()
        before = (low, high)
        for _ in range(12):
            batch = np.float32(batch_ranges(stepper))
            low, high = np.minimum(low, batch[0]), np.maximum(high, batch[1])
            stepper.assert_next_step_uses_the_settings()
            # The reference is an average of one batch, which may differ in the last digit.
            np.testing.assert_allclose(ranges_now(), [low, high], rtol=1e-6)
        assert (high > before[1]).all(), "no batch widened the ranges"
        stepper.change(("*.activations.range_method", "moving_average"))
        batch = batch_ranges(stepper)
        stepper.step()
        now = ranges_now()
        assert (now[1] < high).any() and (np.abs(now - [low, high]) <= np.abs(batch - [low, high]) + 1e-6).all()
        stepper.change(("*.activations.range_method", "extremes"), ("run.freeze_ranges", True))
        stepper.step(8)
        np.testing.assert_array_equal(ranges_now(), now)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "rmsprop"])
@pytest.mark.always("adam", "sgd")
def test_with_learning_rate_0_no_parameter_changes(graphs, optimizer):
    with Driver(spec(optimizer=optimizer), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.step(2)
        stepper.change(("run.learning_rate", 0.0))
        before = stepper.graph.read_state()
        assert stepper.step().learning_rate == 0.0
        after = stepper.graph.read_state()
        for parameter in ("dense1.weights", "logits.bias"):
            np.testing.assert_array_equal(after[parameter], before[parameter])


@pytest.mark.parametrize(
    "optimizer, name, value",
    [
        ("momentum", "momentum", 0.1),
        ("adam", "beta1", 0.2),
        ("adam", "beta2", 0.2),
        ("adam", "epsilon", 0.5),
        ("adam", "weight_decay", 0.5),
        ("rmsprop", "rho", 0.2),
        ("sgd", "learning_rate", 0.5),
        ("sgd", "label_smoothing", 0.2),
        ("sgd", "warmup_steps", 10),
        ("sgd", "weight_decay", 0.5),
        ("sgd", "gradient_clip", 1e-3),
    ],
)
def test_optimizer_settings_take_effect_at_the_next_step(graphs, optimizer, name, value):
    with Driver(spec(optimizer=optimizer), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        state = stepper.graph.read_state()
        stepper.step()
        unchanged = stepper.graph.read_state()
        stepper.graph.write_state(state)
        stepper.change(("run." + name, value))
        stepper.step()
        assert not np.array_equal(stepper.graph.read_state()["logits.weights"], unchanged["logits.weights"])


def test_batch_norm_statistics_are_kept_only_while_frozen(graphs):
    with Driver(spec(convnet()), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        names = [name for name in stepper.graph.read_state() if ".moving_" in name and "|" not in name]
        for frozen in (True, False, True):
            stepper.change(("run.freeze_batch_norm", frozen))
            before = stepper.graph.read_state()
            stepper.step()
            after = stepper.graph.read_state()
            same = {np.array_equal(before[name], after[name]) for name in names}
            assert same == {frozen}


def test_step_measures_of_small_tensors_are_exact(graphs):
    """For tensors that fit into the sample, the telemetry of a step covers the whole tensor."""
    weights = {"num_bits": 3, "range_method": "percentile", "percentile": 80.0}
    with Driver(spec(mlp(), weights=weights), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.change(("run.learning_rate", 0.02))
        record, state = stepper.step_measured()
        for name in ("dense1.weights", "logits.weights"):
            x = state[name]
            expected = measures.measure(x, stepper.grid(name, state))
            for row in ("mse", "mse_clipping", "mse_rounding", "sqnr_db", "rmse_over_scale", "clipped", "flushed"):
                found = record.values[ROWS[row], stepper.plan.index(name)]
                assert found == pytest.approx(getattr(expected, row), rel=1e-4, abs=1e-9), (name, row)
            assert expected.clipped > 0 and expected.flushed > 0


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8, 11])
def test_snapshots_are_exact(graphs, bits, per_channel):
    weights = {"num_bits": bits, "per_channel": per_channel, "range_method": "percentile", "percentile": 90.0}
    with Driver(spec(plain(), weights=weights), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.step(3)
        # Any change triggers a search of ranges, for the weights that the snapshot will measure.
        stepper.change(("run.learning_rate", 0.02))
        state = stepper.graph.read_state()
        since = driver.news.index(driver.send(TakeSnapshot()))  # after the snapshot of the pause
        snapshot = driver.until(lambda item: isinstance(item, Snapshot), since)
        for name in ("conv.weights", "logits.weights"):
            x = channels_last(state, stepper.plan, name)
            assert_snapshot(snapshot, stepper.plan, name, x, stepper.grid(name, state), bits, per_channel)


def channels_last(state, plan, name):
    """Return weights ``[n, channels]``."""
    return state[name].reshape(-1, plan.tensor(name).num_channels)


def assert_snapshot(snapshot, plan, name, x, grid, bits, per_channel):
    """Check that measures, histograms and code counts of one weight tensor equal NumPy's."""
    column = snapshot.values[:, plan.index(name)]
    expected = measures.measure(x, grid)
    for row, value in zip(SNAPSHOT_MEASURES, column):
        if hasattr(expected, row):
            assert value == pytest.approx(getattr(expected, row), rel=1e-3, abs=1e-7), (name, row)
    histogram = snapshot.histograms[name]
    np.testing.assert_array_equal(histogram.scale, grid.scale)
    np.testing.assert_array_equal(histogram.zero_point, grid.zero_point)
    np.testing.assert_array_equal(histogram.channel_min, x.min(axis=0))
    np.testing.assert_array_equal(histogram.channel_max, x.max(axis=0))
    values = affine.fake_quant(x, grid)
    assert histogram.edges[0] == min(x.min(), values.min()) and histogram.edges[-1] == max(x.max(), values.max())
    for counts, of in ((histogram.float_counts, x), (histogram.quantized_counts, values)):
        counted = np.histogram(of, histogram.edges)[0]
        # A value at an edge may be counted on either side of it.
        assert counts.sum() == x.size
        assert np.abs(np.cumsum(counts) - np.cumsum(counted)).max() <= np.unique(of, return_counts=True)[1].max()
    if bits > 8:
        assert histogram.code_counts is None
    else:
        codes = affine.quantize(x, grid).reshape(-1) + 2 ** (bits - 1)
        np.testing.assert_array_equal(histogram.code_counts, np.bincount(codes, minlength=2**bits))
        assert histogram.code_min == -(2 ** (bits - 1))


def test_the_flip_rate_is_the_fraction_of_codes_changed_since_a_snapshot(graphs):
    row = SNAPSHOT_MEASURES.index("flip_rate")
    with Driver(spec(plain(), weights={"num_bits": 4}), paused=True) as driver:
        stepper = Stepper(driver, graphs)
        stepper.change(("run.learning_rate", 0.05))

        def take_snapshot():
            state = stepper.graph.read_state()
            codes = {
                name: affine.quantize(channels_last(state, stepper.plan, name), stepper.grid(name, state))
                for name in ("conv.weights", "logits.weights")
            }
            since = driver.news.index(driver.send(TakeSnapshot()))
            return codes, driver.until(lambda item: isinstance(item, Snapshot), since).values[row]

        take_snapshot()
        still, rates = take_snapshot()
        for name in still:
            assert rates[stepper.plan.index(name)] == 0
        stepper.step(5)  # and the snapshot of the pause compares with the one before
        driver.until(lambda item: isinstance(item, Snapshot) and item.step == driver.run.step)
        found = [item for item in driver.news if isinstance(item, Snapshot)][-1].values[row]
        state = stepper.graph.read_state()
        for name in still:
            codes = affine.quantize(channels_last(state, stepper.plan, name), stepper.grid(name, state))
            expected = measures.flip_rate(codes, still[name])
            assert found[stepper.plan.index(name)] == pytest.approx(expected) and expected > 0
        assert np.isnan(found[stepper.plan.index("input.activations")])


def test_without_telemetry_steps_have_no_measures_but_equal_losses(graphs):
    plan = quantization_plan(mlp())
    results = []
    for telemetry in (True, False):
        with Driver(spec(mlp(), dataset(), steps=20, telemetry=telemetry)) as driver:
            driver.finish()
            results.append(driver.steps())
    assert [r.loss for r in results[0]] == [r.loss for r in results[1]]
    without = results[1][-1].values
    assert np.isnan(without).all() and without.shape == (len(STEP_MEASURES), len(plan.tensors))
    assert np.isfinite(results[0][-1].values[:4]).all()


def test_codes_are_read_before_a_snapshot_replaces_them(graphs):
    """In any order, TensorFlow would compare codes with themselves at times: a flip rate of 0."""
    run_spec = spec(plain())
    operations = graph_of(run_spec, graphs)._graph.get_operations()
    weights = [tensor.name for tensor in run_spec.plan.tensors if tensor.kind == WEIGHTS]
    replaced = [
        op
        for op in operations
        if op.type == "AssignVariableOp"
        and any(op.inputs[0].op.name.endswith(f"codes_{name}/VarHandleOp") for name in weights)
        and op.inputs[1].op.type != "Placeholder"
    ]
    assert len(replaced) == len(weights)
    for op in replaced:
        assert any(before.type == "ReadVariableOp" and before.inputs[0] is op.inputs[0] for before in op.control_inputs)
