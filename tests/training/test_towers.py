"""Parts of a batch on several devices give the results of one device."""

import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from shared_graphs import GraphPool
from small_runs import convnet, dataset, mlp, spec

from qatviz.errors import SettingError
from qatviz.network import zoo
from qatviz.protocol.branches import BranchCursor
from qatviz.protocol.run_spec import Placement
from qatviz.training import evaluation_copy
from qatviz.training.building import graph_arguments
from qatviz.training.live_run import LiveRun
from qatviz.training.probes import division
from qatviz.training.towers import combined_moments, have_own_processors, towers_of

BATCH = 8
#: Graphs of the runs of all tests, by the arguments that they are built from.
GRAPHS = GraphPool()


@pytest.fixture(autouse=True, scope="module")
def closed_graphs():
    yield
    GRAPHS.close()


def live_run(placement, network=None, **more):
    run_spec = spec(network or convnet(), batch_size=more.pop("batch_size", BATCH), placement=placement, **more)
    return LiveRun(GRAPHS.take(*graph_arguments(run_spec)), run_spec, BranchCursor(), lambda event: None)


def changed(live, *assignments):
    """Apply changes of settings, as a command does."""
    live.apply_settings(live.book.change(assignments)[0])


#: Six changes before these steps, as fractions of the run.
CHANGES = (
    ("*.weights.num_bits", 4),
    ("*.weights.per_channel", True),
    ("*.activations.range_method", "percentile"),
    ("run.learning_rate", 3e-3),
    ("*.activations.num_bits", 6),
    ("run.freeze_batch_norm", True),
)


