"""`qatviz train --at`: corrections on the command line, in the record, repeated by a resumed run, and exported."""

import pytest
import tensorflow  # loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, write_data

from qatviz import api
from qatviz.errors import SettingError
from qatviz.protocol import events
from qatviz.protocol.commands import (
    AdaRound,
    CorrectBias,
    EqualizeLayers,
    ReestimateBatchNorm,
    ScheduledCommand,
    command_from,
)
from qatviz.protocol.corrections import CORRECTION_KINDS, correction_text, parse_correction
from qatviz.session.request import NewRunRequest
from qatviz.session.timed_corrections import TimedCorrection, parse_timed_correction
from qatviz.telemetry.record.run_record import RunRecord

OPTIONS = ["--network", "mlp", "--batch-size", 8, "--evaluation-interval", 0, "--quiet", "--weights"]
OPTIONS += ["num_bits=4,per_channel=off"]
CORRECTIONS = ("4:equalize-layers", "7:correct-bias,batches=2", "9:adaround,batches=2,iterations=30")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder / "small.npz")
    return folder


def train(folder, name, *arguments):
    directory = folder / name
    found = call("train", "--data", folder / "small.npz", *OPTIONS, "--steps", 12, "--out", directory, *arguments)
    assert found.code == 0, found.err
    return directory


@pytest.fixture(scope="module")
def recorded(folder):
    """Return the directory of a run with corrections, and a change of settings at the step of one."""
    at = [part for text in CORRECTIONS for part in ("--at", text)]
    return train(folder, "whole", *at, "--set", "7:*.weights.num_bits=5")


@pytest.mark.parametrize(
    "text, command",
    [
        ("reestimate-batch-norm", ReestimateBatchNorm()),
        ("reestimate-batch-norm,batches=7", ReestimateBatchNorm(7)),
        ("equalize-layers", EqualizeLayers()),
        ("equalize-layers,layers=a+b", EqualizeLayers(("a", "b"))),
        ("correct-bias,batches=3", CorrectBias(3)),
        ("adaround,batches=2,iterations=5", AdaRound(2, 5)),
    ],
)
def test_corrections_are_parsed_written_and_stored(text, command):
    assert parse_correction(text) == command
    assert correction_text(command) == text
    assert command_from(command.to_dict()) == command
    scheduled = ScheduledCommand(5, command, "id")
    assert ScheduledCommand.from_row(scheduled.to_row()) == scheduled
    assert parse_timed_correction(text) == TimedCorrection(None, command)
    assert parse_timed_correction("12:" + text).text == "12:" + text


@pytest.mark.parametrize(
    "text, word",
    [
        ("equalise-layers", "equalize-layers"),
        ("adaround,steps=5", "iterations=VALUE"),
        ("adaround,iterations=many", "whole number"),
        ("adaround,iterations=0", "at least 1"),
        ("soon:adaround", "the step is 'soon'"),
    ],
)
def test_errors_name_what_is_allowed(text, word):
    with pytest.raises(SettingError) as error:
        parse_timed_correction(text)
    assert word in str(error.value)


def test_a_scheduled_row_that_is_no_correction_is_refused():
    with pytest.raises(TypeError):
        ScheduledCommand.from_row([5, {"kind": "Stop"}, ""])


def test_help_explains_all_corrections():
    text = " ".join(call("train", "--help").out.split())
    for kind in CORRECTION_KINDS.values():
        assert f"{kind.name}: {kind.help}" in text
    assert "--replace-relu6" in text


def test_a_run_is_corrected_at_the_steps_and_show_says_so(recorded):
    record = RunRecord.read(recorded)
    applied = [logged.event for logged in record.log()[0] if isinstance(logged.event, events.CommandApplied)]
    assert [(event.step, type(event.command)) for event in applied if event.has_effect and not event.changes] == [
        (4, EqualizeLayers),
        (7, CorrectBias),
        (9, AdaRound),
    ]
    order = [type(event.command).__name__ for event in applied if event.step == 7]
    assert order == ["ChangeSettings", "CorrectBias"]
    shown = call("show", recorded).out
    assert "layers equalized" in shown and "rounding of" in shown


