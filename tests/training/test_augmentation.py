"""Augmentation equals that of TensorFlow and NumPy, and is a pure function of seed and step."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet, dataset, mlp, spec
from tensorflow.contrib.image import rotate
from training_cases import Driver, assert_same_arrays

from qatviz.data import BatchSchedule, augmentation, from_arrays
from qatviz.data.augmentation import augment, moved
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Resume, SetSteps, SingleStep, Undo
from qatviz.protocol.run_spec import RunSpec
from qatviz.settings import RunSettings
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training import step_inputs
from qatviz.training.parameters import initial_parameters

ALL = {
    "augment_shift": 0.2,
    "augment_flip": "both",
    "augment_rotation": 20.0,
    "augment_time_shift": 0.2,
    "augment_noise": 0.05,
    "augment_mixup": 0.4,
}


def images(n=12, height=9, width=7, channels=2):
    return np.random.RandomState(0).rand(n, height, width, channels).astype(np.float32)


def augmented(x, y=None, seed=1, step=5, **settings):
    return augment(x, np.arange(len(x)) if y is None else y, RunSettings(**settings), seed, step)


def final_arrays(run_spec):
    with Driver(run_spec) as driver:
        assert isinstance(driver.finish(), events.Finished)
    return driver.run.final.arrays


def moves(n, shifts=(0, 0), mirrored=(False, False), angle=0.0):
    return np.tile(shifts, (n, 1)), np.tile(mirrored, (n, 1)), np.full(n, angle)


def test_images_are_mirrored_and_shifted_as_by_numpy():
    x = images()
    np.testing.assert_array_equal(moved(x, *moves(12, mirrored=(True, False))), x[:, ::-1])
    np.testing.assert_array_equal(moved(x, *moves(12, mirrored=(False, True))), x[:, :, ::-1])
    found = moved(x, *moves(12, (2 / 9, -3 / 7), (True, True)))
    expected = np.pad(x[:, ::-1, ::-1], ((0, 0), (2, 0), (0, 3), (0, 0)), mode="edge")[:, :9, 3:]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [(9, 9), (8, 12)])
def test_rotation_equals_that_of_tensorflow(size):
    x = images(6, *size)
    angles = np.radians([0.0, 10.0, -25.0, 90.0, 180.0, 45.0])
    with tf.Graph().as_default(), tf.Session() as session:
        expected = session.run(rotate(tf.constant(x), angles.astype(np.float32), interpolation="BILINEAR"))
        inside = session.run(rotate(tf.ones_like(x), angles.astype(np.float32), interpolation="BILINEAR")) > 0.999
    found = moved(x, np.zeros((6, 2)), np.zeros((6, 2), bool), angles)
    assert inside.mean() > 0.6  # beyond, TensorFlow fills with zeros
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-5)


def test_each_setting_does_what_it_says_and_no_more():
    x = images(200)
    shifted = augmented(x, augment_shift=0.25).examples
    assert shifted.shape == x.shape and {tuple(p) for p in shifted.reshape(-1, 2)} <= {
        tuple(p) for p in x.reshape(-1, 2)
    }
    flipped = augmented(x, augment_flip="horizontal").examples
    same, mirrored = (flipped == x).all(axis=(1, 2, 3)), (flipped == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all() and 0.3 < mirrored.mean() < 0.7
    noisy = augmented(x, augment_noise=0.1).examples
    assert 0.08 < (noisy - x).std() < 0.1 and noisy.min() >= x.min() and noisy.max() <= x.max()
    late = augmented(x, augment_time_shift=0.3).examples
    np.testing.assert_array_equal(np.sort(np.unique(late)), np.sort(np.unique(late[np.isin(late, x)])))
    assert any((late[i, 1:] == x[i, :-1]).all() for i in range(200)), "some are one row later"
    rows = augmented(x[:, :, :, 0], augment_time_shift=0.3, augment_shift=0.5, augment_rotation=90.0).examples
    np.testing.assert_array_equal(rows, late[:, :, :, 0])
    features = x.reshape(200, -1)
    changed = augmented(features, augment_shift=0.5, augment_flip="both", augment_rotation=9.0, augment_time_shift=0.5)
    np.testing.assert_array_equal(changed.examples, features)


def test_mixup_mixes_examples_by_a_share_of_the_beta_distribution():
    x = images()
    found = augmented(x, augment_mixup=0.5)
    assert 0 < found.weight < 1 and sorted(found.order) == list(range(12))
    np.testing.assert_allclose(found.examples, found.weight * x + (1 - found.weight) * x[found.order], atol=1e-6)
    shares = [augmented(x, step=step, augment_mixup=2.0).weight for step in range(400)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05) and np.var(shares) == pytest.approx(0.05, abs=0.015)


def test_targets_that_are_images_move_with_the_examples():
    x = images()
    found = augmented(x, x, augment_shift=0.3, augment_flip="both", augment_rotation=30.0)
    np.testing.assert_array_equal(found.examples, found.targets)
    half = augmented(x, x[:, ::2], augment_noise=0.5)
    np.testing.assert_array_equal(half.targets, x[:, ::2])


def test_masks_move_with_the_examples_and_keep_their_classes():
    """An example that is its mask as numbers moves like it; with rotation, up to the interpolation at borders."""
    mask = np.random.RandomState(0).randint(0, 3, (12, 3, 4)).repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
    mask[:, 5] = 255
    x = mask[..., np.newaxis].astype(np.float32)
    for more in ({"augment_shift": 0.3, "augment_flip": "both"}, {"augment_time_shift": 0.4}):
        found = augmented(x, mask, **more)
        assert found.targets.dtype == np.uint8 and (found.targets != mask).any()
        np.testing.assert_array_equal(found.examples[..., 0], found.targets)
    turned = augmented(x, mask, augment_rotation=40.0)
    assert set(np.unique(turned.targets)) == {0, 1, 2, 255}
    whole = turned.examples[..., 0] == np.round(turned.examples[..., 0])
    assert 0.2 < whole.mean() < 1
    assert (turned.examples[..., 0] == turned.targets)[whole].mean() > 0.95


def test_targets_of_several_outputs_move_with_the_examples_which_move_once(monkeypatch):
    x, counted = images(), []
    labels = [x[..., 0] > 0.5, np.arange(len(x)), (4 * x[..., 1]).astype(np.uint8), x, x[:, 0, 0]]
    data = SimpleNamespace(batch=lambda indices: (x[indices], [own[indices] for own in labels]))
    rows, run, number = np.arange(3, 9), RunSettings(**ALL), len(labels)
    expected = [augment(x[rows], own[rows], run, 4, 2) for own in labels]

    def counting(given, *rest, **more):
        counted.append(given)
        return moved(given, *rest, **more)

    monkeypatch.setattr(augmentation, "moved", counting)
    found, *own, indices, weight = step_inputs.augmented_batch(data, False, rows, 2, run, 4)
    assert len(counted) == 4, "the examples, and the three targets that are images or masks"
    one = expected[0]
    np.testing.assert_array_equal(found, one.examples)
    np.testing.assert_array_equal(indices, rows[one.order])
    assert weight == one.weight
    for first, second, other in zip(own[:number], own[number:], expected):
        np.testing.assert_array_equal(first, other.targets)
        np.testing.assert_array_equal(second, other.targets[one.order])


def test_a_batch_depends_on_seed_and_step_alone_and_each_kind_on_itself():
    x = images()
    one = augmented(x, **ALL)
    np.testing.assert_array_equal(one.examples, augmented(x, **ALL).examples)
    for other in (augmented(x, step=6, **ALL), augmented(x, seed=2, **ALL)):
        assert (one.examples != other.examples).any() and one.weight != other.weight
    assert augmented(x, augment_mixup=0.4).weight == one.weight


def test_resumed_runs_train_on_the_same_examples(tmp_path):
    data = dataset((6, 6, 2))
    run = dict(ALL)
    whole = final_arrays(spec(convnet(), data, steps=30, run=run))
    first = spec(convnet(), data, steps=13, run=run)
    record = RunRecord.create(tmp_path / "run", dict(first.description(), data="tiny"))
    with Driver(first, record) as driver:
        driver.finish()
    description = RunRecord.read(tmp_path / "run").description
    rest = RunSpec.from_description(description, data, start=driver.run.final, steps=30)
    assert_same_arrays(final_arrays(rest), whole)
    plain = final_arrays(spec(convnet(), data, steps=30))
    assert any((plain[name] != whole[name]).any() for name in plain)


def test_settings_are_live_and_undo_takes_them_back():
    data = dataset((6, 6, 2))
    with Driver(spec(convnet(), data), paused=True) as driver:
        seen = len(driver.news)
        driver.send(SingleStep(5))
        driver.until_event(events.Paused, since=seen)
        driver.send(ChangeSettings(tuple((f"run.{name}", value) for name, value in ALL.items())))
        driver.send(SingleStep(5))
        driver.send(Undo())
        driver.send(SetSteps(10))
        driver.send(Resume())
        driver.finish()
    assert_same_arrays(driver.run.final.arrays, final_arrays(spec(convnet(), data, steps=10)))


@pytest.mark.parametrize("task, outputs, given", [("cross_entropy", 3, "2=3"), ("mse", 2, "")])
def test_training_with_mixup_equals_that_of_keras_on_mixed_answers(task, outputs, given):
    """In float, with plain gradient descent; Keras gets the augmented batches."""
    x = np.random.RandomState(5).standard_normal((96, 6)).astype(np.float32)
    y = np.digitize(x[:, 0], [-0.4, 0.4]) if task == "cross_entropy" else x[:, :2] + 0.25
    data, steps, rate = from_arrays("mixed", "test", (x, y), (x, y)), 15, 0.05
    run = {"learning_rate": rate, "augment_mixup": 1.0, "augment_noise": 0.1, "label_smoothing": 0.1}
    run_spec = spec(mlp(classes=outputs), data, "float", steps, run, optimizer="sgd", seed=4, class_weights=given)
    with Driver(run_spec) as driver:
        assert driver.finish() == events.Finished(steps)
    found, last = [record.loss for record in driver.steps()], driver.run.final.arrays
    names = ("dense1.weights", "dense1.bias", "logits.weights", "logits.bias")
    factors = np.array([1, 1, 3], np.float32)
    with tf.Graph().as_default(), tf.Session():
        layers = [tf.keras.layers.Dense(8, "relu", input_shape=(6,)), tf.keras.layers.Dense(outputs)]
        model = tf.keras.Sequential(layers)
        parameters = initial_parameters(run_spec.network, 4)
        model.set_weights([parameters[name] for name in names])
        kind = tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
        model.compile(tf.keras.optimizers.SGD(rate), kind if task == "cross_entropy" else tf.keras.losses.mse)
        batches, expected = BatchSchedule(96, run_spec.batch_size, 4), []
        for step in range(steps):
            rows = batches.indices(step)
            batch = augment(data.x_train[rows], data.y_train[rows], run_spec.book.run, 4, step)
            inputs, parts = np.concatenate([batch.examples] * 2), (rows, rows[batch.order])
            answers = np.concatenate([data.y_train[part] for part in parts])
            weights = np.repeat([2 * batch.weight, 2 * (1 - batch.weight)], len(rows))
            if task == "cross_entropy":
                weights = weights * factors[answers]
                answers = np.eye(3)[answers]
            expected.append(model.train_on_batch(inputs, answers, sample_weight=weights))
        trained = model.get_weights()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for name, array in zip(names, trained):
        np.testing.assert_allclose(last[name], array, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("network, shape", [(convnet, (6, 6, 2)), (mlp, (6,))])
@pytest.mark.always("convnet-shape0")
def test_without_augmentation_runs_are_those_of_a_graph_that_can_augment_nothing(network, shape, monkeypatch):
    """Bit for bit: the loss of mixed batches and the inputs that can be replaced change nothing."""
    run_spec = spec(network(), dataset(shape), steps=25, seed=11)
    found = final_arrays(run_spec)
    monkeypatch.setattr(step_inputs, "_replaceable", lambda value, name: tf.identity(value))
    monkeypatch.setattr(
        step_inputs.StepInputs,
        "loss",
        lambda self, heads, outputs, smoothing: (heads.total(heads.losses(outputs, self.labels, smoothing)), []),
    )
    plain = final_arrays(replace(run_spec, network=replace(run_spec.network, name="plain")))  # a graph of its own
    assert_same_arrays(found, plain)


def test_all_is_off_by_default():
    assert not RunSettings().augments
    for name, value in ALL.items():
        assert RunSettings(**{name: value}).augments
    assert RunSettings().unused_augmentation((4, 4, 1)) == ()
    assert "augment_time_shift" not in RunSettings().unused_augmentation((9, 4))
    assert len(RunSettings().unused_augmentation((9,))) == 4
