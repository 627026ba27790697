"""Sizes in the export dialog before anything is exported."""

from export_stage import advance, make, run, visible_texts  # noqa: F401
from PyQt5 import QtWidgets


def texts(dialog):
    view = dialog.form.size_view
    return view.size_text.text(), view.notes.text() if view.notes.isVisible() else ""


def choose(dialog, name, qtbot):
    dialog.form.formats.choose(name)
    qtbot.waitUntil(lambda: texts(dialog)[0] != "Computing…")


def change_weights(context, run, bits):
    context.edits.edit(["conv1.weights"], "num_bits", bits)
    context.edits.apply()
    run.advance()
    context.model.process(run.drain())


def test_the_size_of_the_chosen_format_is_shown_before_exporting(run, make, qtbot):
    dialog = make()
    choose(dialog, "narrow", qtbot)
    assert texts(dialog) == ("About 60 kB", "") and "About 60 kB" in visible_texts(dialog)
    assert not dialog.launcher.wanted, "nothing is exported"
    choose(dialog, "wide", qtbot)
    assert texts(dialog) == ("Unknown: it has no size", "")


def test_sizes_with_and_without_packing_and_that_four_bits_in_eight_save_nothing(run, make, context, qtbot):
    dialog = make()
    choose(dialog, "narrow", qtbot)
    change_weights(context, run, 4)
    qtbot.waitUntil(lambda: "Tiny" in texts(dialog)[0])
    size, note = texts(dialog)
    assert size == "About 60 kB\n30 kB with “Tiny”"
    assert note.startswith("Weights of up to 4 bits (conv1) are stored in 8 bits here, which saves nothing. “Tiny” ")


def test_the_size_follows_the_options(run, make, context, qtbot, monkeypatch):
    dialog = make()
    choose(dialog, "narrow", qtbot)
    change_weights(context, run, 4)
    options = dialog.form._options["narrow"]
    monkeypatch.setattr(dialog.form, "_refusals", lambda form: [])
    options.set_value("tiny", True)
    qtbot.waitUntil(lambda: "without packing" in texts(dialog)[0])
    assert texts(dialog)[0] == "About 30 kB\n60 kB without packing"
    asked = len(dialog.launcher.size_questions)
    dialog.form.refresh()
    assert len(dialog.launcher.size_questions) == asked, "the same question is not asked twice"


def test_a_format_that_refuses_the_settings_has_no_size(run, make, context, qtbot):
    dialog = make()
    choose(dialog, "narrow", qtbot)
    change_weights(context, run, 12)
    qtbot.waitUntil(lambda: not dialog.start.isEnabled())
    assert texts(dialog) == ("", "")


def test_the_label_of_the_size_is_beside_it(run, make):
    dialog = make()
    labels = [label for label in dialog.findChildren(QtWidgets.QLabel) if label.text() == "Size"]
    assert len(labels) == 1 and labels[0].isVisible()