def state_of(directory):
    record = RunRecord.read(directory)
    (final,) = [info for info in record.list_checkpoints() if info.name.startswith("final")]
    return record.load_checkpoint(final.name)[0]


@pytest.mark.parametrize("keep", ["before-00000004", "before-00000007-correction", "before-00000007"])
@pytest.mark.always("before-00000007*")
def test_a_resumed_run_repeats_corrections_and_changes_in_their_order(folder, recorded, keep, tmp_path):
    import shutil

    directory = tmp_path / "resumed"
    shutil.copytree(str(recorded), str(directory))
    record = RunRecord.read(directory)
    kept = [info.name for info in record.list_checkpoints() if info.name.startswith(keep)]
    assert kept
    for file in (directory / "checkpoints").iterdir():
        if not file.name.startswith(min(kept)):
            file.unlink()
    found = call("train", "--resume", directory, "--quiet", "--steps", 12)
    assert found.code == 0, found.err
    one, other = state_of(recorded), state_of(directory)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []


def test_a_correction_that_is_impossible_is_reported_and_the_run_goes_on(folder):
    directory = train(folder, "refused", "--at", "3:reestimate-batch-norm")
    rejected = [
        logged.event
        for logged in RunRecord.read(directory).log()[0]
        if isinstance(logged.event, events.CommandRejected)
    ]
    assert [(event.step, event.message) for event in rejected] == [(3, "this network has no batch norm")]


def test_a_correction_after_the_end_is_a_warning(folder):
    found = call(
        "train", "--data", folder / "small.npz", *OPTIONS, "--steps", 2, "--out", folder / "late", "--at", "5:adaround"
    )
    assert found.code == 0 and "never made" in found.err


@pytest.mark.parametrize("correction", ["equalize-layers", "correct-bias,batches=2", "adaround,iterations=30"])
def test_exported_codes_are_those_of_the_evaluation(folder, correction):
    directory = train(folder, "export-" + correction.split(",")[0], "--at", "8:" + correction)
    found = call("export", directory, "--format", "npz", "--out", directory / "network.npz", "--json")
    assert found.code == 0, found.err
    outputs = found.json["outputs"]
    assert outputs and all(agreement["identical"] == 1.0 for agreement in outputs.values()), outputs


def test_scripts_state_corrections_as_the_command_line_does():
    options = {"corrections": ["5:adaround", "equalize-layers"], "replace_relu6": True}
    request = api.request_of("mobilenet", "mnist-5k", None, options)
    assert request.corrections == (TimedCorrection(5, AdaRound()), TimedCorrection(None, EqualizeLayers()))
    assert request.replace_relu6
    assert NewRunRequest.from_dict(request.to_dict()) == request
    with pytest.raises(SettingError, match="corrections"):
        api.request_of("mobilenet", "mnist-5k", None, {"corrections": ["5:adarond"]})


def test_relu6_is_replaced_in_a_new_run_and_in_a_fork(folder):
    layers, model = tensorflow.keras.layers, folder / "relu6.h5"
    with tensorflow.Graph().as_default(), tensorflow.compat.v1.Session():
        tensorflow.keras.Sequential(
            [layers.Flatten(input_shape=(6, 6, 1)), layers.Dense(8), layers.ReLU(6.0), layers.Dense(4)]
        ).save(str(model))
    common = ["--quiet", "--evaluation-interval", 0, "--at", "equalize-layers"]
    first = ["--data", folder / "small.npz", "--model", model, "--batch-size", 4, "--steps", 1]
    first += ["--out", folder / "relu6"]
    assert call("train", *first, *common).code == 0
    fork = ["--fork", folder / "relu6", "--replace-relu6", "--steps", 2, "--out", folder / "relu"]
    assert call("train", *fork, *common).code == 0

    def answers(name):
        log = [logged.event for logged in RunRecord.read(folder / name).log()[0]]
        found = [event for event in log if isinstance(getattr(event, "command", None), EqualizeLayers)]
        return [type(event) for event in found], getattr(found[0], "message", "")

    assert answers("relu6")[0] == [events.CommandRejected]
    assert "--replace-relu6" in answers("relu6")[1]
    assert answers("relu")[0] == [events.CommandApplied]
    refused = call("train", "--resume", folder / "relu6", "--replace-relu6")
    assert refused.code == 2 and "fork" in refused.err
