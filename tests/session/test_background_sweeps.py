"""Sweeps that train in the background: their news, numbers, ends, and what happens to a second one."""

import threading

import pytest
from waiting import wait_until

from qatviz.errors import QatvizError, SettingError
from qatviz.session import background_sweeps as module
from qatviz.session.background_sweeps import BackgroundSweeps
from qatviz.session.sweep import SweepPlan, runs_of
from qatviz.session.sweep_request import FINISHED, STARTED, TRAINING, Report, SweepRequest, SweepRun

PLAN = SweepPlan((), (), (0, 1))
RUNS = [run.name for run in runs_of(PLAN)]
A, B = SweepRun("a", ()), SweepRun("b", ())


@pytest.fixture
def training(monkeypatch):
    """Sweeps without runs, which report what the test says; returns their handles in the order in which they began."""
    begun = []

    class Training:
        def __init__(self, notify, is_wanted):
            self.notify, self.is_wanted, self.ends, self.error = notify, is_wanted, threading.Event(), None

    def run_sweep(directory, plan, processes, notify, is_wanted):
        own = Training(notify, is_wanted)
        begun.append(own)
        wait_until(lambda: own.ends.is_set() or not is_wanted())
        if own.error is not None:
            raise own.error
        return 0

    monkeypatch.setattr(module, "requested_plan", lambda request: PLAN)
    monkeypatch.setattr(module, "run_sweep", run_sweep)
    return begun


@pytest.fixture
def sweeps():
    sweeps = BackgroundSweeps()
    yield sweeps
    sweeps.close()


def began(sweeps, training, request):
    begun = sweeps.begin(request)
    wait_until(lambda: training)
    return begun, training[-1]


def test_reports_are_returned_once(sweeps, training):
    begun, own = began(sweeps, training, SweepRequest("/a", 2, "/run"))
    assert begun.directory == "/a" and [run.name for run in begun.runs] == RUNS and not begun.is_trial
    assert sweeps.is_training
    own.notify(Report(A, STARTED, 0, 2))
    own.notify(Report(B, STARTED, 0, 2))
    news = sweeps.news("/a", 0)
    assert [report.run for report in news.reports] == [A, B] and news.number == 2 and not news.has_ended
    assert sweeps.news("/a", 2).reports == ()
    own.notify(Report(A, FINISHED, 1, 2))
    assert [report.event for report in sweeps.news("/a", 2).reports] == [FINISHED]
    own.ends.set()
    wait_until(lambda: sweeps.news("/a", 3).has_ended)
    assert not sweeps.is_training
    assert len(sweeps.news("/a", 0).reports) == 3, "a viewer whose connection was lost reads them again"


def test_of_a_run_that_trains_only_the_newest_report_is_kept(sweeps, training):
    _, own = began(sweeps, training, SweepRequest("/a", 2, "/run"))
    for step in range(100):
        own.notify(Report(A, TRAINING, 0, 2, step=step))
        own.notify(Report(B, TRAINING, 0, 2, step=step))
    news = sweeps.news("/a", 0)
    assert [(report.run, report.step) for report in news.reports] == [(A, 99), (B, 99)] and news.number == 200


def test_a_failure_is_raised_after_its_reports(sweeps, training):
    _, own = began(sweeps, training, SweepRequest("/a", 2, "/run"))
    own.notify(Report(A, STARTED, 0, 2))
    own.error = QatvizError("the disk is full")
    own.ends.set()
    wait_until(lambda: not sweeps.is_training)
    news = sweeps.news("/a", 0)
    assert len(news.reports) == 1 and not news.has_ended
    with pytest.raises(QatvizError, match="the disk is full"):
        sweeps.news("/a", 1)


def test_a_second_sweep_in_a_folder_is_refused_and_a_continued_one_joined(sweeps, training):
    _, own = began(sweeps, training, SweepRequest("/a", 2, "/run"))
    own.notify(Report(A, STARTED, 0, 2))
    with pytest.raises(SettingError, match="trains there already"):
        sweeps.begin(SweepRequest("/a", 2, "/run"))
    assert sweeps.begin(SweepRequest("/a", 2)).directory == "/a" and len(training) == 1
    assert len(sweeps.news("/a", 0).reports) == 1
    own.ends.set()
    wait_until(lambda: not sweeps.is_training)
    sweeps.begin(SweepRequest("/a", 2, "/run"))
    wait_until(lambda: len(training) == 2)
    assert sweeps.news("/a", 0).reports == ()


def test_sweeps_are_stopped(sweeps, training):
    _, first = began(sweeps, training, SweepRequest("/a", 2, "/run"))
    sweeps.stop("/a")
    sweeps.stop("/unknown")
    wait_until(lambda: sweeps.news("/a", 0).has_ended)
    sweeps.begin(SweepRequest("/b", 2, "/run"))
    wait_until(lambda: len(training) == 2)
    sweeps.close()
    assert not first.is_wanted() and not training[1].is_wanted() and not sweeps.is_training


def test_news_of_no_sweep_are_refused(sweeps):
    with pytest.raises(SettingError, match="/nowhere: no sweep"):
        sweeps.news("/nowhere", 0)


def test_old_ends_are_forgotten(sweeps, training, monkeypatch):
    monkeypatch.setattr(module, "_ENDED_KEPT", 2)
    for number in range(5):
        sweeps.begin(SweepRequest(f"/{number}", 2, "/run"))
        wait_until(lambda number=number: len(training) == number + 1)
        training[-1].ends.set()
        wait_until(lambda: not sweeps.is_training)
    assert list(sweeps._sweeps) == ["/2", "/3", "/4"]
