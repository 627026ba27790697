"""``qatviz evaluate``: scores with other settings, beside the recorded ones."""

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, error_of, write_data

from qatviz.cli import main
from qatviz.metric import ACCURACY, MODES
from qatviz.session.evaluation import SettingsEvaluation


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    data = write_data(folder / "small.npz")
    options = ("--network", "mlp", "--data", data, "--steps", 30, "--batch-size", 8, "--evaluation-interval", 30)
    answer = call("train", *options, "--quiet", "--out", folder / "run")
    assert answer.code == 0, answer.err
    return folder / "run"


def test_results_are_printed_beside_the_recorded_ones(run):
    answer = call("evaluate", run, "--set", "*.weights.num_bits=2")
    assert answer.code == 0, answer.err
    recorded = call("show", run, "--json").json["accuracy"]
    title, head, first, second, _, changes = answer.out.splitlines()
    assert title == "accuracy on 40 held-out examples, checkpoint final-00000030"
    assert head.split("  ")[-1] == "quantized"
    assert first.split() == ["recorded", "at", "step", "30"] + [
        part for mode in MODES for part in f"{100 * recorded[mode]:.1f} %".split()
    ]
    assert second.startswith("these settings at step 30")
    assert second.split()[5:7] == first.split()[4:6]  # in float nothing has changed
    assert changes.startswith("changes: ") and changes.count("num_bits 8 -> 2") == changes.count("->") > 1


def test_json_has_the_scores_and_the_changes(run):
    told = call("evaluate", run, "--preset", "float", "--json").json
    assert len(set(told["accuracy"].values())) == 1 and told["step"] == 30 == told["recorded"]["step"]
    assert {change["setting"].rpartition(".")[2] for change in told["changes"]} >= {"enabled"}


def test_errors_name_the_option(run, tmp_path):
    assert "--set '5:a.b=1'" in error_of("evaluate", run, "--set", "5:a.b=1")
    assert "--preset" in error_of("evaluate", run, "--preset", "nothing")
    assert "not contain the record" in error_of("evaluate", tmp_path)


def test_names_from_the_record_do_not_control_the_terminal(run, monkeypatch, capsys):
    state = SettingsEvaluation("a\x1b[31mb", 30, ACCURACY, dict.fromkeys(MODES, 0.5), 40, ())
    monkeypatch.setattr("qatviz.cli.evaluate.evaluate", lambda *_: state)
    assert main(["evaluate", str(run)]) == 0
    assert "checkpoint a\\x1b[31mb" in capsys.readouterr().out


def test_more_bits_are_tried_tensor_by_tensor(run):
    answer = call("evaluate", run, "--set", "*.weights.num_bits=2", "--more-bits")
    assert answer.code == 0, answer.err
    lines = answer.out.split("accuracy, quantized, with 16 bits in\n")[1].splitlines()
    assert lines[0].split() == ["tensor", "alone", "with", "those", "above"]
    found = call("evaluate", run, "--set", "*.weights.num_bits=2", "--more-bits", "--json").json
    shown = {line.split()[0]: line.split()[1] for line in lines[1 : 1 + len(found["more_bits"])]}
    assert shown == {", ".join(row["tensors"]): f"{100 * row['alone']:.1f}" for row in found["more_bits"]}
    together = [row["together"] for row in found["more_bits"] if row["together"] is not None]
    suggested = [line for line in lines if line.startswith("--set ")]
    options, _, result = suggested[0].partition(": ")
    chosen = together[options.count("--set") - 1]
    assert chosen >= (max(together) + found["accuracy"]["quantized"]) / 2 > found["accuracy"]["quantized"]
    assert result == f"accuracy {100 * found['accuracy']['quantized']:.1f} % -> {100 * chosen:.1f} %"
    again = call("evaluate", run, "--set", "*.weights.num_bits=2", *options.split(), "--json").json
    assert again["accuracy"]["quantized"] == chosen


def test_a_recipe_gives_the_settings_of_one_run_to_another(run, tmp_path):
    file, data = tmp_path / "a.json", run.parent / "small.npz"
    options = ("--network", "mlp", "--data", data, "--steps", 1, "--batch-size", 8, "--quiet")
    given = ("--preset", "int4", "--set", "dense1.weights.num_bits=3")
    assert call("train", *options, *given, "--out", tmp_path / "a").code == 0
    assert call("recipe", tmp_path / "a", "--out", file).out == f"{file}: 3 rules\n"
    assert call("recipe", tmp_path / "a", "--checkpoint", "final-00000001").out == file.read_text()
    answer = call("train", *options, "--recipe", file, "--set", "logits.weights.num_bits=6", "--out", tmp_path / "b")
    assert answer.code == 0, answer.err
    settings = [call("show", tmp_path / name, "--json").json["settings"]["quantizers"] for name in "ab"]
    assert [settings[1][f"{name}.weights"]["num_bits"] for name in ("dense1", "dense2", "logits")] == [3, 4, 6]
    settings[1]["logits.weights"]["num_bits"] = 4
    assert settings[0] == settings[1]
    changed = call("evaluate", run, "--recipe", file, "--json").json["changes"]
    assert {"dense1.weights.num_bits", "logits.weights.num_bits"} <= {change["setting"] for change in changed}


def test_errors_of_a_recipe_name_the_file_and_the_rule(run, tmp_path):
    file = tmp_path / "other.json"
    file.write_text('{"recipe": 1, "rules": [{"tensors": "conv9", "settings": {"num_bits": 4}}]}')
    told = error_of("evaluate", run, "--recipe", file)
    assert f"{file}: rule 1 (conv9): conv9.num_bits: no tensor is named 'conv9'; available: " in told
    assert f"{tmp_path / 'none.json'}: can't be read" in error_of("evaluate", run, "--recipe", tmp_path / "none.json")
