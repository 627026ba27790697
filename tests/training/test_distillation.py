"""Distillation: its loss equals its definition in NumPy, its gradient the equation; off, the teacher does not run."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet, dataset, mlp, spec
from training_cases import Driver, graph_of

from qatviz.errors import SettingError
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, RestoreCheckpoint, SaveCheckpoint, SingleStep
from qatviz.settings import RunSettings
from qatviz.training import distillation
from qatviz.training.objective import imitation_loss

FLOAT = {"weights": {"enabled": False}, "activations": {"enabled": False}}


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("temperature", [1.0, 4.0, 0.5])
@pytest.mark.parametrize("is_sigmoid", [False, True])
def test_loss_and_gradient_equal_the_equations(temperature, is_sigmoid):
    random = np.random.RandomState(0)
    logits, answers = (3 * random.standard_normal((5, 4)).astype(np.float32) for _ in range(2))
    with tf.Graph().as_default(), tf.Session() as session:
        z = tf.constant(logits)
        loss = imitation_loss(z, tf.constant(answers), tf.constant(np.float32(temperature)), is_sigmoid)
        found, gradient = session.run([loss, tf.gradients(loss, z)[0]])
    by_one = sigmoid if is_sigmoid else softmax
    p, q = (by_one(x.astype(np.float64) / temperature) for x in (answers, logits))
    terms = -p * np.log(q) - ((1 - p) * np.log(1 - q) if is_sigmoid else 0)
    count = 20 if is_sigmoid else 5  # independent answers are averaged, too
    assert found == pytest.approx(temperature**2 * terms.sum() / count, rel=1e-5)
    np.testing.assert_allclose(gradient, temperature * (q - p) / count, rtol=1e-4, atol=1e-6)


def logits_of(parameters, x):
    hidden = np.maximum(x @ parameters["dense1.weights"] + parameters["dense1.bias"], 0)
    return hidden @ parameters["logits.weights"] + parameters["logits.bias"]


def test_the_loss_of_a_step_is_the_weighted_sum(graphs):
    """In NumPy, from the weights of the run and of the teacher."""
    weight, temperature = 0.7, 3.0
    run_spec = spec(mlp(), **FLOAT)
    graph = graph_of(run_spec, graphs)
    state, teacher = graph.initial_state(RunSettings()), {}
    for name, value in graph.initial_state(RunSettings()).items():
        teacher[name] = value + np.float32(0.3) * np.sign(value)
    indices = np.arange(8, dtype=np.int32)
    x, y = run_spec.dataset.x_train[:8].reshape(8, -1), run_spec.dataset.y_train[:8]
    run = RunSettings(teacher="given", distillation_weight=weight, distillation_temperature=temperature)
    graph.write_settings(run_spec.book.quantizers, run, 0)
    graph.write_teacher(teacher)
    graph.write_state(state)
    z, t = logits_of(state, x), logits_of(teacher, x)
    of_labels = -np.log(softmax(z)[np.arange(8), y]).mean()
    of_teacher = -(softmax(t / temperature) * np.log(softmax(z / temperature))).sum(1).mean()
    expected = (1 - weight) * of_labels + weight * temperature**2 * of_teacher
    assert graph.step(indices, 0)[0] == pytest.approx(expected, rel=1e-4)
    graph.write_settings(run_spec.book.quantizers, RunSettings(), 0)
    graph.write_state(state)
    assert graph.step(indices, 0)[0] == pytest.approx(of_labels, rel=1e-4)


def test_the_teacher_runs_only_while_its_weight_counts():
    built = []

    class Heads:
        def imitation(self, outputs, answers, temperature):
            return outputs[0] + answers[0]

    with tf.Graph().as_default(), tf.Session() as session:

        def outputs(is_model):
            built.append(tf.py_func(lambda: calls.append(1) or np.float32(5), [], tf.float32))
            return [tf.reshape(built[-1], [])]

        calls, settings = [], tf.placeholder(tf.float32, [3])
        loss = distillation.distilled(tf.constant(1.0), Heads(), [tf.constant(2.0)], outputs, settings)
        assert session.run(loss, {settings: distillation.settings_array(RunSettings())}) == 1.0
        assert calls == []
        run = RunSettings(teacher="start", distillation_weight=0.25)
        assert session.run(loss, {settings: distillation.settings_array(run)}) == pytest.approx(0.75 + 0.25 * 7)
        assert calls == [1]


def test_teachers_are_checkpoints_of_the_run(graphs):
    with Driver(spec(convnet(dataset((6, 6, 2)).input_shape)), paused=True) as driver:
        since = len(driver.news)
        driver.run.send(SingleStep(5))
        driver.until_event(events.Paused, since=since)
        driver.send(SaveCheckpoint("good"))
        saved = graph_of(driver.run.spec, graphs)  # of equal networks
        answer = driver.send(ChangeSettings((("run.teacher", "missing"),)))
        assert isinstance(answer, events.CommandRejected) and "'missing'" in answer.message
        assert isinstance(driver.send(ChangeSettings((("run.teacher", "good"),))), events.CommandApplied)
        state = driver.run
        driver.send(SaveCheckpoint("taught"))
        driver.send(ChangeSettings((("run.teacher", "none"),)))
        assert isinstance(driver.send(RestoreCheckpoint("taught")), events.CommandApplied)
        since = len(driver.news)
        driver.run.send(SingleStep(3))
        driver.until_event(events.Paused, since=since)
    arrays = driver.run.final.arrays
    assert saved is not None and state is driver.run
    names = [name for name in arrays if name.startswith(distillation.PREFIX)]
    assert sorted(name[len(distillation.PREFIX) :] for name in names) == sorted(
        driver.run.spec.network.all_parameter_shapes()
    )
    assert driver.run.final.book.run.teacher == "good"
    assert not np.array_equal(arrays["teacher/conv.weights"], arrays["conv.weights"])


def test_the_name_of_a_teacher_is_that_of_a_checkpoint():
    with pytest.raises(SettingError, match="name of a checkpoint"):
        RunSettings(teacher="../runs/a b")
