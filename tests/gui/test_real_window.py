"""The real program with a real run, each scenario in a separate process; see real_window.py."""

import json
import os
import sys

import pytest
from exhaustive import tries
from tensorflow_needed import needs_tensorflow
from waiting import run_process

pytestmark = needs_tensorflow
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
#: Training steps that may end once the closing window has asked the run to stop: the present one, and those until the
#: thread that trains reads it.
CLOSING_STEPS = 50
#: Random actions, each some milliseconds of the window's work; QATVIZ_EXHAUSTIVE=1 asks for all of them.
ACTIONS = tries(100, 2000)
#: Other random actions: QATVIZ_MONKEY_SEEDS=7,8 chooses the seeds, QATVIZ_MONKEY_MINUTES=20 the least time for each.
MONKEY_SEEDS = os.environ.get("QATVIZ_MONKEY_SEEDS", "1").split(",")
MONKEY_MINUTES = os.environ.get("QATVIZ_MONKEY_MINUTES", "0")


def drive(scenario, folder, **variables):
    """Run a scenario and return its observations; fail on errors, leftover threads or training after closing."""
    own = {"PYTHONPATH": ROOT, "XDG_CONFIG_HOME": str(folder), "QATVIZ_RUNS": str(folder / "runs")}
    environ = dict(os.environ, PYTHONFAULTHANDLER="1", **own, **variables)
    # On the X server where there is one, as for a user.
    environ["QT_QPA_PLATFORM"] = "xcb" if environ.get("DISPLAY") else "offscreen"
    done = run_process(
        [sys.executable, os.path.join(HERE, "real_window.py"), scenario, str(folder)], env=environ, text=True
    )
    assert done.stdout, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["errors"] == [], "\n".join(seen["errors"])
    assert done.returncode == 0, done.stderr
    assert seen["steps_after_closing"] < CLOSING_STEPS and seen["threads"] == []
    return seen


def test_changes_by_hand_are_visible_and_undone(tmp_path):
    seen = drive("bits_and_undo", tmp_path)
    assert seen["title"] == "lenet on mnist-5k – qatviz"
    assert len(seen["before"]["codes"]) > 100
    two = seen["two_bits"]
    assert len(two["codes"]) <= 4 and two["bars"] == len(two["codes"]) and set(two["codes"]) <= {-1, 0, 1}
    assert seen["others_after"] == seen["others"]
    assert seen["lowest_wide"] == -2 and seen["lowest_narrow"] == -1
    assert len(seen["wide"]["codes"]) <= 4 and seen["wide"]["bars"] == len(seen["wide"]["codes"])
    assert len(seen["undone"]["codes"]) > 100
    assert seen["undone"]["scale"] == pytest.approx(seen["before"]["scale"], rel=0.5)
    assert seen["two_bits"]["scale"] > 20 * seen["before"]["scale"]
    assert seen["zero_point_affine"] == -128 and seen["zero_point_symmetric"] == 0
    assert seen["single_step"] == 1


def test_a_diverging_run_is_reported_and_continues_at_a_lower_rate(tmp_path):
    seen = drive("divergence", tmp_path)
    assert "not finite" in seen["message"] and "lower learning rate" in seen["message"] and seen["went_on"]


def test_invalid_data_is_reported_by_name_a_vanished_record_too_and_the_run_continues(tmp_path):
    seen = drive("files", tmp_path)
    assert seen["path"] in seen["data"]
    assert "no longer recorded" in seen["disk"] and seen["went_on"]


@pytest.mark.timeout(900 + 600 * float(MONKEY_MINUTES))
@pytest.mark.parametrize("seed", MONKEY_SEEDS)
def test_random_actions_cause_no_errors(tmp_path, seed):
    variables = {"SEED": seed, "ACTIONS": str(ACTIONS), "MINUTES": MONKEY_MINUTES}
    seen = drive("monkey", tmp_path, **{f"QATVIZ_MONKEY_{name}": value for name, value in variables.items()})
    print(f"seed {seed}: {seen['actions']} actions, {seen['steps']} training steps")  # shown by -rP
    assert seen["actions"] >= ACTIONS and seen["failure"] == "" and seen["state"] == "running"
