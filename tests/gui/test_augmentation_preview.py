"""Augmentation in the New run dialog: its settings, and examples before and after it."""

import numpy as np
import pytest
from new_run_stage import DIGITS, StagedChecks, info_of
from PyQt5 import QtCore

from qatviz.gui.dialogs.new_run.dialog import NewRunDialog
from qatviz.presentation.augmented import AugmentedExamples, pictures_of
from qatviz.session.folders import RUNS_VARIABLE

EXAMPLES = np.random.RandomState(0).rand(8, 28, 28, 1).astype(np.float32)
WITH_EXAMPLES = DIGITS._replace(augmentable=AugmentedExamples(EXAMPLES))
FEATURES = info_of((13,), 3, 30, 9)._replace(augmentable=AugmentedExamples(EXAMPLES.reshape(8, -1)[:, :13]))


@pytest.fixture
def dialog(context, show, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv(RUNS_VARIABLE, str(tmp_path / "runs"))
    found = show(NewRunDialog(context, StagedChecks({"mnist-5k": WITH_EXAMPLES, "cifar10": FEATURES})), 1180, 740)
    qtbot.waitUntil(lambda: found.data is not None)
    yield found
    QtCore.QThreadPool.globalInstance().waitForDone()


def test_the_row_is_shown_with_augmentation_and_again_shows_the_next_step(dialog):
    row = dialog.data_preview.augmented
    assert not row.isVisible()
    dialog.form.numbers["augment_rotation"].box.set_value(20.0)
    dialog.form.changed.emit()
    assert dialog.request.run.augment_rotation == 20.0
    assert row.isVisible()
    shown = row.grid._info.samples
    expected = np.concatenate(pictures_of(WITH_EXAMPLES.augmentable, dialog.request.run, dialog.request.seed, 0))
    np.testing.assert_array_equal(shown, expected)
    assert row.about.text() == "Above: examples; below: augmented, as in training step 1 with seed 0"
    places = [spot for spot, _ in row.grid._places()]
    assert len(places) == len(shown) and places[0].bottom() < places[8].top() and places[0].width() >= 40
    row.again.click()
    after = np.concatenate(pictures_of(WITH_EXAMPLES.augmentable, dialog.request.run, 0, 1))
    np.testing.assert_array_equal(row.grid._info.samples, after)
    assert "training step 2" in row.about.text() and (after != expected).any()
    dialog.form.numbers["augment_rotation"].box.set_value(0.0)
    dialog.form.changed.emit()
    assert not row.isVisible()


def test_settings_without_an_effect_on_the_data_are_hidden(dialog, qtbot):
    form = dialog.form
    assert form.fields["augment_rotation"].isVisibleTo(form) and form.fields["augment_noise"].isVisibleTo(form)
    form.data.set_text("cifar10")
    dialog._data_delay.timeout.emit()
    qtbot.waitUntil(lambda: dialog.data is not None and dialog.data.input_shape == (13,))
    assert not form.fields["augment_rotation"].isVisibleTo(form) and form.fields["augment_noise"].isVisibleTo(form)
    assert not form.fields["augment_flip"].isVisibleTo(form)
