"""Requests: their JSON form, and refusals that name the field."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.cli.parser import parse
from qatviz.cli.train_options import request_of
from qatviz.errors import DataError, NetworkError, QatvizError, SettingError
from qatviz.network.zoo import NETWORKS
from qatviz.presets import PRESETS
from qatviz.scaling import SCALINGS
from qatviz.session.changes import TimedChange
from qatviz.session.request import (
    NO_LIMIT,
    REQUESTS,
    ForkRequest,
    NewRunRequest,
    OpenRequest,
    ResumeRequest,
    RunRequest,
)
from qatviz.settings import OPTIMIZERS, RunSettings

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1)
PATHS = st.none() | TEXT
CHANGES = st.lists(
    st.builds(
        TimedChange,
        st.none() | st.integers(0, 10**9),
        st.lists(st.tuples(TEXT, st.booleans() | st.integers() | TEXT), min_size=1).map(tuple),
    ),
    max_size=3,
).map(tuple)
STEPS = st.integers(0, 10**9) | st.just(NO_LIMIT)
SHARED = {
    "weights": st.dictionaries(TEXT, st.integers() | st.booleans()),
    "activations": st.dictionaries(TEXT, st.integers()),
    "changes": CHANGES,
    "session_target": st.just("") | TEXT,
    "device": st.just("") | TEXT,
    "threads": st.integers(0, 64),
}
CONTINUED = dict(
    SHARED,
    directory=TEXT,
    checkpoint=PATHS,
    data=PATHS,
    steps=st.none() | STEPS,
    preset=PATHS,
    run=st.dictionaries(TEXT, st.floats(0, 1)),
)
ALL = st.one_of(
    st.builds(
        NewRunRequest,
        data=TEXT,
        steps=STEPS,
        preset=st.sampled_from(list(PRESETS)),
        network=st.none() | st.sampled_from(list(NETWORKS)),
        model=PATHS,
        model_weights=PATHS,
        allow_code=st.booleans(),
        from_scratch=st.booleans(),
        task=st.none() | TEXT,
        scaling=st.none() | st.sampled_from(list(SCALINGS)),
        validation_fraction=st.floats(0.01, 0.99),
        batch_size=st.integers(1, 65536),
        optimizer=st.sampled_from(OPTIMIZERS),
        seed=st.integers(0, 2**32 - 1),
        quant_delay=st.integers(0, 10**9),
        run=st.builds(RunSettings, learning_rate=st.floats(0, 100), freeze_ranges=st.booleans()),
        out=PATHS,
        **SHARED,
    ),
    st.builds(ResumeRequest, **CONTINUED),
    st.builds(ForkRequest, out=PATHS, **CONTINUED),
    st.builds(OpenRequest, directory=TEXT),
)


def refuse_constant(word):
    raise ValueError(f"{word} is not JSON")


@given(ALL)
def test_a_request_round_trips_through_strict_json(request):
    text = json.dumps(request.to_dict(), allow_nan=False)
    assert RunRequest.from_dict(json.loads(text, parse_constant=refuse_constant)) == request


def test_every_kind_of_request_is_known():
    kinds = [NewRunRequest, ResumeRequest, ForkRequest, OpenRequest]
    assert list(REQUESTS.values()) == kinds and list(REQUESTS) == ["new", "resume", "fork", "open"]


@pytest.mark.parametrize(
    "row, field",
    [
        ({}, "kind"),
        ({"kind": "train"}, "kind"),
        ({"kind": "new", "newtork": "mlp"}, "newtork"),
        ({"kind": "open", "out": "x"}, "out"),
        ({"kind": "new", "changes": [{"step": 5}]}, "changes"),
        ({"kind": "new", "run": {"speed": 1}}, "run"),
        ({"kind": "new", "run": {"learning_rate": -1}}, "run"),
        ({"kind": "resume", "weights": 5}, "weights"),
    ],
)
def test_invalid_json_is_refused(row, field):
    with pytest.raises(SettingError) as refused:
        RunRequest.from_dict(row)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "request_, field, words",
    [
        (NewRunRequest(batch_size=0), "batch_size", "is 0: expected a whole number from 1 to 65536"),
        (NewRunRequest(batch_size=8.0), "batch_size", "is 8.0"),
        (NewRunRequest(seed=True), "seed", "is True"),
        (NewRunRequest(steps=-1), "steps", "is -1"),
        (NewRunRequest(steps=math.nan), "steps", "is nan"),
        (NewRunRequest(optimizer="adan"), "optimizer", "Did you mean adam?"),
        (NewRunRequest(preset="int3"), "preset", "Did you mean int4?"),
        (NewRunRequest(quant_delay=-5), "quant_delay", "is -5"),
        (NewRunRequest(validation_fraction=1.0), "validation_fraction", "above 0 and below 1"),
        (NewRunRequest(scaling="half"), "scaling", "is 'half': expected one of none, unit, signed"),
        (NewRunRequest(scaling=["unit"]), "scaling", "text"),
        (NewRunRequest(data=" "), "data", "a name, or the path"),
        (NewRunRequest(out=""), "out", "a directory"),
        (NewRunRequest(threads=-1), "threads", "at least 0"),
        (NewRunRequest(device="gpu0"), "device", "/gpu:0"),
        (NewRunRequest(from_scratch=True), "from_scratch", "applies only to your own models"),
        (NewRunRequest(model="x.h5"), "model", "there is a network as well"),
        (NewRunRequest(network=None, model="x.py"), "model", "x.py:FUNCTION"),
        (NewRunRequest(weights={"num_bits": 17}), "weights", "weights.num_bits is 17"),
        (NewRunRequest(activations={"per_channel": True}), "activations", "'per_channel'"),
        (ResumeRequest(), "directory", "the directory of a recorded run"),
        (ForkRequest(directory="a", run={"learning_rate": -1}), "learning_rate", "is -1"),
        (ForkRequest(directory="a", run={"learning_rats": 1}), "learning_rats", "Did you mean learning_rate?"),
        (OpenRequest(), "directory", "the directory of a recorded run"),
    ],
)
def test_a_refusal_names_its_field(request_, field, words):
    (error,) = request_.problems().values()
    assert list(request_.problems()) == [field] == [error.field]
    assert isinstance(error, SettingError) and words in str(error)
    with pytest.raises(SettingError) as refused:
        request_.check()
    assert str(refused.value) == str(error)


def test_errors_of_networks_and_tasks_have_their_own_types():
    problems = NewRunRequest(network="lennet", task="ranking").problems()
    assert isinstance(problems["network"], NetworkError) and "Did you mean lenet?" in str(problems["network"])
    assert isinstance(problems["task"], DataError) and problems["task"].field == "task"


def test_an_error_can_name_the_field_in_the_terms_of_its_interface():
    error = NewRunRequest(batch_size=0).problems()["batch_size"]
    assert str(error).startswith("batch_size is 0: ")
    assert error.worded("--batch-size").startswith("--batch-size is 0: ")
    assert error.worded("Batch size").startswith("Batch size is 0: ")
    whole = QatvizError("x.npz: damaged", "data")
    assert whole.worded("--data") == "x.npz: damaged"


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--resume", "runs/a"], ResumeRequest(directory="runs/a")),
        (
            ["--resume", "runs/a", "--checkpoint", "good", "--steps", "90", "--learning-rate", "0.5"],
            ResumeRequest(directory="runs/a", checkpoint="good", steps=90, run={"learning_rate": 0.5}),
        ),
        (["--resume", "runs/a", "--steps", "inf"], ResumeRequest(directory="runs/a", steps=NO_LIMIT)),
        (
            ["--fork", "runs/a@good", "--preset", "int4", "--out", "runs/b"],
            ForkRequest(directory="runs/a", checkpoint="good", preset="int4", out="runs/b"),
        ),
        (["--fork", "runs/a", "--data", "x.npz"], ForkRequest(directory="runs/a", data="x.npz")),
    ],
)
def test_resume_and_fork_options_become_requests(arguments, expected):
    assert request_of(parse(["train", *arguments])) == expected


def test_a_directory_may_have_an_at_sign_in_its_name(tmp_path):
    directory = tmp_path / "a@b"
    directory.mkdir()
    assert request_of(parse(["train", "--fork", str(directory)])) == ForkRequest(directory=str(directory))
