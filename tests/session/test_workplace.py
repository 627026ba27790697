"""The workplace of this machine keeps one evaluator for each run, and runs do not wait for each other's."""

import threading

from waiting import ENDLESS_S

from qatviz.session.recorded import RecordedRun
from qatviz.session.workplace import _OnePerRun
from qatviz.telemetry.history import History


def test_evaluators_are_made_once_for_each_run_and_no_run_waits_for_another():
    kept, begun, go_on = _OnePerRun(), threading.Event(), threading.Event()
    slow, quick = (RecordedRun({}, 0, History({}), []) for _ in range(2))
    thread = threading.Thread(target=lambda: kept.of(slow, lambda: (begun.set(), go_on.wait(ENDLESS_S))))
    thread.start()
    assert begun.wait(ENDLESS_S)
    assert kept.of(quick, lambda: "first") == "first" == kept.of(quick, lambda: "again")
    go_on.set()
    thread.join()
    assert len(kept) == 2
    del quick
    assert len(kept) == 1
