"""The verdict on the tensor page, and the change that it offers."""

from tensor_stage import NAME, advance_and_draw, change, clock, make  # noqa: F401


def test_an_offer_is_computed_applied_and_undone(context, staged, make, qtbot):
    run = staged(steps=1)
    change(context, run, make(), per_channel=False, symmetric=True, num_bits=3)
    panel = make()
    context.model.select([NAME], NAME)
    advance_and_draw(context, run, panel)
    qtbot.waitUntil(panel.verdict.button.isVisible)
    offer, before = panel.verdict.button.text(), context.model.settings_of(NAME)
    assert "SQNR" in offer and "→" in offer and panel.verdict.text.text().endswith(".")
    panel.verdict.button.click()
    assert not panel.verdict.button.isVisible()
    qtbot.waitUntil(lambda: not context.edits.unsent)
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME) != before
    context.edits.undo()
    advance_and_draw(context, run, panel)
    assert context.model.settings_of(NAME) == before


def test_nothing_is_offered_for_a_good_tensor(context, staged, make, qtbot):
    run, panel = staged(steps=1), make()
    change(context, run, panel, per_channel=True, num_bits=8)
    advance_and_draw(context, run, panel)
    assert panel.verdict.text.text().startswith("Good")
    assert not panel.verdict.button.isVisible() and panel.verdict._trials is None
