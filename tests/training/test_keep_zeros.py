"""Weights that are 0 stay 0 on request, in every optimizer, and have the code of 0 on every grid."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet, dataset, mlp, spec
from training_cases import Driver, assert_same_arrays

from qatviz.data import BatchSchedule
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Resume, SetSteps, SingleStep, Undo
from qatviz.quant.affine import choose_grid, fake_quant, quantize
from qatviz.settings import OPTIMIZERS
from qatviz.training.parameters import initial_parameters


def pruned(network, seed=0):
    """Return initial parameters, of whose weights half are 0."""
    parameters = initial_parameters(network, 0)
    random = np.random.RandomState(seed)
    for name in parameters:
        if name.endswith(".weights"):
            parameters[name] *= random.rand(*parameters[name].shape) < 0.5
    return parameters


def zeros_of(arrays):
    return {name: array == 0 for name, array in arrays.items() if name.endswith(".weights")}


def final_arrays(run_spec):
    with Driver(run_spec) as driver:
        assert isinstance(driver.finish(), events.Finished)
    return driver.run.final.arrays


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.always("adam", "sgd")
def test_pruned_weights_stay_zero_and_all_others_are_trained(optimizer):
    network = convnet()
    parameters = pruned(network)
    run = {"keep_zeros": True, "weight_decay": 0.01}
    found = final_arrays(spec(network, steps=30, run=run, optimizer=optimizer, parameters=parameters))
    for name, mask in zeros_of(parameters).items():
        assert 0.3 < mask.mean() < 0.7 and (found[name][mask] == 0).all(), name
        assert (found[name][~mask] != 0).all() and (found[name][~mask] != parameters[name][~mask]).any(), name
    assert (found["logits.bias"] != 0).any(), "biases start at 0 and are trained"


def test_updates_equal_those_of_keras_with_a_mask():
    """A constraint of Keras multiplies weights by their mask after each update."""
    network, data, steps = mlp(), dataset(), 20
    parameters = pruned(network)
    run = {"keep_zeros": True, "learning_rate": 0.05}
    run_spec = spec(network, data, "float", steps, run, optimizer="momentum", parameters=parameters)
    found = final_arrays(run_spec)
    with tf.Graph().as_default(), tf.Session():
        masks = {name: tf.constant(1 - mask.astype(np.float32)) for name, mask in zeros_of(parameters).items()}
        layers = [
            tf.keras.layers.Dense(
                units, activation, kernel_constraint=lambda w, name=name: w * masks[name + ".weights"], **more
            )
            for name, units, activation, more in (
                ("dense1", 8, "relu", {"input_shape": (6,)}),
                ("logits", 3, None, {}),
            )
        ]
        model = tf.keras.Sequential(layers)
        names = ["dense1.weights", "dense1.bias", "logits.weights", "logits.bias"]
        model.set_weights([parameters[name] for name in names])
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf.keras.optimizers.SGD(0.05, momentum=0.9), loss)
        batches = BatchSchedule(len(data.x_train), run_spec.batch_size, run_spec.seed)
        for step in range(steps):
            model.train_on_batch(data.x_train[batches.indices(step)], data.y_train[batches.indices(step)])
        for name, array in zip(names, model.get_weights()):
            np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-5)


def test_without_zeros_nothing_changes_and_without_the_setting_zeros_are_trained():
    assert_same_arrays(final_arrays(spec(steps=20, run={"keep_zeros": True})), final_arrays(spec(steps=20)))
    parameters = pruned(mlp())
    found = final_arrays(spec(steps=20, parameters=parameters))
    assert all((found[name][mask] != 0).any() for name, mask in zeros_of(parameters).items())


def test_the_setting_is_live_and_undo_takes_it_back():
    parameters = pruned(mlp())
    with Driver(spec(parameters=parameters), paused=True) as driver:
        driver.send(ChangeSettings((("run.keep_zeros", True),)))
        seen = len(driver.news)
        driver.send(SingleStep(5))
        driver.until_event(events.Paused, since=seen)
        driver.send(ChangeSettings((("run.keep_zeros", False),)))
        driver.send(SingleStep(5))
        driver.send(Undo())
        driver.send(SetSteps(10))
        driver.send(Resume())
        driver.finish()
    whole = final_arrays(spec(steps=10, run={"keep_zeros": True}, parameters=parameters))
    assert_same_arrays(driver.run.final.arrays, whole)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("num_bits", [2, 4, 8])
def test_zero_is_the_zero_point_of_every_grid(num_bits, symmetric):
    found = final_arrays(spec(steps=10, run={"keep_zeros": True}, parameters=pruned(mlp())))["dense1.weights"]
    grid = choose_grid(found.min(), found.max(), num_bits=num_bits, symmetric=symmetric, narrow_range=False)
    mask = found == 0
    assert mask.any() and (fake_quant(found, grid)[mask] == 0).all()
    assert (quantize(found, grid)[mask] == grid.zero_point).all()
