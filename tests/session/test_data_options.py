"""The options that decide how data is read: the same everywhere, recorded, and used by all that continues a run."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import qatviz
from qatviz.cli import main
from qatviz.data import load
from qatviz.data_options import DATA_OPTIONS, DataOptions
from qatviz.errors import RecordError, SettingError
from qatviz.session.begin import begin
from qatviz.session.evaluation import evaluate
from qatviz.session.inspection import inspect_data
from qatviz.session.model_info import DataQuestion
from qatviz.session.prepare import prepare
from qatviz.session.record_requests import EvaluationRequest
from qatviz.session.request import ForkRequest, NewRunRequest, ResumeRequest, RunRequest
from qatviz.telemetry.record.contents import check_description
from qatviz.telemetry.record.run_record import RunRecord

GIVEN = {"image_size": "6x5", "fit": "pad", "background": "black"}
WORDS = ("--image-size", "6x5", "--fit", "pad", "--background", "black")


@pytest.fixture
def pictures(tmp_path):
    """Return a folder of twelve images of several sizes in two classes."""
    random = np.random.RandomState(1)
    for index in range(12):
        path = tmp_path / "pictures" / "ab"[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 256, (4 + index, 9 - index // 2)).astype(np.uint8)).save(str(path))
    return str(tmp_path / "pictures")


def data_of(request):
    prepared = prepare(request)
    prepared.run.discard()
    return prepared.run.spec.dataset


def test_recorded_options_are_those_of_all_that_uses_the_run(pictures, tmp_path, capsys):
    out, fork = str(tmp_path / "run"), str(tmp_path / "fork")
    options = ("--network", "mlp", "--steps", "3", "--batch-size", "4", "--quiet", "--out", out)
    assert main(["train", *options, "--data", pictures, *WORDS]) == 0
    assert RunRecord.read(out).description["data_options"] == GIVEN
    first = data_of(ForkRequest(directory=out, out=fork))
    assert RunRecord.read(fork).description["data_options"] == GIVEN
    assert first.input_shape == (6, 5, 1)
    assert first.fingerprint == data_of(ResumeRequest(directory=fork)).fingerprint
    assert evaluate(EvaluationRequest(out)).scores
    assert main(["report", out, "--out", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Image size: 6x5; Fit: Pad to the size; Background: black" in page
    with_other_size = ["train", "--resume", out, "--image-size", "8x8"]
    assert main(with_other_size) == 2
    assert "--image-size: can't change in a continued run" in capsys.readouterr().err


def test_a_run_recorded_before_validation_parts_were_used_finds_its_data(tmp_path, monkeypatch):
    random = np.random.RandomState(0)
    x, y = random.rand(40, 5), np.arange(40) % 2
    source, out = str(tmp_path / "parts.npz"), str(tmp_path / "run")
    np.savez(source, x_train=x, y_train=y, x_val=x[:9], y_val=y[:9])
    before = load(source, options=DataOptions(held_out="split"))
    with monkeypatch.context() as earlier:
        earlier.setattr("qatviz.data.load", lambda *arguments, **options: before)
        qatviz.train("mlp", source, out=out, steps=1, quiet=True, batch_size=4)
    assert len(load(source).x_test) == 9
    resumed = data_of(ResumeRequest(directory=out))
    assert resumed.fingerprint == before.fingerprint and len(resumed.x_test) == 8


def test_defaults_are_not_recorded(tmp_path):
    qatviz.train("mlp", "mnist-5k", out=str(tmp_path / "run"), steps=1, quiet=True)
    assert "data_options" not in RunRecord.read(str(tmp_path / "run")).description


def test_a_damaged_record_of_options_is_refused(pictures, tmp_path):
    qatviz.train("mlp", pictures, out=str(tmp_path / "run"), steps=1, quiet=True, batch_size=4, image_size="6x5")
    description = RunRecord.read(str(tmp_path / "run")).description
    for options in ({"image_size": "big"}, {"fitt": "pad"}, ["pad"], {"fit": 3}):
        with pytest.raises(RecordError, match="description of the run"):
            check_description(dict(description, data_options=options))


def test_command_line_api_and_window_describe_the_same_data(pictures, capsys):
    assert main(["data", pictures, "--json", *WORDS]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {name: summary["options"][name] for name in GIVEN} == GIVEN and summary["options"]["held_out"] == "auto"
    assert main(["data", pictures, *WORDS]) == 0
    assert "options    --image-size 6x5, --fit pad, --background black, --unusable refuse" in capsys.readouterr().out
    trained = qatviz.train("mlp", pictures, steps=1, quiet=True, batch_size=4, **GIVEN)
    info = inspect_data(DataQuestion(pictures, options=DataOptions(**GIVEN)))
    assert summary["input_shape"] == list(info.input_shape) == [6, 5, 1]
    note = "images of other sizes than 6x5: 12 of 12, scaled and padded to it"
    assert note in summary["notes"] and note in info.notes
    assert note in [notice.text for notice in trained.notices]
    assert info.options == ("image_size", "fit", "background", "unusable", "held_out")
    assert inspect_data(DataQuestion("mnist-5k")).options == ()


def test_every_option_round_trips_through_json_and_names_itself_in_errors():
    request = NewRunRequest(data_options=DataOptions(**GIVEN))
    assert RunRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    for name in DATA_OPTIONS:
        (found,) = NewRunRequest(data_options=DataOptions(**{name: "\0"})).problems().items()
        assert found[0] == name == found[1].field


def test_options_of_files_are_refused_for_arrays():
    x, y = np.zeros((8, 4)), np.arange(8) % 2
    with pytest.raises(SettingError, match="image_size applies to data that is read from files") as caught:
        qatviz.train("mlp", (x, y), image_size="4x4")
    assert caught.value.field == "image_size"


def test_the_command_line_refuses_values_by_the_name_of_the_option(pictures, capsys):
    for words in (["--image-size", "64"], ["--fit", "stretch"], ["--background", "red-ish"]):
        assert main(["data", pictures, *words]) == 2
        assert f"{words[0]} is {words[1]!r}: expected" in capsys.readouterr().err


def test_a_model_that_scales_its_input_gets_16_bit_pixels_as_they_are(tmp_path):
    random = np.random.RandomState(1)
    for index in range(12):
        path = tmp_path / "deep" / "ab"[index % 2] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 65536, (4, 4)).astype(np.uint16)).save(str(path))
    source, out = str(tmp_path / "deep"), str(tmp_path / "run")
    unscaled = data_of(NewRunRequest(network="mlp", data=source))
    assert unscaled.scaling == "unit" and 0.9 < unscaled.x_train.max() <= 1
    image = tf.keras.Input((4, 4, 1))
    layers = tf.keras.layers
    model = tf.keras.Model(image, layers.Dense(2)(layers.Flatten()(image / 255.0)))
    prepared = begin(NewRunRequest(network=None, data=source, out=out), model=model)
    prepared.run.discard()
    dataset = prepared.run.spec.dataset
    assert dataset.scaling == "none" and 200 < dataset.x_train.max() <= 255
    assert data_of(ResumeRequest(directory=out)).fingerprint == dataset.fingerprint


def test_columns_of_a_table_are_recorded(tmp_path):
    rows = "\n".join(f"{index},{index % 5},{index / 3},{'ab'[index % 2]}" for index in range(40))
    (tmp_path / "table.csv").write_text("a,b,c,d\n" + rows)
    source, out = str(tmp_path / "table.csv"), str(tmp_path / "run")
    qatviz.train("mlp", source, out=out, steps=1, quiet=True, batch_size=4, targets="c", features="a,d")
    assert RunRecord.read(out).description["data_options"] == {"targets": "c", "features": "a,d"}
    resumed = data_of(ResumeRequest(directory=out))
    assert resumed.task == "regression" and resumed.input_shape == (3,)
