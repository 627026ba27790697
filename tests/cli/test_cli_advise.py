"""``qatviz advise``: bits within a budget, with what they cost, on a recorded run."""

import json
import shutil

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, error_of, write_data

import qatviz
from qatviz.errors import SettingError
from qatviz.protocol.recipe import read_recipe
from qatviz.session import budget

JOINED = ("--together", "dense1,logits")
WEIGHTS = ["dense1.weights", "dense2.weights", "logits.weights"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("advise")
    data = write_data(folder / "small.npz")
    options = ("--network", "mlp", "--data", data, "--steps", 30, "--batch-size", 8, "--evaluation-interval", 30)
    answer = call("train", *options, "--quiet", "--out", folder / "run")
    assert answer.code == 0, answer.err
    return folder / "run"


def advised(run, *options):
    answer = call("advise", run, *options, "--json")
    assert answer.code == 0, answer.err
    return answer.json


def bits(advice):
    return {row["tensor"]: row["bits"] for row in advice["tensors"]}


def test_a_budget_is_kept_and_the_predicted_size_is_that_of_the_export(run, tmp_path):
    recipe = tmp_path / "bits.json"
    found = advised(run, "--budget", "60%", "--bits", "4,8", "--recipe", recipe)
    sizes = [found[when]["export_bytes"] for when in ("before", "after")]
    assert [found[when]["cost"] for when in ("before", "after")] == sizes
    assert sizes[1] <= 0.6 * sizes[0] and found["unit"] == "bytes" and found["options"] == {"pack_int4": True}
    assert bits(found)["dense2.weights"] == 4, "the largest by far"
    assert {name: rule["num_bits"] for name, rule in bits_of(read_recipe(recipe)).items()} == bits(found)
    for row in found["tensors"]:
        saved = "unchanged" if row["bits"] == 8 else f"4 bits: saves {row['saved'] / 1000:.3g}"[:18]
        assert saved in row["reason"]
    assert sum(row["saved"] for row in found["tensors"]) == sizes[0] - sizes[1]
    assert set(found["measured"]["after"]) == {"float", "weights_only", "activations_only", "quantized"}
    # The settings are those of an export of the same size.
    exported = call("export", run, "--format", "c", "--pack-int4", "--dry-run", "--json").json
    assert exported[0]["bytes"] == sizes[0]


def bits_of(recipe):
    return {rule.pattern: dict(rule.settings) for rule in recipe.rules}


def test_constraints_and_the_unit_of_multiplications(run):
    joined = ("--together", "d*")
    found = advised(run, "--budget", "99.9% MAC-bits", "--fixed", "dense2=8", "--lowest", "logits=6", *joined)
    assert bits(found)["dense1.weights"] == bits(found)["dense2.weights"] == 8
    assert bits(found)["logits.weights"] == 6 and found["unit"] == "mac_bits"


def last_error(*arguments):
    """Return the last line of the error of a call that is refused after it has begun its work."""
    answer = call(*arguments)
    assert answer.code == 2 and answer.out == ""
    return answer.err.splitlines()[-1]


def test_constraints_that_allow_nothing_are_refused_with_what_is_possible(run):
    told = last_error("advise", run, "--budget", "1 kB")
    assert "--budget is 1 kB: the least possible is" in told and "do not depend on the bits" in told
    assert "--budget is '60 kilos': expected a size" in error_of("advise", run, "--budget", "60 kilos")
    assert "--max-loss is '1 kB'" in error_of("advise", run, "--max-loss", "1 kB")
    assert "--bits is 5: expected some of 2, 3, 4, 6, 8" in error_of("advise", run, "--budget", "50%", "--bits", "5")
    assert "--fixed is 'dense1': expected PATTERN=BITS" in error_of(
        "advise", run, "--budget", "50%", "--fixed", "dense1"
    )
    assert "expected one of them" in error_of("advise", run)
    told = last_error("advise", run, "--budget", "50%", "--lowest", "dense1=6", "--highest", "dense1=4")
    assert "no number of bits is possible for dense1.weights (has 8 bits)" in told


@pytest.mark.parametrize(
    "options",
    [("--budget", "1 kB"), ("--budget", "50%", "--lowest", "dense1=6", "--highest", "dense1=4")],
    ids=["too small", "contradiction"],
)
def test_what_is_impossible_is_refused_before_the_estimate(run, monkeypatch, options):
    def estimated(*arguments, **named):
        raise AssertionError("the estimate takes long")

    monkeypatch.setattr(budget, "sensitivity_of", estimated)
    assert "possible" in last_error("advise", run, *options)


def test_a_largest_loss_gives_the_cheapest_bits(run):
    free = advised(run, "--max-loss", "100%")
    assert free["after"]["cost"] == free["front"][0]["cost"] < free["before"]["cost"], "everything is allowed"
    predicted = advised(run, "--max-loss", "0", "--bits", "2,4,8")
    assert predicted["after"]["loss"] <= predicted["before"]["loss"] * (1 + 1e-9)
    close = advised(run, "--max-loss", "5%", "--bits", "2,4,8")
    drop = close["measured"]["before"]["quantized"] - close["measured"]["after"]["quantized"]
    assert drop <= 0.05 + 1e-9 and close["after"]["cost"] <= predicted["after"]["cost"]
    costs = [point["cost"] for point in close["front"]]
    assert costs == sorted(costs) and close["after"]["cost"] in costs


def test_the_bits_are_applied_to_the_run(run, tmp_path):
    run = shutil.copytree(str(run), str(tmp_path / "run"))  # the other tests need it as it is
    options = ("--budget", "60%", "--bits", "4,8", "--apply")
    assert "--apply: the run has done all its 30 steps: expected --steps" in error_of("advise", run, *options)
    answer = call("advise", run, *options, "--steps", 32)
    assert answer.code == 0, answer.err
    assert "saves" in answer.out and "these bits" in answer.out
    told = call("show", run, "--json").json
    assert told["settings"]["quantizers"]["dense2.weights"]["num_bits"] == 4 and told["step"] == 32
    assert json.loads(call("recipe", run).out)["recipe"] == 1


def test_scripts_get_the_same_bits_and_name_constraints_by_pattern(run):
    found = qatviz.advise(run, "60%", bits=(4, 8), fixed={"dense1": 8}, together=[["dense1", "logits"]])
    assert found.to_dict() == advised(run, "--budget", "60%", "--bits", "4,8", "--fixed", "dense1=8", *JOINED)
    assert {choice.tensor: choice.width for choice in found.choices}["logits.weights"] == 8
    widths = qatviz.advise(run, max_loss=1000.0).after.widths
    assert widths == (4, 4, 4), "packed codes of 2 bits are no smaller"
    with pytest.raises(SettingError, match="budget and max_loss: expected one of them"):
        qatviz.advise(run)


def test_bits_of_activations_are_chosen_within_what_the_format_supports(run):
    found = advised(run, "--budget", "60%", "--with-activations")
    chosen = bits(found)
    assert found["unit"] == "with_activations" and set(WEIGHTS) < set(chosen) and "dense1.activations" in chosen
    assert found["after"]["cost"] <= 0.6 * found["before"]["cost"]
    # Its kernels have activations of 8 bits.
    chosen = bits(advised(run, "--budget", "70%", "--with-activations", "--format", "tflite"))
    assert {width for name, width in chosen.items() if name.endswith(".activations")} == {8}
    assert "MAC-bits are products" in error_of("advise", run, "--budget", "50% MAC-bits", "--with-activations")


def test_a_report_has_the_bits_within_a_budget(run, tmp_path):
    out = tmp_path / "report.html"
    answer = call("report", run, "--out", out, "--budget", "60%")
    assert answer.code == 0, answer.err
    text = out.read_text(encoding="utf-8")
    section = text[text.index('id="budget"') :].split("</section>")[0]
    for row in advised(run, "--budget", "60%")["tensors"]:
        assert row["tensor"] in section and row["reason"] in section
    assert "these bits" in section and "Predicted loss by cost" in section and "held-out examples" in section
    assert 'id="budget"' not in (call("report", run, "--out", out), out.read_text(encoding="utf-8"))[1]
    assert "budget" in error_of("report", run, "--out", out, "--budget", "1 B")


def test_a_recipe_that_cannot_be_written_does_not_lose_the_result(run, tmp_path):
    answer = call("advise", run, "--budget", "60%", "--recipe", tmp_path, "--json")
    assert answer.code == 2 and "can't be written" in answer.err
    assert bits(json.loads(answer.out))["dense2.weights"] < 8


@pytest.mark.parametrize("option", ["--budget=1e400kB", "--budget=nan", "--max-loss=1e400%", "--max-loss=inf"])
def test_amounts_are_finite(run, option):
    assert f"{option.split('=')[0]} is '{option.split('=')[1]}': expected" in error_of("advise", run, option)
