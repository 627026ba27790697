"""Options of the commands, keys of their JSON output and names of the API; see make_golden.py for intended changes."""

import math

import golden_cases
import golden_surface
import pytest
from golden_compare import expect_none, schema_differences, value_differences

import qatviz
from qatviz.errors import QatvizError

STORED = golden_cases.load(golden_surface.STORED)
RUN_SETTINGS = {
    "learning_rate": 0.002,
    "lr_schedule": "cosine",
    "lr_period": 3,
    "lr_factor": 0.5,
    "warmup_steps": 1,
    "momentum": 0.8,
    "rho": 0.7,
    "beta1": 0.85,
    "beta2": 0.99,
    "epsilon": 1e-7,
    "weight_decay": 0.01,
    "gradient_clip": 5.0,
    "label_smoothing": 0.1,
    "keep_zeros": True,
    "track_oscillation": True,
    "dampening_schedule": "linear",
    "freeze_schedule": "cosine",
    "freeze_start": 0.05,
    "oscillation_period": 10,
    "augment_shift": 0.1,
    "augment_flip": "horizontal",
    "augment_rotation": 5.0,
    "augment_time_shift": 0.1,
    "augment_noise": 0.01,
    "augment_mixup": 0.2,
    "freeze_ranges": False,
    "freeze_batch_norm": True,
    "evaluation_interval": 2,
    "snapshot_interval": 3600.0,
    "checkpoint_interval": 600.0,
    "keep_best": True,
    "patience": 100,
    "monitor": "loss",
}
# Keywords of `qatviz.train` that its signature does not name.
KEYWORDS = {
    "steps": 4,
    "batch_size": 8,
    "optimizer": "momentum",
    "seed": 3,
    "preset": "int4",
    "weights": {"num_bits": 5},
    "activations": {"ema_decay": 0.9},
    "quant_delay": 1,
    "changes": ["2:*.weights.num_bits=6"],
    "validation_fraction": 0.25,
    "task": "classification",
    "scaling": "unit",
    **RUN_SETTINGS,
}
KEYWORDS_OF_FILES = {"from_scratch", "weights_path", "allow_code"}


def test_commands_keep_their_options(program):
    found = program.call("no-such-command")
    assert found.code == 2 and not found.out
    lines = value_differences(STORED["options"], golden_surface.options(program))
    expect_none(lines, "the options have changed:")


@pytest.mark.parametrize("name", sorted(STORED["json"]))
def test_json_output_keeps_its_keys(name, program, exported_records, tmp_path):
    found = golden_surface.json_schema(program, golden_surface.json_calls(exported_records, tmp_path)[name])
    lines = schema_differences(STORED["json"][name], found)
    expect_none(lines, f"the JSON output of {name!r} has changed:")


def test_the_api_keeps_its_names_and_keywords(program):
    lines = value_differences(STORED["api"], program.api())
    expect_none(lines, "the API has changed:")


def test_an_unknown_keyword_of_train_is_refused_with_all_known_ones():
    with pytest.raises(QatvizError, match="no_such_keyword") as refused:
        qatviz.train(no_such_keyword=1)
    words = set(str(refused.value).replace(",", " ").replace("'", " ").split())
    assert words >= {*KEYWORDS, *KEYWORDS_OF_FILES}, str(refused.value)


def test_train_takes_all_keywords_and_returns_the_trained_run(program, tmp_path):
    exported = tmp_path / "net.npz"
    data, out = str(golden_cases.data_of("shapes")), str(tmp_path / "run")
    found = program.train(exported, model="mlp", data=data, out=out, **KEYWORDS)
    members = [
        "accuracy",
        "best_state",
        "directory",
        "evaluate",
        "export",
        "final_state",
        "moment",
        "network",
        "notices",
        "outcome",
        "recipe",
        "scores",
    ]
    assert found["members"] == members
    assert (found["network"], found["directory"]) == ("mlp", out)
    step, loss, evaluations, tensors, result = found["outcome"]
    assert step == 4 and math.isfinite(loss) and evaluations[-1]["step"] == 4
    ways = {"float", "weights_only", "activations_only", "quantized"}
    assert set(found["scores"]) == ways and found["accuracy"] == found["scores"] == result["accuracy"]
    assert {row["num_bits"] for row in tensors if row["kind"] == "weights"} == {6}
    assert found["settings"]["run"] == RUN_SETTINGS
    assert found["arrays"]["dense1.weights"] == [128, 512]
    assert found["paths"][0] == str(exported) and exported.exists()
    text, faults, as_expected = found["proof"]
    assert text and faults == [] and as_expected
    about = program.call("show", out, "--json").json["description"]
    kept = {name: about[name] for name in ("batch_size", "optimizer", "seed", "validation_fraction", "scaling")}
    assert kept == {name: KEYWORDS[name] for name in kept}
