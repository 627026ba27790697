"""Reasons why a format does not support a run, and how the export dialog lifts them."""

from export_stage import FORMATS, advance, make, run, verdicts  # noqa: F401
from PyQt5 import QtCore, QtTest

from qatviz.errors import Advice, OptionChange, Refusal, SettingChange


def test_formats_that_do_not_support_the_settings_are_marked(run, make, context, advance):
    dialog = make()
    assert verdicts(dialog) == [["Wide"], ["Narrow"]] and not dialog.form.limits.verdict.isVisible()
    assert dialog.start.isEnabled()
    dialog.form.formats.choose("narrow")
    context.edits.edit(["conv1.weights", "conv2.weights"], "num_bits", 12)
    context.edits.apply()
    advance()
    assert verdicts(dialog) == [["Wide"], ["Narrow", "✕ Not supported"]]
    text = dialog.form.limits.reasons.toPlainText()
    assert "conv1.weights: 12 bits" in text and "possible with conv2.weights.num_bits=8" in text
    assert dialog.form.limits.verdict.text() == "✕ Narrow does not support these settings, for 2 reasons:"
    assert dialog.form.limits.reasons.isVisible()
    assert not dialog.start.isEnabled() and "Narrow does not support these settings" in dialog.problem.text()
    dialog.form.formats.choose("wide")
    assert dialog.start.isEnabled() and not dialog.form.limits.reasons.isVisible()


def test_an_option_can_make_a_format_impossible_and_is_remembered(run, make, context):
    dialog = make()
    dialog.form.formats.choose("narrow")
    options = dialog.form.pages.currentWidget()
    assert options.isVisible() and options.widgets["tiny"].toolTip() == "Up to 4 bits"
    options.widgets["tiny"].click()
    options.widgets["order"].setCurrentText("nchw")
    assert verdicts(dialog)[1][1].startswith("✕") and not dialog.start.isEnabled()
    again = make()
    again.form.formats.choose("narrow")
    assert again.form.pages.currentWidget().values() == {"tiny": True, "order": "nchw", "run_code": False}
    again.form.formats.choose("wide")
    assert not again.form.pages.isVisible()


def test_permission_to_run_code_is_valid_for_one_export(run, make, context):
    dialog = make()
    dialog.form.formats.choose("narrow")
    options = dialog.form.pages.currentWidget()
    options.widgets["run_code"].click()
    again = make()
    again.form.formats.choose("narrow")
    assert again.form.request.options["run_code"] is False
    dialog.start.click()
    assert dialog.exporter.request.options["run_code"] is True and dialog.form.request.options["run_code"] is False


def test_reasons_are_text_not_markup(run, make):
    dialog = make()
    remedies = (Advice("with <i>y</i>"), SettingChange("<b>z</b>", 1), OptionChange("<u>", True))
    dialog.form.limits.show_limits(FORMATS[1], [Refusal("layer '<b>x</b>': no", remedies)], True)
    text = dialog.form.limits.reasons.toPlainText()
    assert "layer '<b>x</b>': no" in text
    assert "possible with <i>y</i>, with <b>z</b>=1, or with the option <u>" in text
    assert links(dialog) == ["<b>z</b>=1", "with the option <u>"]


def links(dialog):
    """Return the text of each link in the reasons."""
    browser, found = dialog.form.limits.reasons, {}
    cursor = browser.textCursor()
    for position in range(1, browser.document().characterCount()):
        cursor.setPosition(position)
        link = cursor.charFormat().anchorHref()
        if link:
            found[link] = found.get(link, "") + browser.document().characterAt(position - 1)
    return list(found.values())


def click(dialog, number):
    """Click the link of this number."""
    dialog.form.limits.reasons.anchorClicked.emit(QtCore.QUrl(str(number)))


def test_remedies_are_links(run, make, context, advance):
    dialog = make()
    dialog.form.formats.choose("narrow")
    context.edits.edit(["conv1.weights", "conv2.weights"], "num_bits", 12)
    context.edits.apply()
    advance()
    assert links(dialog) == ["conv1.weights.num_bits=8", "conv2.weights.num_bits=8"]
    click(dialog, 1)
    context.edits.apply()
    advance()
    assert run.book.of("conv2.weights").num_bits == 8 and context.edits.can_undo
    assert links(dialog) == ["conv1.weights.num_bits=8"] and not dialog.form.limits.change_all.isVisible()