def train_together(lives, steps):
    """Train runs step by step with six changes of settings; yield after each step."""
    at = {steps * (index + 1) // 8: change for index, change in enumerate(CHANGES)}
    for step in range(steps):
        for live in lives:
            if step in at:
                changed(live, at[step])
        yield [live.train_step() for live in lives]


def assert_equal_states(one, other):
    states = [live.graph.read_state() for live in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        np.testing.assert_array_equal(states[0][name], states[1][name], name)


def test_parts_differ_by_at_most_one_example():
    towers = towers_of(Placement(replicas=3), 8)
    assert [(tower.start, tower.stop) for tower in towers] == [(0, 2), (2, 5), (5, 8)]
    assert [tower.device for tower in towers] == ["/cpu:0", "/cpu:1", "/cpu:2"]


def test_more_parts_than_devices_are_distributed_in_turn():
    workers = Placement(workers=("a:1", "b:1"), towers=3)
    assert [tower.device for tower in towers_of(workers, 8)] == [f"/job:worker/task:{task}" for task in (0, 1, 0)]


def test_a_batch_has_an_example_for_each_part():
    with pytest.raises(SettingError, match="a batch of 2 examples"):
        towers_of(Placement(replicas=3), 2)


def test_combined_moments_are_those_of_all_values():
    random = np.random.RandomState(0)
    parts = [random.normal(1e3, 1.0, (count, 5)).astype(np.float32) for count in (1, 7, 30)]
    with tf.Graph().as_default(), tf.Session() as session:
        local = [np.stack([p.mean(0), p.var(0, ddof=1) if len(p) > 1 else np.zeros(5)]).astype("f4") for p in parts]
        found = session.run(combined_moments([tf.constant(own) for own in local], [len(p) for p in parts]))
    together = np.concatenate(parts).astype(np.float64)
    np.testing.assert_allclose(found[0], together.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found[1], together.var(0, ddof=1), rtol=1e-4)


@pytest.mark.parametrize("replicas", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_first_step_is_that_of_the_whole_batch(replicas):
    """Without chaos: later steps amplify the rounding errors of float32, whatever computes them."""
    lives = [live_run(Placement()), live_run(Placement(replicas=replicas))]
    (loss, raw), (shared_loss, shared_raw) = [live.train_step() for live in lives]
    assert shared_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(shared_raw.samples, raw.samples, atol=2e-6)
    one, other = [live.graph.read_state() for live in lives]
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=2e-4, atol=2e-6, err_msg=name)
    for live in lives:
        live.graph.close()


@pytest.mark.parametrize("replicas", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_results_do_not_depend_on_the_number_of_devices(replicas):
    """Bit for bit, with six changes of settings, running histograms, dropout and batch norm."""
    lives = [live_run(Placement(towers=3)), live_run(Placement(replicas=replicas, towers=3))]
    for results in train_together(lives, 48):
        assert results[0][0] == results[1][0]
        np.testing.assert_array_equal(results[0][1].samples, results[1][1].samples)
    assert_equal_states(*lives)
    for live in lives:
        live.graph.close()


def test_collected_values_are_those_of_one_device():
    """A running histogram counts the same values of the batch, however it is split."""
    lives = [live_run(Placement(), activations={"range_method": "percentile"}) for _ in range(1)]
    lives.append(live_run(Placement(replicas=3), activations={"range_method": "percentile"}))
    one, other = [live.graph.read_histograms() for live in lives]
    np.testing.assert_array_equal(one["histogram"], other["histogram"])
    np.testing.assert_array_equal(one["histogram_zeros"], other["histogram_zeros"])
    for live in lives:
        live.graph.close()


def test_augmentation_does_not_depend_on_the_number_of_devices():
    run = {"augment_noise": 0.1, "augment_mixup": 0.5}
    run = {name: value for name, value in run.items() if name in spec().book.run.to_dict()}
    assert run
    lives = [live_run(Placement(towers=2), run=run), live_run(Placement(replicas=2), run=run)]
    for _ in range(6):
        assert lives[0].train_step()[0] == lives[1].train_step()[0]
    assert_equal_states(*lives)
    for live in lives:
        live.graph.close()


def test_moments_of_towers_differ_from_those_of_the_batch():
    lives = [live_run(Placement(replicas=2)), live_run(Placement(replicas=2, tower_moments=True))]
    losses = [live.train_step()[0] for live in lives]
    assert abs(losses[0] - losses[1]) > 1e-4
    for live in lives:
        live.graph.close()


def test_evaluations_are_spread_and_give_the_scores_of_one_device():
    lives = [live_run(Placement(towers=3)), live_run(Placement(replicas=3))]
    for indices in (np.arange(40, dtype=np.int32), np.arange(2, dtype=np.int32)):
        for modes in ((True, True), (False, False), (True, False)):
            for live in lives:
                live.graph.publish()
            (one,), (other,) = [live.graph.score_part(indices, *modes) for live in lives]
            assert one.tolist() == other.tolist()
    used = {
        op.device for op in lives[1].graph._evaluation.spread.fetch[0].graph.get_operations() if "/copy_" in op.name
    }
    assert used == {"/device:CPU:1", "/device:CPU:2"}
    for live in lives:
        live.graph.close()


def test_devices_of_one_task_share_its_processors():
    assert not have_own_processors(towers_of(Placement(replicas=2), 8))
    assert have_own_processors(towers_of(Placement(replicas=2), 8, "gpu"))
    assert have_own_processors(towers_of(Placement(workers=("a:1", "b:1")), 8))
    live = live_run(Placement(replicas=2))
    live.graph.complete()
    evaluation = live.graph._evaluation
    assert {own.measures.device for own in evaluation.by_tensor(evaluation.snapshot)} == {"/device:CPU:0"}
    live.graph.close()


def test_snapshots_are_spread_and_are_those_of_one_device(monkeypatch):
    graphs = GraphPool()  # none that was built without the following
    monkeypatch.setattr(sys.modules[__name__], "GRAPHS", graphs)
    monkeypatch.setattr(evaluation_copy, "have_own_processors", lambda towers: True)
    lives = [live_run(Placement(towers=2)), live_run(Placement(replicas=2))]
    for _ in range(2):  # the second one compares codes with those of the first
        for live in lives:
            live.train_step()
            live.graph.publish()
        one, other = (live.graph.snapshot() for live in lives)
        for tensor, own, spread in zip(lives[0].book.plan.tensors, one, other):
            for field, expected in own._asdict().items():
                np.testing.assert_array_equal(getattr(spread, field), expected, f"{tensor.name}: {field}")
    weights = [own for tensor, own in zip(lives[0].book.plan.tensors, other) if tensor.kind == "weights"]
    assert all(0 <= own.flip_rate <= 1 for own in weights)
    for tensor in lives[0].book.plan.tensors:
        first, second = (live.graph.tensor_values(tensor.name) for live in lives)
        np.testing.assert_array_equal(first, second)
    measured = [
        own.measures.device for own in lives[1].graph._evaluation.by_tensor(lives[1].graph._evaluation.snapshot)
    ]
    assert set(measured) == {"/device:CPU:0", "/device:CPU:1"}
    for live in lives:
        live.graph.close()
    graphs.close()


def test_devices_measure_about_as_many_values_each():
    tensors = spec().book.plan.tensors
    places = division(tensors, 32, 3)
    values = [0, 0, 0]
    sizes = [t.parameters if t.kind == "weights" else int(np.prod(t.shape)) * 32 for t in tensors]
    for place, size in zip(places, sizes):
        values[place] += size
    assert max(values) - min(values) <= max(sizes)
    assert division(tensors, 32, 1) == [0] * len(tensors)


#: Settings of quantization and training, as keywords of :func:`live_run`.
METHODS = {
    "learned scales": {
        "weights": {"range_method": "learned", "num_bits": 5, "per_channel": True},
        "activations": {"range_method": "learned_range", "num_bits": 5},
        "run": {"ramp_start": 2, "ramp_end": 6},
    },
    "learned clips": {
        "weights": {"range_method": "learned", "stochastic_rounding": True},
        "activations": {"range_method": "learned_clip", "gradient_scaling": 0.2},
        "run": {"single_convolution": True, "round_biases": True},
    },
    "oscillation and distillation": {
        "weights": {
            "range_method": "percentile",
            "percentile": 97.0,
            "num_bits": 5,
            "dampening": 0.1,
            "freeze_threshold": 0.01,
        },
        "run": {
            "track_oscillation": True,
            "teacher": "start",
            "distillation_weight": 0.5,
            "distillation_temperature": 3.0,
            "single_convolution": True,
        },
    },
}


@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=[pytest.mark.slow] if name == "learned clips" else []) for name in METHODS],
)
def test_methods_train_as_on_one_device(method):
    """The same up to rounding errors, which plain SGD does not amplify, while Adam divides gradients by their own size.

    No weight is at the end of a range, where a rounding error decides whether its gradient passes.
    """
    given = dict(METHODS[method], optimizer="sgd")
    lives = [live_run(Placement(), **given), live_run(Placement(replicas=2), **given)]
    start = lives[0].graph.read_state()
    for _ in range(6):
        (loss, raw), (shared_loss, shared_raw) = [live.train_step() for live in lives]
        assert shared_loss == pytest.approx(loss, rel=1e-5)
        np.testing.assert_allclose(shared_raw.scale_gradients, raw.scale_gradients, rtol=1e-3, atol=1e-5)
    one, other = [live.graph.read_state() for live in lives]
    assert one.keys() == other.keys()
    assert any(np.abs(one[name] - start[name]).max() > 1e-4 for name in start if name.endswith("weights"))
    for name in one:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-5, atol=1e-5, err_msg=name)
    for live in lives:
        live.graph.close()


