"""Layers that are not trainable keep all their values, whatever else a step does; the setting is live."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet, dataset, mlp, spec
from training_cases import Driver, assert_same_arrays

from qatviz.data import BatchSchedule
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Resume, SetSteps, SingleStep, Undo
from qatviz.settings import OPTIMIZERS
from qatviz.training.parameters import initial_parameters, kept_layers

REGULARIZED = {"keep_zeros": True, "weight_decay": 0.01, "gradient_clip": 0.5}


def final_arrays(run_spec):
    with Driver(run_spec) as driver:
        assert isinstance(driver.finish(), events.Finished)
    return driver.run.final.arrays


def kept(run_spec, *paths):
    """Return the spec with these weights not trainable."""
    return replace(run_spec, book=run_spec.book.change([(path + ".trainable", False) for path in paths])[0])


def of_layers(arrays, *layers):
    """Return the parameters and optimizer slots of layers."""
    return {name: array for name, array in arrays.items() if name.partition(".")[0] in layers and "." in name}


@pytest.mark.parametrize("run", [{}, REGULARIZED])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.always("adam-*", "sgd-run0")
def test_parameters_statistics_and_slots_of_the_layer_are_kept(optimizer, run):
    network = convnet()
    conv, norm = next((unit.name, unit.batch_norm.name) for unit in quantization_plan(network).units if unit.batch_norm)
    run_spec = spec(network, steps=12, run=run, optimizer=optimizer)
    start, found = (
        final_arrays(spec(network, steps=0, optimizer=optimizer)),
        final_arrays(kept(run_spec, conv + ".weights")),
    )
    own = of_layers(start, conv, norm)
    assert {f"{norm}.gamma", f"{norm}.moving_mean", f"{conv}.weights"} <= set(own)
    assert_same_arrays(of_layers(found, conv, norm), own)
    for name in set(start) - set(own):
        if name.endswith(".weights") or ".moving_mean" in name:
            assert not np.array_equal(start[name], found[name]), name


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_updates_equal_those_of_tensorflow_without_the_layer(clip):
    """Gradients of a layer that is not trainable do not count in the norm to which gradients are clipped."""
    network, data, steps = mlp(), dataset(), 20
    parameters = initial_parameters(network, 0)
    run_spec = spec(
        network,
        data,
        "float",
        steps,
        {"learning_rate": 0.05, "gradient_clip": clip},
        optimizer="sgd",
        parameters=parameters,
    )
    found = final_arrays(kept(run_spec, "dense1.weights"))
    with tf.Graph().as_default(), tf.Session() as session:
        x, y = tf.placeholder(tf.float32, [None, 6]), tf.placeholder(tf.int64, [None])
        hidden = tf.nn.relu(tf.matmul(x, parameters["dense1.weights"]) + parameters["dense1.bias"])
        trained = [tf.Variable(parameters["logits." + name]) for name in ("weights", "bias")]
        loss = tf.losses.sparse_softmax_cross_entropy(y, tf.matmul(hidden, trained[0]) + trained[1])
        gradients = tf.gradients(loss, trained)
        if clip:
            gradients, _ = tf.clip_by_global_norm(gradients, clip)
        update = tf.train.GradientDescentOptimizer(0.05).apply_gradients(zip(gradients, trained))
        session.run(tf.global_variables_initializer())
        batches = BatchSchedule(len(data.x_train), run_spec.batch_size, run_spec.seed)
        for step in range(steps):
            session.run(update, {x: data.x_train[batches.indices(step)], y: data.y_train[batches.indices(step)]})
        expected = session.run(trained)
    np.testing.assert_allclose(found["logits.weights"], expected[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["logits.bias"], expected[1], rtol=1e-4, atol=1e-6)
    assert_same_arrays(of_layers(found, "dense1"), of_layers(parameters, "dense1"))


def test_the_setting_is_live_and_undo_takes_it_back():
    off, on = [ChangeSettings((("dense1.weights.trainable", value),)) for value in (False, True)]
    with Driver(spec(), paused=True) as driver:

        def five_steps():
            seen = len(driver.news)
            driver.send(SingleStep(5))
            driver.until_event(events.Paused, since=seen)

        five_steps()
        driver.send(off)
        five_steps()
        driver.send(on)
        five_steps()
        driver.send(off)
        five_steps()
        driver.send(Undo())
        driver.send(SetSteps(20))
        driver.send(Resume())
        driver.finish()
    schedule = ((5, off), (10, on))
    assert_same_arrays(driver.run.final.arrays, final_arrays(spec(steps=20, schedule=schedule)))


def test_a_preset_leaves_it_unchanged():
    book = kept(spec(), "dense1.weights").book
    chosen, changes = book.with_preset("int4")
    assert not chosen.of("dense1.weights").trainable and chosen.of("dense1.weights").num_bits == 4
    assert changes and not any(change.setting.endswith("trainable") for change in changes)


def test_a_layer_of_keras_is_kept_as_a_whole_only():
    network = convnet()
    plan = quantization_plan(network)
    unit = next(unit for unit in plan.units if unit.batch_norm)
    names = network.all_parameter_shapes()
    arrays = {name: ((name.partition(".")[0],), name.partition(".")[2]) for name in names}
    own = {name for name in names if name.partition(".")[0] in (unit.name, unit.batch_norm.name)}
    found = kept_layers(plan, network, KerasOrigin(None, arrays, frozen=frozenset(own)))
    assert found == {unit.name + ".weights": own}
    partly = frozenset(own - {unit.batch_norm.name + ".gamma"})
    assert kept_layers(plan, network, KerasOrigin(None, arrays, frozen=partly)) == {}
    constants = KerasOrigin(None, {}, frozen=frozenset(own))
    assert kept_layers(plan, network, constants) == {}, "they have no place in the Keras model"
