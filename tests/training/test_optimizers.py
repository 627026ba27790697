"""The optimizers' updates equal those of tf.train, and their settings may change at any step."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.contrib.opt.python.training import weight_decay_optimizers

from qatviz.settings import OPTIMIZER_SETTINGS, RUN_SETTINGS
from qatviz.settings import OPTIMIZERS as OPTIMIZER_NAMES
from qatviz.training import optimizers
from qatviz.training.variables import StateVariable

STEPS = 20
HYPER = {"learning_rate": 0.05, "momentum": 0.8, "beta1": 0.85, "beta2": 0.97, "epsilon": 1e-4, "rho": 0.8}
HYPER.update(weight_decay=0.0, gradient_clip=0.0)
REFERENCES = {
    "sgd": lambda h: tf.train.GradientDescentOptimizer(h["learning_rate"]),
    "momentum": lambda h: tf.train.MomentumOptimizer(h["learning_rate"], h["momentum"]),
    "adam": lambda h: tf.train.AdamOptimizer(h["learning_rate"], h["beta1"], h["beta2"], h["epsilon"]),
    "adamw": lambda h: tf.train.AdamOptimizer(h["learning_rate"], h["beta1"], h["beta2"], h["epsilon"]),
}
START = {"a.weights": np.float32([[1.0, -2.0], [0.5, 3.0]]), "a.bias": np.float32([0.1, -0.2])}


def gradients(step):
    random = np.random.RandomState(step)
    return {name: random.standard_normal(value.shape).astype(np.float32) for name, value in START.items()}


class Optimized:
    """Variables, slots and one update of an optimizer of qatviz."""

    def __init__(self, name, is_regularized=False):
        self.optimizer = optimizers.OPTIMIZERS[name]
        self.arrays = dict(START, **optimizers.slot_arrays(self.optimizer, START, HYPER))
        self.variables = {key: StateVariable(key, value.dtype, value.shape) for key, value in self.arrays.items()}
        self.feeds = {key: tf.placeholder(tf.float32, value.shape) for key, value in START.items()}
        self.hyper = {key: tf.placeholder(tf.float32, []) for key in optimizers.HYPERPARAMETERS}
        given = (self.optimizer, self.variables, self.feeds, self.hyper)
        if is_regularized:
            values = {key: self.variables[key].read() for key in START}
            given = (self.optimizer, self.variables, values, self.feeds, self.hyper, tf.fill([len(START)], True))
        updates = (optimizers.apply_regularized if is_regularized else optimizers.apply)(*given)
        self.update = tf.group(*updates.values())
        self.read = {key: variable.read() for key, variable in self.variables.items()}

    def start(self, session):
        session.run(
            [v.load for v in self.variables.values()], {v.feed: self.arrays[key] for key, v in self.variables.items()}
        )

    def step(self, session, step, hyper):
        fed = {self.feeds[key]: value for key, value in gradients(step).items()}
        fed.update({self.hyper[key]: value for key, value in hyper.items()})
        session.run(self.update, fed)


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_updates_equal_those_of_tf_train(name):
    with tf.Graph().as_default(), tf.Session() as session:
        found = Optimized(name)
        theirs = {key: tf.Variable(value, use_resource=True) for key, value in START.items()}
        reference = REFERENCES[name](HYPER).apply_gradients([(found.feeds[key], theirs[key]) for key in START])
        session.run(tf.global_variables_initializer())
        found.start(session)
        for step in range(STEPS):
            found.step(session, step, HYPER)
            session.run(reference, {found.feeds[key]: value for key, value in gradients(step).items()})
            ours, expected = session.run(found.read), session.run(theirs)
            for key in START:
                np.testing.assert_array_equal(ours[key], expected[key], f"{key} after {step + 1} steps")
    assert not np.allclose(ours["a.weights"], START["a.weights"])


def test_rmsprop_equals_that_of_keras():
    with tf.Graph().as_default(), tf.Session() as session:
        found = Optimized("rmsprop")
        theirs = {key: tf.Variable(value, use_resource=True) for key, value in START.items()}
        keras = tf.keras.optimizers.RMSprop(HYPER["learning_rate"], HYPER["rho"], epsilon=HYPER["epsilon"])
        reference = keras.apply_gradients([(found.feeds[key], theirs[key]) for key in START])
        session.run(tf.global_variables_initializer())
        found.start(session)
        for step in range(STEPS):
            found.step(session, step, HYPER)
            session.run(reference, {found.feeds[key]: value for key, value in gradients(step).items()})
            ours, expected = session.run(found.read), session.run(theirs)
            for key in START:
                np.testing.assert_allclose(ours[key], expected[key], 1e-6, err_msg=f"{key} after {step + 1} steps")
    assert not np.allclose(ours["a.weights"], START["a.weights"])


def decayed_references(rate, decay):
    """Return operations of TensorFlow's own decoupled optimizers on variables, and the variables, by optimizer."""
    contrib = weight_decay_optimizers
    return {
        "sgd": contrib.extend_with_decoupled_weight_decay(tf.train.GradientDescentOptimizer)(decay, learning_rate=rate),
        "momentum": contrib.MomentumWOptimizer(decay, rate, HYPER["momentum"]),
        "adam": contrib.AdamWOptimizer(decay, rate, HYPER["beta1"], HYPER["beta2"], HYPER["epsilon"]),
        "adamw": contrib.AdamWOptimizer(decay, rate, HYPER["beta1"], HYPER["beta2"], HYPER["epsilon"]),
    }


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_decay_and_clipping_equal_those_of_tensorflow(name):
    """Its decay is not scaled by the learning rate; its clipping is that of the norm of all gradients."""
    hyper = dict(HYPER, weight_decay=0.3, gradient_clip=2.0)
    norms = [np.sqrt(sum(np.square(g).sum() for g in gradients(step).values())) for step in range(STEPS)]
    assert min(norms) < 2.0 < max(norms)
    with tf.Graph().as_default(), tf.Session() as session:
        found = Optimized(name, is_regularized=True)
        theirs = {key: tf.Variable(value, use_resource=True) for key, value in START.items()}
        clipped, _ = tf.clip_by_global_norm([found.feeds[key] for key in START], hyper["gradient_clip"])
        reference = decayed_references(hyper["learning_rate"], hyper["learning_rate"] * hyper["weight_decay"])[name]
        pairs = zip(clipped, (theirs[key] for key in START))
        update = reference.apply_gradients(list(pairs), decay_var_list=[theirs["a.weights"]])
        session.run(tf.global_variables_initializer())
        found.start(session)
        for step in range(STEPS):
            found.step(session, step, hyper)
            session.run(update, {found.feeds[key]: value for key, value in gradients(step).items()})
            ours, expected = session.run(found.read), session.run(theirs)
            for key in START:
                np.testing.assert_allclose(ours[key], expected[key], 2e-5, 1e-6, err_msg=f"{key} after {step + 1}")