def test_all_remedies_can_be_applied_together(run, make, context, advance):
    dialog = make()
    dialog.form.formats.choose("narrow")
    assert not dialog.form.limits.change_all.isVisible()
    context.edits.edit([tensor.name for tensor in context.model.tensors], "num_bits", 12)
    context.edits.apply()
    advance()
    assert not dialog.start.isEnabled()
    dialog.form.limits.change_all.click()
    context.edits.apply()
    advance()
    assert dialog.start.isEnabled() and {run.book.of(t.name).num_bits for t in context.model.tensors} == {8}
    context.edits.undo()
    advance()
    assert {run.book.of(t.name).num_bits for t in context.model.tensors} == {12}


def test_remedies_for_a_checkpoint_are_not_links(run, make, qtbot):
    dialog = make()
    twelve, _ = run.book.change([("conv1.weights.num_bits", 12)])
    dialog.launcher.books = {"step-00000003": twelve}
    dialog.form.formats.choose("narrow")
    dialog.form.state_box.setCurrentIndex(1)
    qtbot.emitted(dialog.form._worker.answered)
    assert "possible with conv1.weights.num_bits=8" in dialog.form.limits.reasons.toPlainText() and links(dialog) == []


def test_every_remedy_is_a_separate_link(run, make):
    dialog = make()
    view = dialog.form.limits
    wanted = []
    view.change_wanted.disconnect()
    view.change_wanted.connect(wanted.append)
    changes = [
        SettingChange("a.weights.symmetric", True),
        SettingChange("a.weights.num_bits", 7),
        OptionChange("int16", True, "for LiteRT"),
        SettingChange("block/conv.1.weights.quant_delay", 0),
        OptionChange("int16", False),
        OptionChange("encodings_version", "1.0.0"),
    ]
    consent = OptionChange("run_code", True)
    view.show_limits(
        FORMATS[1],
        [
            Refusal("no", tuple(changes[:3])),
            Refusal("never"),
            Refusal("not yet", (Advice("from that step on"), *changes[3:], consent)),
        ],
        True,
    )
    assert view.reasons.toPlainText() == (
        "• no\n→ possible with a.weights.symmetric=on, with a.weights.num_bits=7, or with the option int16, for LiteRT"
        "\n• never\n• not yet\n→ possible from that step on, with block/conv.1.weights.quant_delay=0, without the "
        "option int16, with the option encodings_version=1.0.0, or with the option run_code"
    )
    assert links(dialog) == [
        "a.weights.symmetric=on",
        "a.weights.num_bits=7",
        "with the option int16, for LiteRT",
        "block/conv.1.weights.quant_delay=0",
        "without the option int16",
        "with the option encodings_version=1.0.0",
    ]
    for number in range(len(changes)):
        click(dialog, number)
    assert wanted == changes
    del wanted[:]
    view.change_all.click()
    assert wanted == [changes[0], changes[3]]
    del wanted[:]
    view.show_limits(FORMATS[1], [Refusal("no", tuple(changes[:3])), Refusal("not yet", tuple(changes[3:]))], False)
    view.change_all.click()
    assert wanted == [changes[2], changes[4]], "options can be changed though settings can't"
    view.show_limits(FORMATS[1], [Refusal("no", (changes[4],)), Refusal("no more", (changes[4], changes[5]))], False)
    assert not view.change_all.isVisible(), "there is a single change"


def test_remedies_change_options(run, make, context, advance):
    dialog = make()
    dialog.form.formats.choose("narrow")
    dialog.form.pages.currentWidget().widgets["tiny"].click()
    assert not dialog.start.isEnabled()
    assert links(dialog)[:2] == ["input.activations.num_bits=4", "without the option tiny"]
    click(dialog, 1)
    assert dialog.form.request.options["tiny"] is False and dialog.start.isEnabled()


def test_a_remedy_may_name_many_tensors(run, make, context, advance):
    dialog = make()
    dialog.form.limits.change_wanted.emit(SettingChange("*.activations.num_bits", 6))
    context.edits.apply()
    advance()
    bits = {tensor.kind: set() for tensor in context.model.tensors}
    for tensor in context.model.tensors:
        bits[tensor.kind].add(run.book.of(tensor.name).num_bits)
    assert bits == {"weights": {8}, "activations": {6}}
    refused = QtTest.QSignalSpy(context.edits.refused)
    dialog.form.limits.change_wanted.emit(SettingChange("nowhere.activations.num_bits", 6))
    assert "no tensor is named 'nowhere.activations'" in refused[0][0]
