"""Preparing runs: refusals name the field, notices are passed on, and failures leave no files."""

import os

import numpy as np
import pytest
from tensorflow_needed import needs_tensorflow

from qatviz.errors import QatvizError, RunStateError
from qatviz.protocol.commands import Evaluate
from qatviz.protocol.reasons import SaveKind, SaveReason
from qatviz.protocol.run_state import RunState
from qatviz.session.changes import TimedChange, parse_change
from qatviz.session.prepare import prepare
from qatviz.session.request import ForkRequest, NewRunRequest, OpenRequest, ResumeRequest
from qatviz.settings import RunSettings, run_settings_for
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data of 200 examples of 6x6 in 4 classes, and the same data with other values."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.RandomState(0)
    for name in ("small", "other"):
        x, y = random.rand(240, 6, 6, 1).astype(np.float32), np.arange(240) % 4
        np.savez(str(folder / (name + ".npz")), x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    (folder / "layers.json").write_text("{}")
    return folder


@pytest.fixture
def new(folder):
    """Make a request for a run on that data."""

    def make(**fields):
        return NewRunRequest(**{"network": "mlp", "data": str(folder / "small.npz"), **fields})

    return make


@pytest.fixture
def recorded(new, tmp_path):
    """The directory of a run with a checkpoint at step 20."""
    prepared = prepare(new(out=str(tmp_path / "run"), steps=100))
    with prepared.run.record as record:
        state = RunState(20, 2.0, prepared.book, {}, "auto-20", SaveReason(SaveKind.AUTOMATIC), record.branch)
        record.save_checkpoint(state.name, {}, state.meta())
    return str(tmp_path / "run")


def refusal(request, **options):
    with pytest.raises(QatvizError) as refused:
        prepare(request, **options)
    return refused.value


def changes(*texts):
    return tuple(map(parse_change, texts))


@pytest.mark.parametrize(
    "fields, field, words",
    [
        ({"data": "nowhere.npz"}, "data", "nowhere.npz"),
        ({"data": None}, "data", "expected a name, a path or arrays"),
        ({"network": None}, "network", "expected a name, or a model"),
        ({"network": "mobilenets"}, "network", "Did you mean mobilenet?"),
        ({"network": None, "model": "nowhere.h5"}, "model", "nowhere.h5"),
        ({"batch_size": 0}, "batch_size", "is 0"),
        ({"changes": changes("5:dense9.weights.num_bits=3")}, "changes", "'5:dense9.weights.num_bits=3'"),
        ({"changes": changes("dense1.weights.num_bits=99")}, "changes", "from 1 to 16"),
        ({"session_target": "grpc://127.0.0.1:1"}, "session_target", "127.0.0.1:1"),
    ],
)
def test_the_refusal_of_a_new_run_names_the_field(new, fields, field, words, tmp_path):
    error = refusal(new(out=str(tmp_path / "run"), **fields))
    assert error.field == field and words in str(error)
    assert not (tmp_path / "run").exists()


def test_a_refusal_of_weights_names_their_own_field(new, folder):
    model, data = str(folder / "layers.json"), str(folder / "small.npz")
    error = refusal(new(network=None, model=model, model_weights=data))
    assert error.field == "model_weights" and "weights file" in str(error)
    script = refusal(new(network=None, model="make.py:f", model_weights=data, allow_code=True))
    assert script.field == "model_weights"


def test_a_directory_with_a_run_is_refused(new, recorded):
    error = refusal(new(out=recorded))
    assert error.field == "out" and "resume it" in str(error)


def test_an_opened_run_has_its_start_settings_and_refuses_commands(recorded):
    run = prepare(OpenRequest(recorded)).run
    assert (run.description["steps"], run.description["optimizer"]) == (100, "adam")
    for ask in (run.start, lambda: run.send(Evaluate())):
        with pytest.raises(RunStateError, match="resume it first"):
            ask()


def test_discarding_an_unstarted_run_releases_its_record(new, tmp_path):
    prepared = prepare(new(out=str(tmp_path / "run")))
    with pytest.raises(QatvizError):
        RunRecord.open(prepared.directory)
    prepared.run.discard()
    with RunRecord.open(prepared.directory):
        pass


@pytest.mark.parametrize("request_", [ResumeRequest, ForkRequest])
@pytest.mark.parametrize(
    "fields, field, words",
    [
        ({"directory": "nowhere"}, "directory", "nowhere"),
        ({"checkpoint": "no-such"}, "checkpoint", "no-such"),
        ({"steps": 19}, "steps", "is 19: expected at least 20, the number of steps done"),
        ({"data": "nowhere.npz"}, "data", "nowhere.npz"),
        ({"changes": changes("5:*.weights.num_bits=3")}, "changes", "the run continues from step 20"),
        ({"weights": {"num_bits": 0}}, "weights", "weights.num_bits is 0"),
        ({"run": {"learning_rate": -1}}, "learning_rate", "is -1"),
    ],
)
def test_the_refusal_to_resume_names_the_field(recorded, request_, fields, field, words):
    error = refusal(request_(**{"directory": recorded, **fields}))
    assert error.field == field and words in str(error)
    with RunRecord.open(recorded):  # the directory is free for another attempt
        pass


def test_data_other_than_the_runs_is_refused(recorded, folder):
    error = refusal(ResumeRequest(directory=recorded, data=str(folder / "other.npz")))
    assert error.field == "data" and "fingerprint" in str(error)


def test_a_run_without_checkpoints_can_not_be_forked(new, tmp_path):
    prepare(new(out=str(tmp_path / "run"))).run.record.close()
    error = refusal(ForkRequest(directory=str(tmp_path / "run")))
    assert error.field == "directory" and "no checkpoint to fork" in str(error)


@pytest.mark.parametrize(
    "run, optimizer, network, said",
    [
        ({"momentum": 0.5}, "adamw", "mlp", "momentum has no effect: the optimizer adamw does not use it"),
        ({"augment_flip": "both"}, "adam", "rows", "augment_flip has no effect: examples are rows of features"),
        ({"label_smoothing": 0.1}, "adam", "numbers", "label_smoothing has no effect: there are no classes"),
        ({"momentum": 0.5, "augment_flip": "both", "label_smoothing": 0.1}, "momentum", "mlp", None),
        ({}, "adamw", "rows", None),
    ],
)
def test_settings_without_effect_are_named(run, optimizer, network, said, new, tmp_path):
    x, y = np.random.RandomState(0).rand(100, 5).astype(np.float32), np.arange(100) % 2
    np.savez(str(tmp_path / "rows.npz"), x=x, y=y)
    np.savez(str(tmp_path / "numbers.npz"), x=x, y=y + 0.5)
    data = {} if network == "mlp" else {"data": str(tmp_path / f"{network}.npz")}
    notices = []
    settings = run_settings_for(optimizer, run)
    prepare(new(run=settings, optimizer=optimizer, **data), notify=notices.append)
    assert [notice.text for notice in notices if notice.is_warning and "no effect" in notice.text] == [said] * bool(
        said
    )


def test_notices_are_passed_on_before_a_run_is_prepared_or_refused(recorded, new):
    notices = []
    prepare(new(steps=5, changes=changes("9:run.beta1=0.5")), notify=notices.append)
    assert notices[-1].is_warning and "never takes effect" in notices[-1].text
    assert [notice.is_warning for notice in notices[:-1]] == [False], "the inferred task"
    notices.clear()
    path = os.path.join(recorded, "checkpoints", "auto-20.npz")
    with open(path, "r+b") as file:
        file.truncate(100)
    error = refusal(ResumeRequest(directory=recorded), notify=notices.append)
    assert "none of its 1 checkpoints" in str(error)
    assert len(notices) == 1 and notices[0].is_warning and "auto-20" in notices[0].text


def test_a_prepared_run_has_a_description(recorded, new, tmp_path):
    begun = prepare(new(run=RunSettings(learning_rate=0.5), weights={"num_bits": 4}, quant_delay=7))
    assert begun.title == "mlp on small" and begun.batches_per_epoch == 200 / 64 and begun.directory == ""
    assert begun.book.run.learning_rate == 0.5 and begun.outcome.step == 0 and begun.run.state == "new"
    assert {(s.num_bits, s.quant_delay) for s in begun.book.quantizers} == {(4, 7), (8, 7)}
    out = str(tmp_path / "fork")
    forked = prepare(ForkRequest(directory=recorded, out=out, changes=(TimedChange(30, (("run.beta1", 0.5),)),)))
    forked.run.record.close()
    assert (forked.directory, forked.run.step, forked.outcome.step) == (out, 20, 20)
    assert [item.step for item in forked.run.spec.schedule] == [30]
    resumed = prepare(ResumeRequest(directory=recorded, steps=150), shown=True)
    resumed.run.record.close()
    assert (resumed.directory, resumed.run.step, resumed.run.spec.steps) == (recorded, 20, 150)
    assert [logged.event.kind for logged in resumed.log] == ["Restored", "Planned"]
    shown = prepare(OpenRequest(recorded))
    assert shown.run.state == "recorded" and shown.title == "mlp on small" and shown.network == begun.network
