"""The best evaluated state of a run is kept; a run ends after evaluations that are not better."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import dataset, mlp, spec
from training_cases import Driver, assert_same_arrays, graph_of

from qatviz import api
from qatviz.errors import RecordError, RunStateError, SettingError
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Evaluate, Resume, SetSteps, SingleStep, Undo
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import BestEvaluation, RunState
from qatviz.session.checkpoints import recorded_state
from qatviz.settings import RunSettings
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.best import BestKeeper

#: A learning rate at which the accuracy of the small run changes up and down.
RUN = {"evaluation_interval": 5, "learning_rate": 0.05, "keep_best": True}


def overlapping():
    """Return data that can't be learned by heart."""
    random = np.random.RandomState(4)
    whole = dataset(train=96, test=60)
    return type(whole)(
        "noisy",
        whole.x_train + random.standard_normal(whole.x_train.shape).astype(np.float32),
        whole.y_train,
        whole.x_test + random.standard_normal(whole.x_test.shape).astype(np.float32),
        whole.y_test,
        whole.class_names,
        "made for the test",
    )


def evaluations(driver):
    return {event.step: event.scores["quantized"] for event in driver.events(events.Evaluated)}


def first_best(scores):
    return max(scores, key=lambda step: (scores[step], -step))


def test_the_best_state_is_that_of_the_best_evaluation(tmp_path):
    run_spec = spec(data=overlapping(), steps=60, run=RUN)
    record = RunRecord.create(tmp_path / "run", dict(run_spec.description(), data="noisy"))
    with Driver(run_spec, record) as driver:
        assert driver.finish() == events.Finished(60)
    scores = evaluations(driver)
    assert len(scores) == 12 and len(set(scores.values())) > 2
    step = first_best(scores)
    assert 0 < step < 60  # otherwise this test would not tell it from the last state
    best = driver.run.best
    assert best.step == step and best.name == f"best-{step:08d}" and best.reason.kind is SaveKind.BEST
    # The state is that after exactly as many steps.
    again = spec(data=overlapping(), steps=step, run=RUN)
    with Driver(again) as driver:
        driver.finish()
    assert_same_arrays(driver.run.final.arrays, best.arrays)
    reader = RunRecord.read(tmp_path / "run")
    kept = [info.name for info in reader.list_checkpoints() if info.reason.kind is SaveKind.BEST]
    assert best.name in kept and len(kept) <= 3
    arrays, _ = reader.load_checkpoint(best.name)
    assert_same_arrays(arrays, best.arrays)


def test_best_names_the_newest_best_checkpoint(tmp_path):
    data, out = overlapping(), str(tmp_path / "run")
    trained = api.train("mlp", data, out, quiet=True, steps=60, batch_size=8, seed=0, snapshot_interval=3600.0, **RUN)
    best = trained.best_state
    assert best is not None and best.step < 60
    _, found = recorded_state(out, "best")
    assert found.start.step == best.step
    assert_same_arrays(found.start.arrays, best.arrays)
    first, last = (trained.export(tmp_path / f"{name}.npz", "npz", state=name) for name in ("best", "final"))
    assert first.report.about["checkpoint"] == best.name and last.report.about["checkpoint"] == "final-00000060"
    with pytest.raises(SettingError, match="state is 'worst': expected 'final' or 'best'"):
        trained.export(tmp_path / "other.npz", "npz", state="worst")


def test_without_keep_best_there_is_no_best_state(tmp_path):
    out = str(tmp_path / "run")
    trained = api.train("mlp", dataset(), out, quiet=True, steps=2, batch_size=8)
    assert trained.best_state is None
    with pytest.raises(RunStateError, match="no best state: train with keep_best=True"):
        trained.export(tmp_path / "net.npz", "npz", state="best")
    with pytest.raises(RecordError, match="no best checkpoint; a run saves one if keep_best is on"):
        recorded_state(out, "best")


def test_a_run_ends_after_evaluations_that_are_not_better():
    run_spec = spec(data=overlapping(), run=dict(RUN, patience=3, keep_best=False))  # without a limit of steps
    with Driver(run_spec) as driver:
        assert isinstance(driver.finish(), events.Finished)
    scores = evaluations(driver)
    (early,) = driver.events(events.StoppedEarly)
    assert early.waited == 3 and early.best_step == first_best({s: v for s, v in scores.items() if s <= early.step})
    assert early.best_step + 15 <= early.step <= early.best_step + 20 and driver.run.best is None
    assert driver.events(events.Planned)[-1].steps == early.step == driver.run.final.step


def test_a_run_that_ended_early_can_train_longer(tmp_path):
    data = overlapping()
    first = spec(data=data, run=dict(RUN, patience=2))
    record = RunRecord.create(tmp_path / "run", dict(first.description(), data="noisy"))
    with Driver(first, record) as driver:
        driver.finish()
    final = driver.run.final
    assert final.best.waited <= 1  # by the evaluation of the last state: it does not end again at once
    longer = RunSpec.from_description(
        RunRecord.read(tmp_path / "run").description, data, start=final, steps=final.step + 5
    )
    with Driver(longer) as driver:
        assert driver.finish() == events.Finished(final.step + 5)


