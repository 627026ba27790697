"""Progress output of a run, with staged runs in place of real ones."""

import errno
import io
import os
import signal
import threading

import numpy as np
import pytest

from qatviz.errors import OutputError
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.commands import AdaRound, ChangeSettings, Stop
from qatviz.protocol.corrections import CorrectionProgress
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RestoreReason, SaveKind, SaveReason
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import StepRecord
from qatviz.session import progress, watch
from qatviz.session.watch import Watch
from qatviz.telemetry.outcome import Outcome

BOOK = SettingsBook.from_preset(quantization_plan(zoo.build("mlp", (6, 6, 1), 4)), "tflite-int8")
ACCURACY = {"float": 0.971, "weights_only": 0.96, "activations_only": 0.95, "quantized": 0.94}
OFF = ChangeSettings((("*.symmetric", "off"),))
CHANGES = tuple(events.Change(f"a{i}.weights.symmetric", True, False) for i in range(9))


class Terminal(io.StringIO):
    def isatty(self):
        return True


class StagedRun:
    """Run that returns one batch of items per poll; ends after the last one, or when asked to stop."""

    def __init__(self, batches, on_poll=None):
        self.batches, self.on_poll, self.stops = list(batches), on_poll, 0

    def start(self):
        pass

    def wait(self, timeout_s=None):
        if self.on_poll and self.batches and timeout_s is not None:
            self.on_poll()
        return not self.batches

    def drain(self):
        return self.batches.pop(0) if self.batches else []

    def request_stop(self):
        self.stops += 1


class Recorder(progress.Silent):
    def __init__(self):
        super().__init__("x", 0, 9)
        self.lines, self.closed = [], 0

    def line(self, text):
        self.lines.append(text)

    def close(self):
        self.closed += 1


def record(step, seconds=None, loss=0.5):
    return StepRecord(step, step / 10 if seconds is None else seconds, loss, 1e-3, np.zeros((1, 1), np.float32))


def follow(*batches, on_poll=None):
    run, shown = StagedRun(batches, on_poll), Recorder()
    watch = Watch(run, Outcome(BOOK), shown)
    watch.follow()
    assert shown.closed == 1
    return watch, run, shown


@pytest.mark.parametrize(
    "event, line",
    [
        (events.Started(0, 1.25, "CPU"), "training started on CPU (1.2 s to build)"),
        (
            events.CommandApplied(500, "a-1", OFF, CHANGES[:1]),
            "step 500: a0.weights.symmetric on -> off",
        ),
        (
            events.CommandApplied(500, "a-1", OFF, CHANGES),
            "step 500: *.symmetric=off (9 settings changed)",
        ),
        (events.CommandApplied(500, "a-1", Stop()), None),
        (events.CommandRejected(3, "a-1", ChangeSettings((("x", 9),)), "no"), "step 3: not applied: no"),
        (events.SettingsActivated(7, ("a", "b")), "step 7: quantization starts as the delay ends: a, b"),
        (
            events.Evaluated(8, ACCURACY, 9, 1.0),
            "step 8: evaluated: 97.1 % float, 96.0 % weights only, 95.0 % activations only, 94.0 % quantized",
        ),
        (
            events.Evaluated(8, {"float": 0.5, "quantized": 1234.5}, 9, 1.0, "rmse"),
            "step 8: evaluated: RMSE 0.5 float, 1234 quantized",
        ),
        (events.Restored(3, "c", RestoreReason.UNDO, 9), "step 3: rewound from step 9 to 3 (undo)"),
        (
            events.NonFinite(9, NonFiniteValue.LOSS, 3),
            "step 9: the loss of step 10 is not finite; rewound to step 3",
        ),
        (events.RecordFailed(4, "full"), "step 4: recording stopped: full"),
        (events.CheckpointSaved(4, "c", SaveReason(SaveKind.REQUESTED)), None),
        (events.Finished(9), None),
    ],
)
def test_events_are_printed(event, line):
    assert progress.event_line(event) == line


def test_a_loss_that_is_not_finite_stops_the_run():
    watch, run, shown = follow(
        [record(1)],
        [events.NonFinite(1, NonFiniteValue.LOSS, 1), events.Paused(1, PauseReason.BAD_STEP)],
        [events.Stopped(1)],
    )
    assert watch.non_finite.what is NonFiniteValue.LOSS and run.stops >= 1
    assert shown.lines == ["step 1: the loss of step 2 is not finite; rewound to step 1"]


def test_failures_are_printed_again_at_the_end():
    watch, _, _ = follow([events.RecordFailed(1, "full")], [events.Failed(1, "why", "trace")])
    assert (watch.record_failed.message, watch.failed.message) == ("full", "why")


