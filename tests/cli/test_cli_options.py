"""Wrong options are refused in one line with their names and the allowed values, with exit code 2."""

import pytest
from cli_calls import call, error_of
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_needed import needs_tensorflow

from qatviz import __version__
from qatviz.cli.train_options import parse_kind
from qatviz.errors import SettingError
from qatviz.session.changes import parse_change
from qatviz.session.request import DEFAULT_NETWORK
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS, WEIGHTS
from qatviz.telemetry.record.run_record import RunRecord

pytestmark = needs_tensorflow


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["trian"], ["'trian'", "Did you mean train?"]),
        (["--learning-rate", "1"], ["--learning-rate"]),
        (["train", "--learing-rate", "1"], ["--learing-rate", "Did you mean --learning-rate?"]),
        (["train", "--learning-rate", "fast"], ["--learning-rate is 'fast'", "from 0 to 100"]),
        (["train", "--momentum", "1"], ["--momentum is 1.0", "0.9999"]),
        (["train", "--freeze-ranges", "perhaps"], ["'perhaps'", "on or off"]),
        (["train", "--steps", "-1"], ["--steps is -1"]),
        (["train", "--steps", "many"], ["'many'", "--steps", "or inf for no limit"]),
        (["--steps", "inf"], ["--steps is an option", "'window --steps inf'", "'train --steps inf'"]),
        (["train", "--steps", "1.5"], ["'1.5'", "--steps"]),
        (["train", "--batch-size", "0"], ["--batch-size is 0", "from 1 to"]),
        (["train", "--seed", "-1"], ["--seed is -1"]),
        (["train", "--threads", "-1"], ["--threads is -1"]),
        (["train", "--device", "gpu0"], ["--device is 'gpu0'", "/gpu:0"]),
        (["train", "--session-target", "host"], ["session target is 'host'", "grpc://HOST:PORT"]),
        (["train", "--session-target", "grpc://127.0.0.1:1"], ["grpc://127.0.0.1:1: nothing answers there"]),
        (["train", "--network", "lennet"], ["'lennet'", "Did you mean lenet?"]),
        (["train", "--network", "resnet8", "--preset", "int3"], ["'int3'", "Did you mean int4?"]),
        (["train", "--optimizer", "adan"], ["'adan'", "Did you mean adam?"]),
        (["train", "--data", "mnist-6k"], ["'mnist-6k'", "Did you mean mnist-5k?"]),
        (["train", "--weights", "num_bits=17"], ["--weights num_bits is 17", "from 1 to 16"]),
        (["train", "--weights", "num_bit=4"], ["'num_bit'", "Did you mean num_bits?"]),
        (["train", "--activations", "per_channel=on"], ["'per_channel'", "activations"]),
        (["train", "--weights", "num_bits"], ["'num_bits'", "PATH=VALUE"]),
        (["train", "--set", "conv1.weights.num_bits"], ["'conv1.weights.num_bits'", "PATH=VALUE"]),
        (["train", "--set", "x:conv1.weights.num_bits=3"], ["the step is 'x'"]),
        (["train", "--set=-5:conv1.weights.num_bits=3"], ["-5"]),
        (["train", "--set", "5:conv1.weights.num_bits=0"], ["conv1.weights.num_bits is 0", "from 1 to 16"]),
        (["train", "--set", "5:conv1.weights.nun_bits=3"], ["'nun_bits'", "Did you mean num_bits?"]),
        (["train", "--set", "5:comv1.weights.num_bits=3"], ["'comv1.weights'", "Did you mean conv1?"]),
        (["train", "--set", "run.learning_rates=3"], ["learning_rates", "Did you mean run.learning_rate?"]),
        (
            ["train", "--set", "5:conv1.weights.num_bits=3", "--set", "9:conv1.activations.per_channel=on"],
            ["per_channel"],
        ),
        (["train", "--resume", "nowhere"], ["nowhere", "not"]),
        (["train", "--fork", "nowhere@final"], ["nowhere", "not"]),
        (["train", "--resume", "a", "--out", "b"], ["--resume", "--out"]),
        (["train", "--resume", "a", "--fork", "b"], ["--resume", "--fork"]),
        (["train", "--checkpoint", "a"], ["--checkpoint", "--resume"]),
        (["show", "nowhere"], ["nowhere", "not"]),
        (["show"], ["RUN"]),
        (["show", "a", "b"], ["'b'"]),
        (["networks", "lennet"], ["'lennet'", "Did you mean lenet?"]),
        (["networks", "--input-shape", "28,28"], ["'28,28'", "28x28x1"]),
        (["networks", "lenet", "--input-shape", "28"], ["28"]),
        (["data", "nowhere"], ["'nowhere'"]),
    ],
)
def test_a_wrong_option_or_value_is_named(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = error_of(*arguments)
    for word in words:
        assert word in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "option, value",
    [
        ("--network", "mlp"),
        ("--batch-size", "32"),
        ("--optimizer", "sgd"),
        ("--seed", "1"),
        ("--validation-fraction", "0.1"),
    ],
)
@pytest.mark.parametrize("source", ["--resume", "--fork"])
def test_fixed_options_of_a_run_cannot_change_when_it_is_resumed(source, option, value):
    line = error_of("train", source, "somewhere", option, value)
    is_free = (source, option) == ("--fork", "--seed")  # from the checkpoint on, a fork may have other batches
    assert ("not found" if is_free else option) in line


