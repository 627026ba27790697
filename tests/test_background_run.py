"""`qatviz.train(block=False)`: a run that a script or a notebook steers while it trains."""

import html
from html.parser import HTMLParser

import numpy as np
import pytest
from shared_graphs import closed_pool, shared_graphs  # noqa: F401
from waiting import wait_until

import qatviz
from qatviz.errors import RunStateError, SettingError
from qatviz.metric import MODES
from qatviz.protocol import events

WEIGHTS = "dense1.weights"


def digits(count=80, side=8):
    """Return images of two classes: bright and dark."""
    random = np.random.RandomState(0)
    y = np.arange(count) % 2
    x = random.randint(0, 80, (count, side, side, 1)) + 150 * y[:, None, None, None]
    return x.astype(np.uint8), y


@pytest.fixture
def begin():
    """Begin a run that is paused after three steps; it is stopped at the end."""
    begun = []

    def start(**options):
        options = {"steps": None, "seed": 1, "batch_size": 8, "evaluation_interval": 0, **options}
        run = qatviz.train("mlp", digits(), block=False, quiet=True, **options)
        begun.append(run)
        run.advance(3)
        return run

    yield start
    for run in begun:
        with run:
            pass


def test_a_change_is_in_effect_when_set_returns(begin):
    run = begin()
    assert run.state == "paused" and run.step == 3
    assert run.set(f"{WEIGHTS}.num_bits", 4) == 3
    assert run.book.of(WEIGHTS).num_bits == 4
    assert run.set({"*.weights.num_bits": 3, "run.learning_rate": 0.01}) == 3
    assert run.book.of("logits.weights").num_bits == 3 and run.book.run.learning_rate == 0.01
    assert run.snapshot().num_bits[run.book.plan.index(WEIGHTS)] == 3
    assert run.advance(2) == 5
    assert run.history.series("loss").last_step[-1] == 5
    applied = [logged.event for logged in run.log if isinstance(logged.event, events.CommandApplied)]
    assert [event.step for event in applied if event.changes] == [3, 3]


@pytest.mark.parametrize(
    "setting, value, reason",
    [
        ("conv9.weights.num_bits", 4, "no tensor is named 'conv9.weights'"),
        (f"{WEIGHTS}.num_bits", 99, "num_bits is 99"),
        (f"{WEIGHTS}.nonsense", 1, "nonsense"),
    ],
)
def test_a_wrong_change_is_refused_and_changes_nothing(begin, setting, value, reason):
    run = begin()
    before = run.book
    with pytest.raises(SettingError, match=reason):
        run.set({f"{WEIGHTS}.symmetric": False, setting: value})
    assert run.book == before


def test_undo_rewinds_weights_and_settings_and_redo_comes_back(begin):
    run = begin()
    before = run.snapshot().histograms[WEIGHTS]
    run.set(f"{WEIGHTS}.num_bits", 2)
    run.advance(5)
    assert run.undo() == 3 and run.step == 3
    assert run.book.of(WEIGHTS).num_bits == 8
    again = run.snapshot()
    np.testing.assert_array_equal(again.histograms[WEIGHTS].code_counts, before.code_counts)
    assert run.redo() == 8 and run.book.of(WEIGHTS).num_bits == 2
    with pytest.raises(RunStateError, match="nothing"):
        run.redo()


def test_a_preset_applies_to_all_quantizers(begin):
    run = begin()
    run.preset("int4")
    assert run.book.of("logits.weights").num_bits == 4
    with pytest.raises(SettingError, match="nonsense"):
        run.preset("nonsense")


def test_an_evaluation_is_of_the_present_state(begin):
    run = begin()
    assert run.scores == {}
    found = run.evaluate()
    assert set(found) == set(MODES) and run.scores == found
    under = run.evaluate([f"{WEIGHTS}.num_bits=2", "*.activations.enabled=off"])
    assert under["float"] == found["float"] and run.book.of(WEIGHTS).num_bits == 8
    run.set(f"{WEIGHTS}.num_bits", 2)
    run.set("*.activations.enabled", False)
    assert run.evaluate() == under
    for changes in (["5:conv1.weights.num_bits=3"], [f"{WEIGHTS}.num_bits=99"]):
        with pytest.raises(SettingError):
            run.evaluate(changes)