@pytest.mark.parametrize("name", sorted(OPTIMIZER_NAMES))
@pytest.mark.parametrize("limit", [0.0, 1e6])
def test_without_decay_and_with_small_gradients_nothing_is_changed(name, limit):
    """The update that can decay and clip then gives the same bits as the one that can not."""
    with tf.Graph().as_default(), tf.Session() as session:
        both = [Optimized(name), Optimized(name, is_regularized=True)]
        for found in both:
            found.start(session)
            for step in range(STEPS):
                found.step(session, step, dict(HYPER, gradient_clip=limit))
        first, second = (session.run(found.read) for found in both)
    for key, value in first.items():
        assert value.tobytes() == second[key].tobytes(), key


def test_adam_corrects_its_bias_for_changing_betas():
    """The bias correction uses all past betas: m / (1 - product of all beta1)."""
    with tf.Graph().as_default(), tf.Session() as session:
        found = Optimized("adam")
        found.start(session)
        m = v = 0.0
        power1, power2 = np.float64(HYPER["beta1"]), np.float64(HYPER["beta2"])
        weights = START["a.weights"].astype(np.float64)
        for step in range(STEPS):
            hyper = HYPER if step < 10 else dict(HYPER, beta1=0.5, beta2=0.9, learning_rate=0.01)
            found.step(session, step, hyper)
            gradient = gradients(step)["a.weights"].astype(np.float64)
            m, v = m + (gradient - m) * (1 - hyper["beta1"]), v + (gradient**2 - v) * (1 - hyper["beta2"])
            rate = hyper["learning_rate"] * np.sqrt(1 - power2) / (1 - power1)
            weights = weights - rate * m / (np.sqrt(v) + hyper["epsilon"])
            power1, power2 = power1 * hyper["beta1"], power2 * hyper["beta2"]
        np.testing.assert_allclose(session.run(found.read)["a.weights"], weights, rtol=1e-5)


class Recording(dict):
    """Hyperparameters that remember which were read."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("name", sorted(OPTIMIZER_NAMES))
def test_an_optimizer_reads_the_settings_listed_for_it(name):
    with tf.Graph().as_default():
        found = Optimized(name)
        hyper = Recording(found.hyper)
        slots = {slot: found.variables[f"a.bias|{slot}"] for slot in found.optimizer.slots}
        scalars = {scalar: found.variables["optimizer|" + scalar].read() for scalar in found.optimizer.scalars}
        hyper.update(scalars)
        found.optimizer.update(found.variables["a.bias"], found.feeds["a.bias"], slots, hyper)
    assert hyper.read - set(scalars) == {"learning_rate", *OPTIMIZER_SETTINGS[name]}


def test_names_slots_and_settings_agree():
    assert set(optimizers.OPTIMIZERS) == set(OPTIMIZER_NAMES)
    assert set(optimizers.HYPERPARAMETERS) <= set(RUN_SETTINGS)
    of_all = {"learning_rate", *optimizers.REGULARIZERS}
    assert of_all.union(*OPTIMIZER_SETTINGS.values()) == set(optimizers.HYPERPARAMETERS)
    assert all(RUN_SETTINGS[name].default == 0 for name in optimizers.REGULARIZERS)
    for optimizer in optimizers.OPTIMIZERS.values():
        slots = optimizers.slot_arrays(optimizer, START, HYPER)
        assert len(slots) == len(optimizer.slots) * len(START) + len(optimizer.scalars)
    adam = optimizers.slot_arrays(optimizers.OPTIMIZERS["adam"], START, HYPER)
    assert adam["optimizer|beta1_power"] == np.float32(0.85) and adam["optimizer|beta2_power"] == np.float32(0.97)
    assert adam["a.weights|m"].shape == (2, 2) and not adam["a.weights|v"].any()
