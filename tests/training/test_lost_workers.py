"""A loss of workers ends nothing that waits for them: watched results, corrections and single steps continue."""

from types import SimpleNamespace

import pytest
from small_runs import mlp, spec

from qatviz.protocol.commands import EqualizeLayers, WatchChannels
from qatviz.protocol.events import Paused, Resumed
from qatviz.protocol.run_spec import Placement
from qatviz.telemetry.run_handle import RUNNING
from qatviz.training import predictions, sensitivity_updates, worker_recovery
from qatviz.training.cluster_session import WorkersLost
from qatviz.training.control import Control
from qatviz.training.corrections import Corrections
from qatviz.training.inbox import Inbox, Sent
from qatviz.training.predictions import PredictionUpdates
from qatviz.training.sensitivity_updates import SensitivityUpdates
from qatviz.training.watched import WatchedUpdates
from qatviz.training.worker_recovery import WorkerRecovery

RUN = spec(mlp())


def lose(*_, **__):
    raise WorkersLost(("a:1",), "no answer")


def live_run(step=0):
    """Return a stand-in for a LiveRun whose graph has lost its workers."""
    emitted = []
    return SimpleNamespace(
        step=step,
        book=RUN.book,
        graph=SimpleNamespace(read_state=lose, reconnect=lambda placement: None),
        emitted=emitted,
        emit=emitted.append,
    )


class LostPieces(WatchedUpdates):
    def _pieces(self, request):
        lose()
        yield


def test_watched_results_wait():
    news = []
    updates = LostPieces(live_run(), RUN, news.append)
    updates.watch(WatchChannels())
    for _ in range(2):
        with pytest.raises(WorkersLost):
            updates.advance(is_idle=True)
        updates.restart()
    assert not news


def test_predictions_wait(monkeypatch):
    news = []
    monkeypatch.setattr(predictions, "PredictionJob", lose)
    updates = PredictionUpdates(live_run(), RUN, news.append, lambda: False)
    updates.watch(True)
    for _ in range(2):
        with pytest.raises(WorkersLost):
            updates.advance(is_idle=True)
        updates.restart()
    assert not news


def test_sensitivities_wait(monkeypatch):
    news = []
    monkeypatch.setattr(sensitivity_updates, "MeasuringJob", lose)
    updates = SensitivityUpdates(live_run(), RUN, news.append)
    updates.measure(True)
    with pytest.raises(WorkersLost):
        updates.advance(may_publish=True, is_idle=True)
    assert [progress.message for progress in news] == [""]


def test_a_correction_is_begun_again():
    corrections = Corrections(live_run(), RUN, lambda progress: None)
    sent = Sent(1, "a", EqualizeLayers())
    corrections.begin(sent)
    with pytest.raises(WorkersLost):
        corrections.advance()
    assert corrections.withdraw() is sent
    assert not corrections.is_active


@pytest.mark.parametrize("single_steps, expected", [(5, 8), (0, 0)])
def test_single_steps_end_where_they_would_have_ended(monkeypatch, single_steps, expected):
    """From step 10, 5 more; the newest saved state is that of step 7."""
    monkeypatch.setattr(worker_recovery, "silent_workers", lambda workers: ())
    live, states = live_run(10), []
    good = SimpleNamespace(step=7, name="good", book=RUN.book)
    control = Control(live, None, None, lambda state, step: states.append(state))
    control.proceed(single_steps)
    executor = SimpleNamespace(take_unanswered=list, set_to=lambda state: setattr(live, "step", state.step))
    recovery, measuring = SimpleNamespace(newest=good), SimpleNamespace(is_evaluating=False)
    workers = WorkerRecovery(Placement(workers=("a:1",)), live, control, recovery, executor, measuring, Inbox())
    assert workers.recover(WorkersLost(("a:1",), "no answer")) == []
    assert (live.step, control.single_steps, control.is_paused) == (7, expected, False)
    kinds = [type(event) for event in live.emitted]
    assert kinds.index(Paused) < kinds.index(Resumed)
    assert states[-1] == RUNNING