def test_a_run_that_trains_is_changed_and_stopped(begin):
    run = begin()
    run.resume()
    wait_until(lambda: run.step > 10, "training steps")
    step = run.set(f"{WEIGHTS}.num_bits", 4)
    assert step >= 10
    paused = run.pause()
    assert paused >= step and run.state == "paused"
    with pytest.raises(RunStateError, match=r"is paused after step \d+, and would not end: resume\(\) or stop\(\) it"):
        run.wait()
    trained = run.stop()
    assert run.state == "stopped" and trained.final_state.book.of(WEIGHTS).num_bits == 4
    assert trained.outcome.step == run.step


def test_a_run_that_has_ended_is_read_but_not_changed(begin, tmp_path):
    run = begin(steps=12, out=str(tmp_path / "run"))
    run.resume()
    trained = run.wait()
    assert run.state == "finished" and trained.directory == str(tmp_path / "run")
    assert run.snapshot().step == 12 and len(run.history.series("loss").mean) == 12
    assert run.evaluate() == trained.evaluate().scores
    for request in (lambda: run.set(f"{WEIGHTS}.num_bits", 4), run.undo, run.pause):
        with pytest.raises(RunStateError, match="ended"):
            request()
    assert qatviz.evaluate(str(tmp_path / "run")).scores == run.evaluate()


def test_steps_beyond_the_end_end_with_the_run(begin):
    run = begin(steps=5)
    assert run.advance(100) == 5
    assert run.wait().outcome.step == 5


@pytest.mark.parametrize("error", [None, ValueError])
def test_the_end_of_a_with_block_stops_the_run(error):
    def work():
        with qatviz.train("mlp", digits(), block=False, quiet=True, steps=None) as run:
            runs.append(run)
            if error is not None:
                raise error

    runs = []
    if error is None:
        work()
    else:
        with pytest.raises(error):
            work()
    assert runs[0].state == "stopped"


def test_a_failure_is_raised_with_its_reason(monkeypatch):
    from qatviz.training.trainer import Trainer

    def fail(_):
        raise ValueError("out of order")

    monkeypatch.setattr(Trainer, "run", fail)
    run = qatviz.train("mlp", digits(), block=False, quiet=True)
    with pytest.raises(RunStateError, match="training failed after step 0: ValueError: out of order"):
        run.wait()
    with pytest.raises(RunStateError, match="ended"):
        run.set(f"{WEIGHTS}.num_bits", 4)


class Page(HTMLParser):
    """Texts, tags and references of a page."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tags, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("href", "src")]

    def handle_data(self, data):
        self.texts.append(data)


def page_of(run):
    """Return the page within the frame that a notebook shows."""
    frame = run._repr_html_()
    assert frame.startswith("<iframe srcdoc=") and frame.count("<") == 2
    return Page(html.unescape(frame.split('srcdoc="')[1].split('"')[0]))


def test_a_notebook_shows_state_curves_and_tensors(begin):
    run = begin(steps=50)
    run.evaluate()
    run.set(f"{WEIGHTS}.num_bits", 2)
    run.advance(10)
    run.snapshot()
    page = page_of(run)
    text = " ".join(page.texts)
    assert "paused, 13 steps of 50" in text and "dense1.weights" in text
    assert {"svg", "path", "table"} <= set(page.tags) and page.tags.count("tr") > len(run.book.plan.tensors)
    assert page.links == [], "neither external resources nor links without a target"
    assert "8 → 2" in text or "2 bits" in text
    run.stop()
    assert "stopped, 13 steps of 50" in " ".join(page_of(run).texts)


def test_a_run_is_shown_before_its_first_step():
    with qatviz.train("mlp", digits(), block=False, quiet=True) as run:
        assert "mlp" in " ".join(page_of(run).texts) and repr(run).startswith("<qatviz run of mlp: ")