def test_methods_do_not_depend_on_the_number_of_devices():
    """Bit for bit, switched on in a run one after the other."""
    lives = [live_run(Placement(towers=2)), live_run(Placement(replicas=2, towers=2))]
    changes = (
        ("*.weights.range_method", "learned"),
        ("*.activations.range_method", "learned_range"),
        ("run.single_convolution", True),
        ("run.teacher", "start"),
        ("*.weights.freeze_threshold", 0.01),
        ("*.weights.stochastic_rounding", True),
    )
    for step in range(18):
        for live in lives:
            if step % 3 == 0:
                path, value = changes[step // 3]
                book = live.book.change(((path, value),))[0]
                live.apply_settings(book, live.teacher_parameters(value) if path == "run.teacher" else None)
        losses = [live.train_step()[0] for live in lives]
        assert losses[0] == losses[1]
    assert_equal_states(*lives)
    for live in lives:
        live.graph.close()


def test_ewgs_of_weights_is_refused_on_several_devices():
    with pytest.raises(SettingError, match=r"conv\.weights\.gradient_scaling is 0\.5: expected 0 for weights"):
        live_run(Placement(replicas=2), weights={"gradient_scaling": 0.5})
    live = live_run(Placement(replicas=2), activations={"gradient_scaling": 0.5})
    with pytest.raises(SettingError, match="expected 0 for weights"):
        live.check_book(live.book.change((("*.weights.gradient_scaling", 0.5),))[0])
    live.graph.close()


def test_undo_is_exact():
    live = live_run(Placement(replicas=2), mlp())
    for _ in range(4):
        live.train_step()
    before = live.graph.read_state()
    losses = [live.train_step()[0] for _ in range(4)]
    live.graph.write_state(before)
    live.step -= 4
    assert [live.train_step()[0] for _ in range(4)] == losses
    live.graph.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3, 4])
@pytest.mark.parametrize("name", ["lenet", "dscnn", "resnet8"])
def test_a_thousand_steps_do_not_depend_on_the_number_of_devices(name, number):
    shape = (28, 28, 1) if name == "lenet" else (32, 32, 3)
    given = {"network": zoo.build(name, shape, 10), "data": dataset(shape, 10, 256, 32), "batch_size": 10}
    lives = [live_run(Placement(towers=number), **given), live_run(Placement(replicas=number), **given)]
    for results in train_together(lives, 1000):
        assert results[0][0] == results[1][0]
    assert_equal_states(*lives)
    for live in lives:
        live.graph.close()