def test_a_directory_with_a_run_is_not_overwritten(tmp_path):
    RunRecord.create(tmp_path, {}).close()
    assert "resume it" in error_of("train", "--out", tmp_path)


def test_a_run_that_is_being_written_is_not_resumed(tmp_path):
    with RunRecord.create(tmp_path, {}):
        assert "is being written by process" in error_of("train", "--resume", tmp_path)


@pytest.mark.parametrize("command", ["", "train", "show", "networks", "data", "settings", "presets"])
def test_every_command_has_help(command):
    answer = call(*command.split(), "--help")
    assert answer.code == 0 and answer.err == ""
    assert "usage: qatviz " + command in answer.out


def test_the_help_of_train_lists_settings_and_examples():
    text = call("train", "--help").out
    for setting in RUN_SETTINGS.values():
        assert "--" + setting.name.replace("_", "-") in text
        assert setting.help.split()[0] in text
    assert "examples:" in text and "exit codes:" in text and "tflite-int8" in text
    assert f"(default: {DEFAULT_NETWORK})" in text


def test_the_version_is_printed():
    assert call("--version").out == f"qatviz {__version__}\n"


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_*?.", min_size=1)
VALUES = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-+", min_size=1)


@given(st.none() | st.integers(0, 10**9), st.lists(st.tuples(NAMES, VALUES), min_size=1))
def test_a_change_is_parsed_as_written(step, pairs):
    text = "" if step is None else f"{step}:"
    change = parse_change(text + ",".join("=".join(pair) for pair in pairs))
    assert change.step == step and change.assignments == tuple(pairs)


@given(st.text())
def test_any_text_is_parsed_or_a_setting_error(text):
    try:
        change = parse_change(text)
    except SettingError as error:
        assert text in str(error) or repr(text) in str(error)
    else:
        assert change.assignments and all(path and value for path, value in change.assignments)


SWITCHES = sorted(name for name, setting in QUANTIZER_SETTINGS.items() if setting.type is bool)


@given(st.dictionaries(st.sampled_from(SWITCHES), st.booleans()))
def test_settings_of_all_weights_or_activations_are_parsed_as_written(values):
    words = [f"{name}={'on' if value else 'off'}" for name, value in values.items()]
    assert parse_kind(words, WEIGHTS) == values
    assert parse_kind([",".join(words)] if words else [], WEIGHTS) == values
