"""The scaling of examples as a setting: recorded, and used by all that continues or uses a run."""

import json

import numpy as np
import pytest
from exhaustive import tries
from tensorflow_needed import needs_tensorflow

import qatviz
from qatviz.cli import main
from qatviz.errors import DataError, SettingError
from qatviz.protocol.run_spec import RunSpec
from qatviz.session.evaluation import evaluate
from qatviz.session.prepare import prepare
from qatviz.session.record_requests import EvaluationRequest
from qatviz.session.request import ForkRequest, NewRunRequest, ResumeRequest
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow

N = 60


def images():
    y = np.arange(N) % 3
    random = np.random.RandomState(0)
    return (random.randint(0, 75, (N, 6, 6)) + 80 * y[:, np.newaxis, np.newaxis]).astype(np.uint8), y


@pytest.fixture
def source(tmp_path):
    x, y = images()
    np.savez(str(tmp_path / "shades.npz"), x=x, y=y)
    return str(tmp_path / "shades.npz")


def scaling_of(request):
    prepared = prepare(request)
    prepared.run.discard()
    return prepared.run.spec.dataset.scaling, prepared.run.spec.dataset.x_train.min()


def test_a_recorded_scaling_is_that_of_all_that_uses_the_run(source, tmp_path, capsys):
    out, fork = str(tmp_path / "run"), str(tmp_path / "fork")
    options = ("--network", "mlp", "--steps", "4", "--batch-size", "8", "--quiet")
    assert main(["train", *options, "--data", source, "--scaling", "signed", "--out", out]) == 0
    assert RunRecord.read(out).description["scaling"] == "signed"
    assert scaling_of(ResumeRequest(directory=out)) == ("signed", -1.0)
    assert scaling_of(ForkRequest(directory=out, out=fork)) == ("signed", -1.0)
    assert RunRecord.read(fork).description["scaling"] == "signed"
    result = evaluate(EvaluationRequest(out))
    assert result.scores == pytest.approx({mode: result.recorded[mode] for mode in result.scores})
    assert main(["export", out, "--format", "npz", "--out", str(tmp_path / "net.npz")]) == 0
    assert main(["report", out, "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "x / 127.5 - 1" in page and "Scaling" in page
    capsys.readouterr()
    assert main(["show", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["description"]["scaling"] == "signed"


@pytest.mark.parametrize(
    "scaling, shape, dtype, used",
    tries(
        [("unit", (N, 6, 6), np.float64, "unit"), ("signed", (N, 36), np.uint8, "signed")],
        [
            (None, (N, 6, 6), np.uint8, "unit"),
            ("unit", (N, 36), np.uint8, "unit"),
            ("unit", (N, 6, 6), np.float64, "unit"),
            ("signed", (N, 36), np.uint8, "signed"),
            ("none", (N, 6, 6), np.uint8, "none"),
        ],
    ),
)
def test_arrays_are_recorded_as_they_are_fed(scaling, shape, dtype, used, tmp_path):
    x, y = images()
    values = x / 2 if dtype == np.float64 else x  # fractions stay floating-point numbers
    out = str(tmp_path / "run")
    trained = qatviz.train(
        "mlp", (values.reshape(shape).astype(dtype), y), out=out, steps=1, quiet=True, scaling=scaling, batch_size=8
    )
    prepared = prepare(ResumeRequest(directory=out))
    prepared.run.discard()
    assert prepared.run.spec.dataset.scaling == used
    result = qatviz.evaluate(out)
    assert result.scores == pytest.approx(trained.scores)


def test_records_without_a_scaling_use_the_inferred_one(source, tmp_path, monkeypatch):
    out = str(tmp_path / "run")
    with monkeypatch.context() as before:
        description = RunSpec.description
        before.setattr(
            "qatviz.protocol.run_spec.RunSpec.description",
            lambda spec: {name: value for name, value in description(spec).items() if name != "scaling"},
        )
        qatviz.train("mlp", source, out=out, steps=1, quiet=True, batch_size=8)
    assert "scaling" not in RunRecord.read(out).description
    assert scaling_of(ResumeRequest(directory=out)) == ("unit", 0)


def test_a_scaling_changes_what_the_network_is_fed(source):
    losses = {}
    for scaling in (None, "unit", "none"):
        trained = qatviz.train("mlp", source, steps=3, quiet=True, scaling=scaling, batch_size=8)
        losses[scaling] = trained.outcome.loss
    assert losses[None] == losses["unit"] != losses["none"]


def test_impossible_scalings_are_refused_by_name(source, tmp_path, capsys):
    with pytest.raises(SettingError, match="scaling is 'half': expected one of none, unit, signed") as error:
        qatviz.train("mlp", source, scaling="half")
    assert error.value.field == "scaling"
    x, y = images()
    with pytest.raises(DataError, match="expected pixels from 0 to 255") as refused:
        qatviz.train("mlp", (x * 4.0, y), scaling="unit")
    assert refused.value.field == "scaling"
    np.savez(str(tmp_path / "wide.npz"), x=x.astype(np.int64) - 9, y=y)
    assert main(["train", "--network", "mlp", "--data", str(tmp_path / "wide.npz"), "--scaling", "unit"]) == 2
    assert "found values from -9 to" in capsys.readouterr().err
    assert main(["train", "--scaling", "half"]) == 2
    assert main(["train", "--resume", str(tmp_path), "--scaling", "unit"]) == 2
    assert "--scaling: can't change in a continued run" in capsys.readouterr().err


def test_data_shows_a_stated_scaling(source, capsys):
    assert main(["data", source, "--scaling", "signed"]) == 0
    printed = capsys.readouterr().out
    assert "fed to the network as x / 127.5 - 1" in printed and "set the scaling" not in printed


def test_requests_with_a_scaling_keep_it_in_their_json_form():
    request = NewRunRequest(scaling="signed")
    assert NewRunRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
