"""Command line, window and API make equal requests for equal input."""

from dataclasses import replace

import pytest
from PyQt5 import QtCore

from qatviz import api
from qatviz.cli.parser import parse
from qatviz.cli.train_options import request_of
from qatviz.gui.dialogs.new_run.form import NewRunForm
from qatviz.gui.model.context import Context
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RunModel
from qatviz.gui.widgets.theme import DARK, Theme
from qatviz.session.changes import TimedChange
from qatviz.session.request import NO_LIMIT, NewRunRequest
from qatviz.settings import RunSettings

DATA_NAMES = [("mnist-5k", "digits"), ("cifar10", "photographs")]


@pytest.fixture
def form(app, tmp_path):
    """Return the form of the New run dialog with its defaults, without remembered values."""
    settings = QtCore.QSettings(str(tmp_path / "settings.ini"), QtCore.QSettings.IniFormat)
    model = RunModel()
    form = NewRunForm(Context(model, Edits(model), Theme(DARK), settings), DATA_NAMES)
    form.out.record.setChecked(False)
    return form


def typed(*arguments):
    return request_of(parse(["train", *map(str, arguments)]))


def called(model="lenet", data="mnist-5k", out=None, **options):
    return api.request_of(model, data, out, options)


def test_default_requests_are_equal(form):
    assert typed() == called() == form.request == NewRunRequest()


def test_command_line_window_and_api_make_equal_requests(form, tmp_path):
    out = str(tmp_path / "run")
    form.network.set_text("dscnn")
    form.data.set_text("cifar10")
    form.task.setCurrentText("Classification")
    form.scaling.setCurrentText("Pixels: x / 127.5 - 1")
    form.preset.setCurrentText("int4")
    form.optimizer.setCurrentText("Momentum")
    form.metric.setCurrentText("Top-5 accuracy")
    form.class_weights.setText("balanced")
    form.lr_schedule.setCurrentText("Cosine")
    for name, value in (("lr_period", 400), ("lr_factor", 0.01), ("warmup_steps", 50)):
        form.numbers[name].box.set_value(value)
    for name, value in (("learning_rate", 0.02), ("batch_size", 32), ("seed", 7), ("quant_delay", 300)):
        form.numbers[name].box.set_value(value)
    form.steps.set_steps(500, False)
    form.out.record.setChecked(True)
    form.out.edit.setText(out)
    given = {"preset": "int4", "optimizer": "momentum", "metric": "top5", "batch_size": 32, "seed": 7}
    given.update(quant_delay=300, steps=500, class_weights="balanced")
    schedule = {"lr_schedule": "cosine", "lr_period": 400, "lr_factor": 0.01, "warmup_steps": 50}
    expected = NewRunRequest(
        network="dscnn",
        data="cifar10",
        task="classification",
        scaling="signed",
        run=RunSettings(learning_rate=0.02, **schedule),
        out=out,
        **given,
    )
    assert form.request == expected
    words = {"task": "classification", "scaling": "signed", "learning_rate": 0.02}
    given.update(schedule)
    assert called("dscnn", "cifar10", out, **words, **given) == expected
    options = [word for name, value in given.items() for word in ("--" + name.replace("_", "-"), value)]
    assert expected == typed(
        *("--network", "dscnn", "--data", "cifar10", "--task", "classification", "--scaling", "signed"),
        *("--learning-rate", 0.02, "--out", out),
        *options,
    )


def test_the_form_shows_the_schedule_that_is_chosen(form):
    numbers = {"lr_period", "lr_factor", "warmup_steps"}

    def shown():
        return {name for name in numbers if not form.fields[name].isHidden()}

    assert shown() == {"warmup_steps"} and form.rates.isHidden()
    form.lr_schedule.setCurrentText("Step")
    assert shown() == numbers and not form.rates.isHidden()
    form.lr_schedule.setCurrentText("Constant")
    form.numbers["warmup_steps"].box.set_value(100)
    form.numbers["warmup_steps"].edited.emit(100)
    assert shown() == {"warmup_steps"} and not form.rates.isHidden()
    form.numbers["learning_rate"].box.set_value(0.5)
    form.numbers["learning_rate"].edited.emit(0.5)
    run, steps, _ = form.rates._plan
    assert (run.learning_rate, run.warmup_steps, steps) == (0.5, 100, 2000)


def test_an_optimizer_has_defaults_of_its_own_for_settings_that_are_not_given(form):
    form.optimizer.setCurrentText("AdamW")
    expected = NewRunRequest(optimizer="adamw", run=RunSettings(weight_decay=0.004))
    assert form.request == called(optimizer="adamw") == typed("--optimizer", "adamw") == expected
    without = replace(expected, run=RunSettings())
    assert called(optimizer="adamw", weight_decay=0.0) == without
    assert typed("--optimizer", "adamw", "--weight-decay", 0) == without


def test_requests_with_a_keras_model_are_equal(form):
    form.network.set_text("/m/layers.json")
    form.weights.set_text("/m/weights.h5")
    form.from_scratch.setCurrentIndex(1)
    form.steps.set_steps(0, True)
    expected = NewRunRequest(
        network=None, model="/m/layers.json", model_weights="/m/weights.h5", from_scratch=True, steps=NO_LIMIT
    )
    assert form.request == expected
    assert called("/m/layers.json", weights_path="/m/weights.h5", from_scratch=True, steps=None) == expected
    files = ("--model", "/m/layers.json", "--model-weights", "/m/weights.h5")
    assert typed(*files, "--from-scratch", "--steps", "inf") == expected
    # The dialog, not the form, asks for consent.
    assert called("/m/layers.json", allow_code=True, weights_path="/m/weights.h5") == replace(
        expected, allow_code=True, from_scratch=False, steps=2000
    )


def test_command_line_and_api_have_equal_changes_and_quantizer_settings():
    expected = NewRunRequest(
        weights={"num_bits": 4, "per_channel": True},
        activations={"range_method": "frozen"},
        changes=(
            TimedChange(500, (("conv1.weights.num_bits", 3),)),
            TimedChange(None, (("*.weights.symmetric", False), ("run.learning_rate", 0.0005))),
        ),
        run=RunSettings(evaluation_interval=50, freeze_batch_norm=True),
        validation_fraction=0.1,
    )
    changes = ["500:conv1.weights.num_bits=3", "*.weights.symmetric=off,run.learning_rate=5e-4"]
    assert expected == typed(
        *("--weights", "num_bits=4,per_channel=on", "--activations", "range_method=frozen"),
        *("--set", changes[0], "--set", changes[1]),
        *("--evaluation-interval", 50, "--freeze-batch-norm", "on", "--validation-fraction", 0.1),
    )
    assert expected == called(
        weights={"num_bits": 4, "per_channel": True},
        activations={"range_method": "frozen"},
        changes=changes,
        evaluation_interval=50,
        freeze_batch_norm=True,
        validation_fraction=0.1,
    )