@pytest.mark.skipif(os.name != "posix", reason="os.kill sends signals on POSIX only")
@pytest.mark.parametrize("number, name", [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_a_signal_stops_the_run_and_handlers_are_restored(number, name):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    sent = []

    def interrupt_once():
        if not sent:
            sent.append(os.kill(os.getpid(), number))

    watch, run, shown = follow([record(1)], [record(2)], [events.Stopped(2)], on_poll=interrupt_once)
    assert watch.stopped_by == name and run.stops >= 1
    assert [name in line for line in shown.lines] == [True]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_run_is_stopped_if_its_display_fails():
    class Broken(Recorder):
        def update(self, outcome):
            raise OSError("the terminal is gone")

    run = StagedRun([[record(1)], [record(2)]])
    run.wait = lambda timeout_s=None: timeout_s is None
    with pytest.raises(OSError, match="the terminal is gone"):
        Watch(run, Outcome(BOOK), Broken()).follow()
    assert run.stops == 1


class EndedTerminal(Recorder):
    """Terminal whose end is noticed by a write before its signal arrives; later writes do nothing."""

    def update(self, outcome):
        if not self.lines:
            self.lines.append("failed")
            raise OutputError("standard error can't be written") from OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
@pytest.mark.parametrize("ignored", [False, True])
def test_the_end_of_the_terminal_stops_a_run_unless_ignored(ignored):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        run = StagedRun([[record(1)], [record(2)], [events.Stopped(2)]])
        watch = Watch(run, Outcome(BOOK), EndedTerminal())
        watch.follow()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not run.batches
    # A followed run is always asked to stop at the end.
    assert (watch.stopped_by, run.stops) == (("", 1) if ignored else ("SIGHUP", 2))


def test_a_run_can_be_followed_outside_the_main_thread():
    done = []
    thread = threading.Thread(target=lambda: done.append(follow([record(1)], [events.Finished(1)])))
    thread.start()
    thread.join()
    assert done and done[0][0].stopped_by == ""


def test_steps_per_second_are_averaged_over_the_last_seconds():
    rate, outcome = progress.Rate(), Outcome(BOOK)
    found = []
    for step in range(1, 200):
        outcome.update(record(step, step * 1.0 if step < 100 else 99 + (step - 99) * 0.1))
        found.append(rate.add(outcome))
    assert found[0] is None and found[98] == pytest.approx(1.0) and found[-1] == pytest.approx(10.0)
    outcome.update(record(5, 0.5))
    assert rate.add(outcome) is None


def test_a_terminal_shows_a_progress_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    bar = progress.progress_for(False, "mlp", 0, 100)
    outcome = Outcome(BOOK)
    bar.begin()
    bar.update(outcome)
    bar.started()
    outcome.update(events.Evaluated(8, ACCURACY, 9, 1.0))
    for step in (10, 20):
        outcome.update(record(step))
        bar.update(outcome)
    bar.line("something between")
    bar.close()
    text = terminal.getvalue()
    for words in (
        "starting TensorFlow",
        "20/100",
        "loss 0.5",
        "float 97.1 %",
        "quantized 94.0 %",
        "10/s",
        "00:08 left",
    ):
        assert words in text
    assert "something between\n" in text


def followed_summary(evaluation_s, interval=200):
    """Return the summary of a run of 10 steps per second, and its time left as a bar shows it."""
    book, _ = BOOK.change([("run.evaluation_interval", interval)])
    outcome, rate = Outcome(book), progress.Rate()
    outcome.update(events.Evaluated(0, ACCURACY, 9, 50.0))
    outcome.update(events.Evaluated(8, ACCURACY, 9, evaluation_s))
    for step in (10, 20):
        outcome.update(record(step))
        speed = rate.add(outcome)
    return progress.summary(outcome, speed)


def test_the_progress_says_how_much_of_the_time_evaluations_take():
    # The newest evaluation counts; the first one is slow, as it builds the graph.
    assert followed_summary(2.0, 30).endswith("10/s, evaluations every 30 steps take 40.0 % of the time")
    assert followed_summary(0.3, 1).endswith("10/s, evaluations at every step take 75.0 % of the time")
    assert followed_summary(2.0, 200).endswith("10/s"), "less than a tenth"
    assert followed_summary(2.0, 0).endswith("10/s"), "there will be no more"


def test_the_time_left_includes_evaluations(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    book, _ = BOOK.change([("run.evaluation_interval", 10)])
    bar, outcome = progress.progress_for(False, "mlp", 0, 100), Outcome(book)
    bar.begin()
    bar.started()
    outcome.update(events.Evaluated(8, ACCURACY, 9, 3.0))
    for step in (10, 20):
        outcome.update(record(step))
        bar.update(outcome)
    bar.close()
    assert "00:32 left" in terminal.getvalue(), "80 steps in 8 s, and 8 evaluations in 24 s"


@pytest.mark.parametrize("total, words", [(100, "step 20/100: loss 0.5"), (None, "step 20: loss 0.5")])
def test_other_outputs_get_occasional_lines(monkeypatch, capsys, total, words):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    lines = progress.progress_for(False, "mlp", 0, total)
    outcome = Outcome(BOOK)
    lines.begin()
    lines.update(outcome)
    lines.started()
    for step in (10, 20, 30):
        outcome.update(record(step))
        lines.update(outcome)
        clock[0] += progress.LINE_INTERVAL_S / 2 + 0.01 if step == 10 else progress.LINE_INTERVAL_S / 2
        if step == 10:
            clock[0] += progress.LINE_INTERVAL_S / 2
    lines.close()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "starting TensorFlow" and told[1].startswith(words) and len(told) == 2


def test_quiet_prints_nothing(capsys):
    silent = progress.progress_for(True, "mlp", 0, 100)
    for call in (silent.begin, silent.started, silent.close):
        call()
    silent.line("x")
    silent.update(Outcome(BOOK))
    assert capsys.readouterr() == ("", "")


def test_long_corrections_show_how_much_is_done(monkeypatch):
    seconds = iter((100.0, 104.0, 106.0, 106.0, 107.0, 108.0))
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(seconds))
    fractions = (0.0, 0.25, 0.5, 0.75, None)
    news = [CorrectionProgress(7, "AdaRound", fraction) for fraction in fractions]
    recorder = Recorder()
    applied = events.CommandApplied(7, "a", AdaRound(), (), "before-00000007")
    corrected = events.Corrected(7, "a", ("rounding of 12 weights learned", "weights have the values of their codes"))
    Watch(StagedRun([[*news, applied, corrected]]), Outcome(BOOK), recorder).follow()
    assert recorder.lines == [
        "step 7: Learn rounding (AdaRound): 50 %",
        "step 7: rounding learned (AdaRound)",
        "step 7: rounding of 12 weights learned; weights have the values of their codes",
    ]