def test_undone_states_have_their_own_best():
    def evaluated(driver, steps):
        seen = len(driver.news)
        driver.send(SingleStep(steps))
        driver.until_event(events.Paused, since=seen)
        driver.send(Evaluate())
        return driver.until_event(events.Evaluated, since=seen).step

    run = dict(RUN, evaluation_interval=0)
    with Driver(spec(data=overlapping(), run=run), paused=True) as driver:
        assert evaluated(driver, 3) == 3
        driver.send(ChangeSettings((("*.weights.num_bits", 3),)))
        assert evaluated(driver, 2) == 5
        driver.send(Undo())
        driver.send(SetSteps(3))
        driver.send(Resume())
        driver.finish()
    # The end evaluates the same state again, which is no better than the best that undo has brought back.
    assert driver.run.final.best[:3] == (3, driver.events(events.Evaluated)[0].scores["quantized"], 1)


def test_checkpoints_contain_the_best():
    best = BestEvaluation(3, 0.5, 2, "ab")
    plan = quantization_plan(mlp())
    state = RunState(4, 1.0, spec().book, {}, "a", SaveReason(SaveKind.END), best=best)
    assert RunState.from_checkpoint("a", {}, state.meta(), plan).best == best


def test_the_held_out_loss_is_that_of_keras(graphs):
    data, run = overlapping(), dict(RUN, monitor="loss", label_smoothing=0.2)
    run_spec = spec(data=data, steps=20, run=run, class_weights="balanced")
    with Driver(run_spec) as driver:
        driver.finish()
    result = driver.events(events.Evaluated)[-1]
    logits = graph_of(run_spec, graphs).logits(data.x_test)
    with tf.Graph().as_default(), tf.Session() as session:
        expected = session.run(tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)(data.y_test, logits))
    assert result.step == 20 and result.held_out_loss == pytest.approx(float(expected), rel=1e-5)
    losses = {event.step: event.held_out_loss for event in driver.events(events.Evaluated)}
    assert driver.run.best.step == min(losses, key=losses.get)
    assert spec(data=data, run=RUN) and all(
        event.held_out_loss is not None for event in driver.events(events.Evaluated)
    )


class Watched:
    """A run and its control, as far as the comparison of evaluations needs them."""

    def __init__(self, metric, **run):
        self.book = spec(run=run).book
        self.best, self.step, self.is_done, self.total, self.kept, self.news = None, 0, False, None, [], []
        self.keeper = BestKeeper(self, self, metric, lambda state, replaced: self.kept.append(state.step))

    def emit(self, event):
        self.news.append(event)

    def evaluate(self, score, **changes):
        self.step += 1
        result = events.Evaluated(self.step, {"quantized": score}, 1, 0.0)
        book = self.book.change([(f"*.weights.{name}", value) for name, value in changes.items()])[0]
        state = RunState(self.step, 0.0, book, {}, "best", None)
        self.keeper.compare(result, book, state)
        return self.best.step


def test_evaluations_are_compared_by_the_metric_and_under_equal_quantization():
    metric = spec().metric
    run = Watched(metric, keep_best=True)
    assert [run.evaluate(score) for score in (0.5, 0.7, 0.7, float("nan"), 0.6)] == [1, 2, 2, 2, 2]
    assert run.kept == [1, 2] and run.keeper.state.step == 2
    assert run.evaluate(0.1, num_bits=3) == 6 and run.evaluate(0.2, num_bits=3) == 7  # worse, but other bits
    assert run.evaluate(0.1, quant_delay=3) == 8 and run.evaluate(0.05) == 8  # the delay has ended: as without one
    nan = Watched(metric, patience=2)
    assert [nan.evaluate(score) for score in (float("nan"), 0.1)] == [1, 2] and not nan.news and not nan.kept


def test_the_error_of_a_regression_is_better_if_it_is_smaller():
    x = dataset().x_train
    regression = spec(mlp(classes=2), type(dataset())("two", x, x[:, :2], x, x[:, :2], (), "test", "regression"))
    run = Watched(regression.metric, keep_best=True)
    assert [run.evaluate(score) for score in (0.5, 0.7, 0.4)] == [1, 1, 3]


def test_all_is_off_by_default():
    run = RunSettings()
    assert not run.keep_best and not run.patience
    with Driver(spec(steps=4, run={"evaluation_interval": 1})) as driver:
        driver.finish()
    assert driver.run.best is driver.run.final.best is None and "best" not in driver.run.final.meta()
    assert all(event.held_out_loss is None for event in driver.events(events.Evaluated))
