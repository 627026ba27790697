"""Learned ranges in a run: they start without a jump, follow the optimizer, and are part of the state."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet, mlp, spec
from training_cases import Driver, advance, assert_same_arrays, graph_of

from qatviz.export.integers.lowering import integer_model
from qatviz.export.integers.simulator import quantize_input, run_codes
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, SaveCheckpoint, Undo
from qatviz.protocol.run_state import RunState
from qatviz.quant.live_state import HELD, HISTOGRAMS, LEARNED_STATE
from qatviz.quant.ranges import find_range
from qatviz.settings import LEARNED, LEARNED_METHODS, MSE, OPTIMIZERS, RunSettings
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training import optimizers
from qatviz.training.handle import Run


def learning(method=LEARNED):
    return ChangeSettings((("*.weights.range_method", LEARNED), ("*.activations.range_method", method)))


@pytest.mark.parametrize("method", LEARNED_METHODS)
@pytest.mark.parametrize("before", ["min_max", MSE])
def test_learning_starts_from_the_scale_in_use(graphs, method, before):
    run_spec = spec(convnet(), weights={"range_method": before, "num_bits": 4}, activations={"num_bits": 4})
    with Driver(run_spec, paused=True) as driver:
        advance(driver, 10)
        graph = graph_of(run_spec, graphs)
        graph.publish()
        earlier = [(part.scale, part.zero_point) for part in graph.snapshot()]
        driver.send(learning(method))
        graph.publish()
        for (scale, zero_point), part in zip(earlier, graph.snapshot()):
            # The range is captured in the training copy, whose folded weights can differ in the last digit.
            np.testing.assert_allclose(part.scale, scale, rtol=3e-7)
            np.testing.assert_array_equal(part.zero_point, zero_point)
        advance(driver, 5)
        state = graph.read_state()
        assert set(LEARNED_STATE) <= set(state)
        scales = [part.scale for part in (graph.publish(), graph.snapshot())[1]]
        moved = [not np.array_equal(scale, old) for scale, (old, _) in zip(scales, earlier)]
        fixed = [bool(tensor.fixed_range) for tensor in run_spec.plan.tensors]
        assert all(is_moved or is_fixed for is_moved, is_fixed in zip(moved, fixed))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.always("adam", "sgd")
def test_weights_train_as_without_learned_scales_at_a_rate_of_zero(graphs, optimizer):
    """A learning rate of 0 keeps the ranges: the run equals one with frozen ranges, step by step."""
    found = []
    for change in (
        (("*.range_method", LEARNED), ("run.scale_learning_rate", 0.0)),
        (("*.range_method", "frozen"),),
    ):
        with Driver(spec(convnet(), optimizer=optimizer), paused=True) as driver:
            advance(driver, 5)
            driver.send(ChangeSettings(change))
            advance(driver, 10)
            found.append([record.loss for record in driver.steps()])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "name, reference",
    [
        ("sgd", lambda: tf.train.GradientDescentOptimizer(0.1)),
        ("momentum", lambda: tf.train.MomentumOptimizer(0.1, 0.9)),
        ("adam", lambda: tf.train.AdamOptimizer(0.1)),
        ("rmsprop", lambda: tf.keras.optimizers.RMSprop(0.1, epsilon=1e-8)),
    ],
)
def test_directions_are_those_of_tensorflows_optimizers(name, reference):
    random = np.random.RandomState(0)
    gradients = random.standard_normal([6, 4]).astype(np.float32)
    values, state, hyper = np.zeros(4, np.float32), [np.zeros(4, np.float32)] * 2, RunSettings(rho=0.9)
    with tf.Graph().as_default(), tf.Session() as session:
        gradient, variable = tf.placeholder(tf.float32, [4]), tf.Variable(values, use_resource=True)
        update = reference().apply_gradients([(gradient, variable)])
        moments, count = [tf.placeholder(tf.float32, [4]) for _ in state], tf.placeholder(tf.float32, [4])
        fetched = optimizers.OPTIMIZERS[name].direction(gradient, moments, count, hyper.to_dict())
        session.run(tf.global_variables_initializer())
        for step, given in enumerate(gradients, 1):
            feeds = {gradient: given, count: np.full(4, step, np.float32), **dict(zip(moments, state))}
            direction, state = session.run(fetched, feeds)
            values = values - np.float32(0.1) * direction
            session.run(update, {gradient: given})
            np.testing.assert_allclose(values, session.run(variable), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_a_scale_that_is_far_too_large_shrinks(graphs, optimizer):
    run_spec = spec(mlp(), optimizer=optimizer, run={"learning_rate": 1e-2, "scale_learning_rate": 5.0})
    with Driver(run_spec, paused=True) as driver:
        advance(driver, 5)
        driver.send(ChangeSettings((("*.num_bits", 4), ("*.range_method", "frozen"))))
        graph = graph_of(run_spec, graphs)
        ranges = graph.read_histograms()
        graph.write_ranges({name: ranges[name] * 4 for name in ("range_min", "range_max")})
        wide = graph.read_state()["range_max"]
        driver.send(learning())
        np.testing.assert_array_equal(graph.read_state()["range_max"], wide)
        advance(driver, 40)
        assert (graph.read_state()["range_max"] < wide)[:2].all()


@pytest.mark.parametrize("method", LEARNED_METHODS)
def test_a_fork_continues_like_its_source(graphs, tmp_path, method):
    run_spec = spec(convnet(), weights={"range_method": LEARNED, "num_bits": 3}, activations={"num_bits": 3})
    run_spec = replace(run_spec, book=run_spec.book.change([("*.activations.range_method", method)])[0])
    with RunRecord.create(tmp_path / "first", {}) as record, Driver(run_spec, record, paused=True) as driver:
        advance(driver, 12)
        driver.send(SaveCheckpoint("here"))
        driver.until(lambda item: isinstance(item, events.CheckpointSaved) and item.name == "here")
        arrays, meta = record.load_checkpoint("here")
        moment = RunState.from_checkpoint("here", arrays, meta, driver.run.spec.plan)
        assert set(LEARNED_STATE) <= set(arrays) and arrays["learned_count"].max() == 12
        advance(driver, 10)
        expected = graph_of(run_spec, graphs).read_state()
    fork = Driver(Run(replace(run_spec, start=moment, steps=22)))
    with fork:
        assert isinstance(fork.finish(), events.Finished)
        assert_same_arrays(graph_of(fork.run.spec, graphs).read_state(), expected)


def test_other_bits_start_from_the_least_squared_error_and_forget_the_optimizer(graphs):
    run_spec = spec(convnet(), weights={"range_method": LEARNED}, activations={"range_method": LEARNED})
    with Driver(run_spec, paused=True) as driver:
        advance(driver, 10)
        driver.send(ChangeSettings((("*.num_bits", 2),)))
        graph = graph_of(run_spec, graphs)
        state = graph.read_state()
        assert not state["learned_count"].any() and not state["learned_moments"].any()
        assert not any(graph.read_histograms()[name].any() for name in HISTOGRAMS), "they were needed once only"
        weights, bits = graph.read_weights(), run_spec.book.change([("*.num_bits", 2)])[0]
        for group, weight in zip(graph.layout.weights, weights):
            own = replace(bits.quantizers[group], range_method=MSE)
            rows = weight.reshape(-1, graph.layout.leaders[group].num_channels if own.per_channel else 1)
            place = graph.layout.learned_at(group, own.per_channel)
            found = np.concatenate([state["held_max"], state["held_channel_max"]])[place]
            np.testing.assert_array_equal(found, find_range(rows, own)[1])
        driver.send(Undo())
        assert graph.read_state()["learned_count"].max() == 10


def test_nothing_is_built_when_methods_change(graphs):
    run_spec = spec(convnet())
    graph = graph_of(run_spec, graphs)
    graph.complete()
    number = len(graph._graph.get_operations())
    with Driver(run_spec, paused=True) as driver:
        for method in (*LEARNED_METHODS, "moving_average"):
            weights = LEARNED if method in LEARNED_METHODS else "min_max"
            driver.send(ChangeSettings((("*.weights.range_method", weights), ("*.activations.range_method", method))))
            advance(driver, 3)
        assert not set(LEARNED_STATE) & set(graph.read_state()), "checkpoints are small again"
    assert len(graph._graph.get_operations()) == number and graph._graph.finalized


def test_a_delayed_quantizer_starts_from_the_weights_at_its_end(graphs):
    run_spec = spec(
        mlp(), weights={"range_method": LEARNED, "num_bits": 2, "quant_delay": 20}, run={"scale_learning_rate": 0.0}
    )
    with Driver(run_spec, paused=True) as driver:
        advance(driver, 20)
        graph = graph_of(run_spec, graphs)
        before = graph.read_state()["held_channel_max"]
        advance(driver, 1)
        after = graph.read_state()
        assert not np.array_equal(before, after["held_channel_max"])
        assert after["learned_count"].max() == 1


def test_a_layer_that_is_not_trainable_keeps_its_scales(graphs):
    run_spec = spec(mlp(), weights={"range_method": LEARNED, "num_bits": 3, "trainable": False})
    with Driver(run_spec, paused=True) as driver:
        graph = graph_of(run_spec, graphs)
        start = graph.read_state()
        advance(driver, 5)
        end = graph.read_state()
        assert_same_arrays({name: end[name] for name in HELD}, {name: start[name] for name in HELD})


@pytest.mark.parametrize("method", LEARNED_METHODS)
@pytest.mark.parametrize("power_of_two", [False, True])
def test_the_integer_model_has_the_codes_of_the_evaluation(graphs, method, power_of_two):
    """Trained for a few steps, so that no range is where it started."""
    grid = {"range_method": LEARNED, "num_bits": 4, "power_of_two": power_of_two}
    run_spec = spec(convnet(), weights=dict(grid, symmetric=True), activations=dict(grid, range_method=method))
    with Driver(run_spec, paused=True) as driver:
        advance(driver, 25)
        graph = graph_of(run_spec, graphs)
        state = graph.read_state()
        graph.publish()
        outputs = graph.logits(run_spec.dataset.x_test)
        tensor = run_spec.plan.index(run_spec.plan.grid_of("logits"))
        scale, zero_point = [part[0] for part in graph.snapshot()[tensor][-2:]]
    model = integer_model(run_spec.network, run_spec.book, state)
    codes = run_codes(model, quantize_input(model, run_spec.dataset.x_test), [model.output])[model.output]
    np.testing.assert_array_equal(np.floor(outputs / scale + 0.5) + zero_point, codes.reshape(outputs.shape))
    assert len(np.unique(codes)) > 3
