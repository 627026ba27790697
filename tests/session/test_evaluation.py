"""Other settings are evaluated on the state of a run that has ended: exact, cancellable, and without a trace."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import dataset, mlp
from tensorflow_needed import needs_tensorflow
from waiting import wait_until

from qatviz import api
from qatviz import data as data_sets
from qatviz.errors import QatvizError, RecordError, RunStateError, SettingError
from qatviz.export.progress import Cancelled, Progress
from qatviz.metric import MODES
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings, Evaluate, Pause, Stop
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook, training_only
from qatviz.session.begin import new_record
from qatviz.session.changes import parse_change
from qatviz.session.evaluation import evaluate, evaluator_of
from qatviz.session.record_requests import EvaluationRequest
from qatviz.session.recorded import open_recorded
from qatviz.settings import RunSettings
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.handle import Run

pytestmark = needs_tensorflow

#: Changes of every kind that an evaluation knows: bits, range methods, flags, switched off.
CHANGES = (
    "*.weights.num_bits=2",
    "dense1.weights.range_method=mse",
    "logits.weights.per_channel=on",
    "dense1.activations.num_bits=3",
    "logits.activations.enabled=off",
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A recorded run of 12 steps, with its evaluation under `CHANGES` at the end, before they were reverted."""
    folder = tmp_path_factory.mktemp("evaluation")
    data = dataset(test=300)
    network = mlp()
    book = SettingsBook.from_preset(
        quantization_plan(network), "tflite-int8", run=RunSettings(evaluation_interval=6, learning_rate=1e-2)
    )
    path = str(folder / "data.npz")
    np.savez(path, x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    spec = RunSpec(network, data_sets.load(path), path, book, batch_size=8, steps=12)
    run = Run(spec, new_record(spec, str(folder / "run")))
    run.start()
    assert run.wait()
    # The same state in a live run, asked the same question.
    live = Run(replace(spec, start=run.final, steps=None))
    live.send(Pause())
    live.send(ChangeSettings(tuple(pair for text in CHANGES for pair in parse_change(text).assignments)))
    live.send(Evaluate())
    live.start()
    news = []
    wait_until(
        lambda: news.extend(live.drain()) or [e for e in news if isinstance(e, events.Evaluated)], "an evaluation"
    )
    live.send(Stop())
    assert live.wait()
    (asked,) = [e for e in news if isinstance(e, events.Evaluated)]
    return run, str(folder / "run"), asked


def request(directory, *changes, **fields):
    return EvaluationRequest(directory, changes=tuple(map(parse_change, changes)), **fields)


def files(directory):
    """Return the contents of all files, except the memory that SQLite shares between processes."""
    paths = [path for path in Path(directory).rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in paths if not path.name.endswith("-shm")}


def test_without_changes_the_recorded_scores_are_reproduced(ended):
    _run, directory, _ = ended
    result = evaluate(request(directory))
    assert (result.step, result.checkpoint, result.changes) == (12, "final-00000012", ())
    assert result.recorded["step"] == 12
    assert result.scores == {mode: result.recorded[mode] for mode in MODES}


def test_changed_settings_give_the_scores_of_the_run_itself(ended):
    _run, directory, asked = ended
    before = files(directory)
    result = evaluate(request(directory, *CHANGES))
    assert result.scores == asked.scores and result.num_examples == asked.num_examples == 300
    assert result.scores["quantized"] != result.recorded["quantized"]
    assert result.scores["float"] == result.recorded["float"]
    assert files(directory) == before
    assert {change.setting: change.new for change in result.changes}["dense1.weights.num_bits"] == 2


def test_an_ended_run_of_this_process_is_evaluated_from_memory(ended, monkeypatch):
    run, _directory, asked = ended
    monkeypatch.setattr(RunRecord, "read", lambda *_: 1 / 0)
    evaluator = evaluator_of(run, "")
    book, _ = evaluator.state.book.change([pair for text in CHANGES for pair in parse_change(text).assignments])
    assert evaluator.evaluate(book).scores == asked.scores
    assert evaluator.evaluate(evaluator.state.book).scores["quantized"] != asked.scores["quantized"]
    assert evaluator.evaluate(book).scores == asked.scores  # nothing is left of the evaluation in between
    evaluator.close()


def test_an_opened_run_is_evaluated_from_its_record(ended):
    _run, directory, _asked = ended
    evaluator = evaluator_of(open_recorded(directory).run, directory)
    assert evaluator.state.step == 12
    assert evaluator.evaluate(evaluator.state.book).step == 12
    evaluator.close()


def test_a_failed_run_without_a_record_is_refused(ended):
    failed = Run(ended[0].spec)
    with pytest.raises(RunStateError, match="no state to evaluate"):
        evaluator_of(failed, "")


def test_progress_is_reported_and_an_evaluation_can_be_cancelled(ended):
    run, _, _asked = ended
    evaluator, heard = evaluator_of(run, ""), []
    progress = Progress(lambda what, share: heard.append((what, share)), lambda: len(heard) == 4)
    with pytest.raises(Cancelled):
        evaluator.evaluate(run.final.book, progress)
    assert [what for what, _ in heard] == ["building the graph"] + 3 * ["evaluating"]
    heard.clear()
    evaluator.evaluate(run.final.book, Progress(lambda what, share: heard.append((what, share))))
    shares = [share for what, share in heard]
    assert (
        len(shares) == 4 * 3 and shares == sorted(shares) and shares[0] == 0 < shares[-1] < 1
    )  # 300 examples: 3 pieces
    evaluator.close()


def test_invalid_changes_are_refused_and_ineffective_ones_noted(ended, tmp_path):
    _, directory, _ = ended
    for changes, word in (
        (("5:dense1.weights.num_bits=4",), "no training steps"),
        (("dense9.weights.num_bits=4",), "dense1"),
    ):
        with pytest.raises(SettingError, match=word) as refused:
            evaluate(request(directory, *changes))
        assert refused.value.field == "changes"
    with pytest.raises(SettingError, match="int5"):
        evaluate(request(directory, preset="int5"))
    with pytest.raises(RecordError):
        evaluate(request(str(tmp_path)))
    with pytest.raises(QatvizError, match="nine"):
        evaluate(request(directory, checkpoint="nine"))
    notices = []
    result = evaluate(
        request(directory, "run.learning_rate=0.1,dense1.activations.ema_decay=0.5,logits.weights.quant_delay=99"),
        notices.append,
    )
    assert "run.learning_rate, dense1.activations.ema_decay" in notices[0].text and "logits.weights" in notices[1].text
    assert result.scores["activations_only"] == result.recorded["activations_only"]


def test_settings_without_effect_on_evaluation_are_training_only():
    paths = ["run.freeze_ranges", "run.momentum", "a.activations.ema_decay", "a.weights.num_bits"]
    assert training_only(paths) == ["run.momentum", "a.activations.ema_decay"]


def test_the_api_gives_the_same_scores(ended, tmp_path):
    run, directory, asked = ended
    copy = str(tmp_path / "copy")
    shutil.copytree(directory, copy)
    result = api.evaluate(copy, CHANGES)
    assert result.scores == asked.scores and result.recorded["step"] == 12
    assert result.to_dict()["accuracy"] == asked.scores
    outcome = type("Outcome", (), {"evaluations": [dict(result.recorded)]})
    trained = api.Trained(run.spec, outcome, run.final, None)
    assert trained.evaluate(CHANGES) == result
    assert trained.evaluate(preset="float").scores["quantized"] == trained.evaluate().scores["float"]
