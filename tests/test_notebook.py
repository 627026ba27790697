"""The example notebook, executed by a kernel of this interpreter."""

import importlib.util
import json
import os
import sys

import pytest
from tensorflow_needed import needs_tensorflow
from waiting import run_process

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOTEBOOK = os.path.join(ROOT, "examples", "steer_training.ipynb")
# In a process of its own, since the client leaves threads and an event loop behind.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""
MISSING = [name for name in ("nbclient", "ipykernel") if importlib.util.find_spec(name) is None]


def notebook():
    with open(NOTEBOOK, encoding="utf-8") as file:
        return json.load(file)


def test_the_notebook_is_stored_without_results():
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook()["cells"])


#: Steps of the notebook's run, and of the test's, which suffice for what it shows.
STEPS, FEWER_STEPS = 600, 200


@needs_tensorflow
@pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed: the test extra has them")
def test_the_notebook_runs_and_shows_the_run(tmp_path):
    given, done = tmp_path / "given.ipynb", str(tmp_path / "done.ipynb")
    text = json.dumps(notebook())
    assert f"steps={STEPS}" in text
    given.write_text(text.replace(f"steps={STEPS}", f"steps={FEWER_STEPS}"), encoding="utf-8")
    environ = dict(os.environ, PYTHONPATH=ROOT, IPYTHONDIR=str(tmp_path), JUPYTER_PLATFORM_DIRS="0")
    run = run_process([sys.executable, "-c", EXECUTE, str(given), done], env=environ, cwd=str(tmp_path), text=True)
    assert run.returncode == 0, run.stderr
    with open(done, encoding="utf-8") as file:
        cells = [cell for cell in json.load(file)["cells"] if cell["cell_type"] == "code"]
    outputs = [{key: value for out in cell["outputs"] for key, value in out.get("data", {}).items()} for cell in cells]
    shown = ["".join(output.get("text/html", "")) for output in outputs]
    assert shown[0].startswith("<iframe srcdoc=") and f"paused, 100 steps of {FEWER_STEPS}" in shown[0]
    assert f"finished, {FEWER_STEPS} steps" in shown[-1]
    before, after = eval("".join(outputs[1]["text/plain"]))
    assert 0 < after < before <= 1, "two bits cost accuracy"
    weights = eval("".join(outputs[2]["text/plain"]))
    assert set(weights) == {"conv1.weights", "conv2.weights", "dense1.weights", "logits.weights"}
    codes, loss = eval("".join(outputs[3]["text/plain"]))
    assert 16 < codes < 256 and loss > 0
    assert eval("".join(outputs[4]["text/plain"]))["quantized"] > 0.8
