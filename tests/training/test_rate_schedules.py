"""A run follows the schedule of its learning rate step by step, also after a change and from a checkpoint."""

import numpy as np
import tensorflow.compat.v1 as tf
from small_runs import spec
from training_cases import Driver

from qatviz.data import BatchSchedule
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings
from qatviz.settings import RunSettings
from qatviz.training.parameters import initial_parameters

STEPS, CHANGED = 40, 25
RUN = {"learning_rate": 0.2, "lr_schedule": "cosine", "lr_period": 30, "lr_factor": 0.05, "warmup_steps": 6}
CHANGE = ChangeSettings((("run.lr_schedule", "exponential"), ("run.lr_period", 9)))


def expected_rates():
    """Return TensorFlow's decays after a linear warm-up."""
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.placeholder(tf.int32, [])
        after = step - RUN["warmup_steps"]
        cosine = tf.train.cosine_decay(RUN["learning_rate"], after, RUN["lr_period"], RUN["lr_factor"])
        exponential = tf.train.exponential_decay(RUN["learning_rate"], after, 9, RUN["lr_factor"])
        warm = RUN["learning_rate"] * (tf.cast(step, tf.float32) + 1) / RUN["warmup_steps"]
        rates = [warm] * RUN["warmup_steps"] + [cosine] * (CHANGED - RUN["warmup_steps"])
        rates += [exponential] * (STEPS - CHANGED)
        return [session.run(rate, {step: at}) for at, rate in enumerate(rates)]


def test_a_run_equals_one_of_keras_whose_rate_is_set_before_each_step():
    run_spec = spec(preset="float", steps=STEPS, run=RUN, optimizer="sgd", schedule=((CHANGED, CHANGE),))
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(STEPS)
    rates = expected_rates()
    np.testing.assert_allclose([record.learning_rate for record in driver.steps()], rates, rtol=1e-5)
    final, data = driver.run.final.arrays, run_spec.dataset
    parameters = initial_parameters(run_spec.network, run_spec.seed)
    names = list(run_spec.network.all_parameter_shapes())
    with tf.Graph().as_default(), tf.Session():
        layers = [tf.keras.layers.Flatten(input_shape=run_spec.network.input_shape)]
        layers += [tf.keras.layers.Dense(parameters["dense1.weights"].shape[1], "relu")]
        layers += [tf.keras.layers.Dense(parameters["logits.weights"].shape[1])]
        model = tf.keras.Sequential(layers)
        model.set_weights([parameters[name] for name in names])
        optimizer = tf.keras.optimizers.SGD(1.0)
        model.compile(optimizer, tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        batches = BatchSchedule(len(data.x_train), run_spec.batch_size, run_spec.seed)
        pixels = data.x_train.astype(np.float32) * np.float32(data.pixel_scale)
        for step, rate in enumerate(rates):
            tf.keras.backend.set_value(optimizer.lr, rate)
            model.train_on_batch(pixels[batches.indices(step)], data.y_train[batches.indices(step)])
        for name, array in zip(names, model.get_weights()):
            np.testing.assert_allclose(final[name], array, rtol=1e-3, atol=1e-5, err_msg=name)
    assert np.abs(final["logits.weights"] - parameters["logits.weights"]).max() > 0.05


def test_the_rate_of_a_record_without_a_schedule_is_constant():
    """Records of version 0.2 and older lack these settings."""
    book = spec(run=RUN).book.to_dict()
    for name in ("lr_schedule", "lr_period", "lr_factor", "warmup_steps", "weight_decay", "gradient_clip", "rho"):
        del book["run"][name]
    assert RunSettings(**book["run"]).learning_rate_at(7) == RUN["learning_rate"]


def test_a_resumed_run_continues_the_schedule():
    def steps_of(steps, start=None):
        with Driver(spec(steps=steps, run=RUN, start=start)) as driver:
            assert driver.finish() == events.Finished(steps)
        return [(r.step, r.loss, r.learning_rate) for r in driver.steps()], driver.run.final

    whole, _ = steps_of(STEPS)
    first, state = steps_of(13)
    second, _ = steps_of(STEPS, state)
    assert first + second == whole
