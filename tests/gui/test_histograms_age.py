"""The age of histograms: old ones say their step, and are painted first."""

from histograms_stage import advance_run, panel, settle  # noqa: F401
from PyQt5 import QtCore, QtWidgets


def covered_by_note(made):
    """Return the parts of the panel that its note lies over."""
    parts = [w for w in (*made.bar.children(), made.canvas) if isinstance(w, QtWidgets.QWidget) and w.isVisible()]
    places = [QtCore.QRect(widget.mapTo(made, QtCore.QPoint()), widget.size()) for widget in parts]
    return [widget for widget, place in zip(parts, places) if place.intersects(made._note.geometry())]


def test_old_histograms_show_their_step_and_age(context, panel):
    made, run = panel()
    step = context.model.snapshot.step
    place = made.canvas.geometry()
    run.step_s = 0.1
    run.advance(24, snapshot=False)
    context.model.process(run.drain())
    made._age_timer.timeout.emit()
    assert made.note == "", "as old as they may be"
    run.advance(56, snapshot=False)
    context.model.process(run.drain())
    made._age_timer.timeout.emit()
    assert made.note == f"step {step}, 8 s old"
    assert made.canvas.geometry() == place, "it moves no tile"
    assert made._note.isVisible() and made.rect().contains(made._note.geometry())
    assert not covered_by_note(made), "beside the legend"
    are_free = set()
    for width in range(260, 460, 20):
        made.resize(width, made.height())
        for _ in range(3):  # rows of the bar, its height, the note
            QtWidgets.QApplication.processEvents()
        covered = covered_by_note(made)
        assert covered in ([], [made.canvas]), "over the last tile if there is no room beside the legend"
        are_free.add(not covered)
    assert are_free == {True, False}
    advance_run(context, run)
    made._age_timer.timeout.emit()
    assert made.note, "new ones are not painted yet"
    settle(made)
    made._age_timer.timeout.emit()
    assert made.note == ""


def test_old_tiles_with_a_newer_snapshot_are_urgent(context, panel):
    made, run = panel()
    run.step_s = 0.1
    advance_run(context, run, steps=14)  # 1.4 of the allowed 2 s
    assert made.is_due() and not made.is_urgent()
    run.advance(2, snapshot=False)
    context.model.process(run.drain())
    assert made.is_urgent()
    settle(made)
    assert not made.is_urgent()
    run.advance(30, snapshot=False)
    context.model.process(run.drain())
    assert not made.is_urgent(), "there is nothing newer to paint"
