"""The report page: self-contained, and in agreement with the record."""

import re

import numpy as np
import pytest
from report_cases import Page, append, describe, recorded
from staging import StagedRun

from qatviz.analysis.effects import effect
from qatviz.errors import RecordError
from qatviz.metric import ACCURACY, MODES, RMSE, OutputMetric
from qatviz.network import checks, zoo
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, Flatten
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RestoreReason, SaveKind, SaveReason
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, StepRecord
from qatviz.protocol.timeline import LoggedEvent
from qatviz.report import sections
from qatviz.report.curves import run_figures
from qatviz.report.page import page
from qatviz.report.run_data import read_run
from qatviz.report.tensor_rows import COLUMNS, tensor_rows
from qatviz.report.unrecorded import unrecorded_run
from qatviz.telemetry.history import History
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.refill import STEPS as STEPS_TRACK
from qatviz.telemetry.record.refill import history_names, refill
from qatviz.telemetry.record.run_record import RunRecord

HOSTILE = "<script src=http://evil.example>alert(1)</script><b onclick='x'>\"&amp;\u202e\x00"
STEPS = 96


def play(run):
    """Train, change settings twice, evaluate."""
    run.put(events.Started(0, 1.5, "CPU"))
    run.advance(1).evaluate((0.5, 0.48, 0.45, 0.4))
    run.advance(29, snapshot=False)
    run.send(ChangeSettings((("*.weights.num_bits", 4),)))
    run.advance(33).evaluate((0.96, 0.95, 0.94, 0.93))
    run.send(ChangeSettings((("dense1.weights.symmetric", False), ("run.learning_rate", 1e-4))))
    run.advance(STEPS - 63).evaluate((0.98, 0.96, 0.97, 0.95))
    run.end(events.Finished(run.step))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "first run"
    recorded(path, play, steps=STEPS)
    return path


@pytest.fixture(scope="module")
def run(directory):
    return read_run(RunRecord.read(directory))


@pytest.fixture(scope="module")
def found(run):
    return Page(page(run))


def page_of(directory, play, *arguments, **about):
    recorded(directory, play, *arguments, **about)
    return Page(page(read_run(RunRecord.read(directory))))


def assert_self_contained(found):
    tags = {tag for tag, _ in found.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "audio", "video", "img", "image"}
    for _tag, attributes in found.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")]
        assert attributes.get("href", "#").startswith("#")
    style = re.search("<style>(.*?)</style>", found.html, re.S).group(1)
    assert "url(" not in style and "@import" not in style


def test_the_page_is_self_contained(found):
    assert_self_contained(found)
    assert "http" not in found.html.replace("http-equiv", "")
    (policy,) = [a["content"] for tag, a in found.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_every_link_has_a_target(found):
    assert len(set(found.ids)) == len(found.ids)
    assert {link[1:] for link in found.links} <= set(found.ids) and len(found.links) > 12


def test_figures_are_xml_with_descriptions(found, run):
    svgs = found.svgs()
    tensors = len(run.book.plan.tensors)
    # two of the run, its learning rate, the network; for each tensor before, after and at least three curves
    assert len(svgs) > 4 + 5 * tensors
    for svg in svgs:
        assert svg.get("role") == "img" and svg.find("title").text and svg.find("desc").text
        assert svg.find("title").text.split(",")[0] in svg.get("aria-label")
        assert re.fullmatch(r"(-?[\d.]+ ){3}[\d.]+", svg.get("viewBox"))
        for text in svg.iter("text"):
            assert "nan" not in (text.text or "").lower()
        assert not re.search(r"nan|inf", " ".join(path.get("d") for path in svg.iter("path")))


def test_tables_are_accessible(found):
    heads = [attributes for tag, attributes in found.elements if tag == "th"]
    assert heads and all(head.get("scope") in ("row", "col") for head in heads)
    assert all(found.tables) and sum(tag == "table" for tag, _ in found.elements) == len(found.tables)
    assert {"html", "main", "header", "footer", "nav", "h1"} <= {tag for tag, _ in found.elements}
    assert dict(found.elements)["html"]["lang"] == "en"


def test_accuracies_and_the_verdict(found):
    assert found.tables["Accuracy in float and quantized on 1,000 held-out examples"][1:] == [
        ["1", "50.0 %", "48.0 %", "45.0 %", "40.0 %"],
        ["96", "98.0 %", "96.0 %", "97.0 %", "95.0 %"],
    ]
    for told in (
        "Quantization costs 3.0 percentage points of accuracy (95.0 % quantized, 98.0 % in float on 1,000 held-out",
        "Compared with float, weights only: 2.0 percentage points worse; activations only: 1.0 percentage points",
        f"{STEPS} steps: finished",
    ):
        assert told in found.text
    assert len(found.tables["Evaluations on held-out data: accuracy"]) == 4


def test_the_table_of_tensors_shows_the_last_snapshot(found, run, directory):
    rows = found.tables[f"All quantized tensors, after step {STEPS}"]
    snapshot = RunRecord.read(directory).snapshot(STEPS)
    at = {head: place for place, head in enumerate(rows[0])}
    assert rows[0][2:-1] == [column.header for column in COLUMNS if column.key != "weight_map"], "there are no maps"
    for index, (row, tensor) in enumerate(zip(rows[1:], run.book.plan.tensors)):
        measure = dict(zip(SNAPSHOT_MEASURES, snapshot.values[:, index]))
        assert row[0] == tensor.name and row[at["Bits"]] == str(snapshot.num_bits[index])
        assert float(row[at["SQNR (dB)"]]) == pytest.approx(measure["sqnr_db"], abs=0.051)
        assert float(row[at["RMSE/scale"]]) == pytest.approx(measure["rmse_over_scale"], abs=5.1e-4)
        assert float(row[at["Scale"]]) == pytest.approx(measure["scale"], rel=1e-3)
        assert int(row[at["Zero point"]]) == measure["zero_point"]
        assert int(row[at["Codes used"]].split("/")[0].replace(",", "")) == measure["used_codes"]
        assert float(row[at["Effective bits"]]) == pytest.approx(measure["effective_bits"], abs=0.0051)
    assert {row[at["Symmetric"]] for row in rows[1:] if row[0] == "dense1.weights"} == {"off"}
    judged = tensor_rows(run)
    assert [row[-1] for row in rows[1:]] == [row.advice for row in judged]
    assert len({row.verdict.level for row in judged}) > 1


def test_effects_of_changes_agree_with_the_record(found, run, directory):
    """Against a history of the whole run; the report reads only the steps around each change."""
    rows = found.tables["Setting changes"][1:]
    reader = RunRecord.read(directory)
    names = [tensor.name for tensor in run.book.plan.tensors]
    history = History(history_names(names))
    refill(history, reader)
    weights = [name for name in names if name.endswith("weights")]
    assert [row[:2] for row in rows] == [["1", "30"], ["2", "63"]]
    assert rows[0][3] == effect(history, 30, weights, None, 63, run.log).describe()
    assert rows[1][3] == effect(history, 63, ["dense1.weights"], 30, None, run.log).describe()
    assert "loss" in rows[0][3] and "SQNR" in rows[0][3] and "95.0 %" in rows[1][3]
    assert all(f"{name}.num_bits 8 → 4" in rows[0][2] for name in weights)
    assert "run.learning_rate 0.001 → 0.0001" in rows[1][2]


def test_settings_at_the_beginning_and_now(found):
    run_settings = {row[0]: row[1:] for row in found.tables["Settings of the run"]}
    assert run_settings["Learning rate"] == ["0.001", "0.0001"] and run_settings["Momentum"] == ["0.9", "0.9"]
    rows = found.tables["Settings of the quantizers"]
    at = {head: place for place, head in enumerate(rows[0])}
    weights = next(row for row in rows if row[0] == "dense1.weights")
    assert [weights[at[name]] for name in ("Bits", "Symmetric", "Average decay")] == ["8 → 4", "on → off", ""]
    activations = next(row for row in rows if row[0] == "dense1.activations")
    assert activations[at["Bits"]] == "8" and activations[at["Per channel"]] == ""


def test_curves_cover_the_steps_of_the_record(found, directory):
    reader = RunRecord.read(directory)
    steps = reader.steps()
    words = {svg.find("title").text: svg.find("desc").text for svg in found.svgs()}
    told = re.match(rf"Loss: (\S+) at step 1, (\S+) at step {STEPS}; from (\S+) to (\S+)\.$", words["Loss"])
    expected = [steps.loss[0], steps.loss[-1], steps.loss.min(), steps.loss.max()]
    assert list(map(float, told.groups())) == pytest.approx(expected, rel=6e-3)
    assert "quantized: 40 % at step 1, 95 % at step 96" in words["Accuracy (%)"]
    assert set(words) >= {
        f"{title} of dense1.weights" for title in ("SQNR (dB)", "Error (MSE)", "Scale", "Zero point", "Flip rate (%)")
    }
    assert "Learning rate" in words and "Flip rate (%) of dense1.activations" not in words
    assert "dense1.weights, before: step 1" in words and f"dense1.weights, after: step {STEPS}" in words


def test_events_are_in_order(found):
    rows = found.tables["Events by step"][1:]
    assert [row[0] for row in rows] == ["0", "30", "63", "96"]
    assert rows[0][2] == "training started on CPU (1.5 s to build)" and rows[-1][2] == "finished: all steps are done"
    assert rows[1][2] == "num_bits 8 → 4 of 3 tensors"


def test_names_from_files_are_escaped(tmp_path, monkeypatch):
    """Names of layers are checked when a record is read; here this check is disabled. A description has no NUL."""
    monkeypatch.setattr(checks, "_NAME", re.compile(".*", re.DOTALL))
    build = NetworkBuilder(HOSTILE, (4, 4, 1))
    build.add(Flatten, HOSTILE + "1")
    build.add(Dense, HOSTILE + "2", units=10)
    monkeypatch.setattr(zoo, "build", lambda *_: build.network())

    def hostile(run):
        saved = events.CheckpointSaved(0, HOSTILE, SaveReason(SaveKind.OTHER, note=HOSTILE))
        run.put(events.Started(0, 0.1, HOSTILE), saved)
        run.advance(2)
        run.send(ChangeSettings((("*.weights.num_bits", 4),)))
        run.advance(3)
        run.put(events.NonFinite(3, NonFiniteValue.STATE, 2), events.Failed(3, HOSTILE, HOSTILE))

    described = HOSTILE.replace("\0", "")
    about = dict.fromkeys(("data_name", "data_fingerprint", "run_id", "qatviz"), described)
    origin = {**dict.fromkeys(("run_id", "directory", "checkpoint"), described), "step": 0}
    found = page_of(tmp_path / "<i>run", hostile, forked_from=origin, **about)
    assert_self_contained(found)
    assert found.text.count("<script src=http://evil.example>") > 30 and not re.search("[\u202e\0]", found.html)
    assert {svg.tag for svg in found.svgs()} == {"svg"} and len(found.svgs()) > 15


def test_missing_data_is_explained(tmp_path):
    found = page_of(tmp_path / "new", lambda run: run.put(events.Started(0, 0.1, "CPU")))
    assert "0 steps of 40; still running, or interrupted" in found.text
    assert "Not evaluated on held-out data yet: the cost of quantization is unknown." in found.text
    assert "There are no histograms, as there is no snapshot yet." in found.text
    assert "Loss: no step was done yet; Accuracy (%): it was not evaluated on held-out data yet." in found.text
    assert "No setting was changed during training." in found.text and "No export found" in found.text
    found = page_of(tmp_path / "one", lambda run: run.advance(4))
    assert "There is a single snapshot, after step 4" in found.text and "Before:" not in found.text
    assert "there are no two snapshots of quantized values to compare" in found.text


def test_the_report_of_a_running_run(tmp_path):
    run = StagedRun("mlp")
    with RunRecord.create(tmp_path / "run", describe(run)) as record:
        for until in (5, 9):
            run.advance(until - run.step)
            append(record, run.drain())
            assert record.flush()
            found = Page(page(read_run(RunRecord.read(tmp_path / "run"))))
            assert f"{until} steps of 40; still running" in found.text
            assert f"All quantized tensors, after step {until}" in found.tables


class GrowingRecord(RecordReader):
    """Record of a run that takes a step whenever it is read."""

    def __init__(self, directory, run, record):
        super().__init__(directory)
        self._run, self._writer = run, record

    def _grow(self):
        self._run.put(events.Paused(self._run.step, PauseReason.REQUESTED))
        append(self._writer, self._run.advance(1).drain())
        assert self._writer.flush()

    def events(self, surviving_only=False):
        found = super().events(surviving_only)
        self._grow()
        return found

    def snapshots(self):
        self._grow()
        return super().snapshots()


def test_the_report_of_a_running_run_is_of_a_single_step(tmp_path):
    run = StagedRun("mlp")
    with RunRecord.create(tmp_path / "run", describe(run)) as record:
        append(record, run.advance(4).drain())
        assert record.flush()
        data = read_run(GrowingRecord(tmp_path / "run", run, record))
    step = data.outcome.step
    assert 4 < step < run.step and all(logged.survives for logged in data.log)
    assert data.history.last_step(STEPS_TRACK) == step == data.last.step and data.first.step == 4
    Page(page(data))


def test_an_incomplete_record_is_refused(tmp_path):
    for name, about, message in (
        ("date", {"created": "yesterday"}, "created is 'yesterday'"),
        ("size", {"batch_size": None}, "batch_size"),
        ("rate", {"settings": {"run": {"learning_rate": "fast"}}}, "do not fit the network"),
    ):
        with pytest.raises(RecordError, match=message):
            recorded(tmp_path / name, lambda run: run.advance(2), **about)
        with pytest.raises(RecordError, match=message):
            read_run(RunRecord.read(tmp_path / name))
    run = StagedRun("mlp")
    lacking = {key: value for key, value in describe(run).items() if key != "settings"}
    with RunRecord.create(tmp_path / "lacking", lacking) as record:
        append(record, run.advance(2).drain())
    with pytest.raises(RecordError, match="settings"):
        read_run(RunRecord.read(tmp_path / "lacking"))
    recorded(tmp_path / "scores", lambda run: run.put(events.Evaluated(0, {"float": 1.0}, 10, 0.1)))
    with pytest.raises(RecordError, match="weights_only"):
        read_run(RunRecord.read(tmp_path / "scores"))


def test_a_record_without_entries_that_other_versions_lack_is_shown(tmp_path):
    run = StagedRun("mlp")
    needed = {key: value for key, value in describe(run).items() if key in ("network", "settings", "steps", "schedule")}
    with RunRecord.create(tmp_path / "run", needed) as record:
        append(record, run.advance(2).drain())
    assert "Started" in Page(page(read_run(RunRecord.read(tmp_path / "run")))).text


def test_a_discarded_branch_is_marked(tmp_path):
    run = StagedRun("mlp")
    first = run.book
    with RunRecord.create(tmp_path / "run", describe(run)) as record:
        run.advance(10)
        run.send(ChangeSettings((("*.weights.num_bits", 2),)))
        run.advance(10).evaluate()
        append(record, run.drain())
        back = first.differences(run.book)
        restored = events.Restored(
            10,
            "before-10-1",
            RestoreReason.UNDO,
            20,
            tuple(events.Change(change.setting, change.new, change.old) for change in back),
        )
        record.append_rewind(10, reports=[restored])
        append(record, [events.Stopped(10)])
    data = read_run(RunRecord.read(tmp_path / "run"))
    assert data.outcome.step == 10 and data.book == data.first_book == first and data.change_points == ()
    found = Page(page(data))
    rows = found.tables["Events by step"][1:]
    assert "rewound from step 20 to 10 (undo)" in [row[2] for row in rows]
    assert "Not evaluated on held-out data yet" in found.text and "No setting was changed" in found.text


def test_nonfinite_values_are_shown(tmp_path):
    def broken(run):
        run.advance(5)
        snapshot = run.take_snapshot()
        snapshot.values.setflags(write=True)
        snapshot.values[:, 1], snapshot.values[:, 2] = np.nan, np.inf
        run.put(events.Evaluated(run.step, dict.fromkeys(MODES, np.nan), 10, 0.1))

    found = page_of(tmp_path / "run", broken)
    assert "training has diverged" in found.text


def test_the_end_of_a_quantization_delay_is_a_change(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "_MAX_UNFOLDED_CHANGES", 5)

    def play(run):
        run.advance(30)
        names = tuple(tensor.name for tensor in run.plan.tensors)
        run.put(events.SettingsActivated(30, names[:2]))
        run.advance(80, snapshot=False)
        run.put(events.SettingsActivated(110, names[:4]), events.SettingsActivated(110, names[3:]))
        run.advance(5)

    found = page_of(tmp_path / "run", play)
    rows, told = found.tables["Setting changes"][1:], "quantization starts as the delay ends: "
    assert [row[1] for row in rows] == ["30", "110"] and "loss" in rows[0][3] and "SQNR" in rows[0][3]
    assert rows[0][2] == told + "input.activations, dense1.weights"
    assert rows[1][2].startswith(told + "input.activations, dense1.weights and 5 more")
    assert rows[1][2].count(": quantization starts as the delay ends") == 7
    titles = {
        group.find("title").text for svg in found.svgs() for group in svg.iter("g") if group.find("title") is not None
    }
    assert "2: step 110: " + told + "input.activations, dense1.weights and 5 more" in titles


def test_the_loss_of_each_output_has_a_curve(tmp_path):
    metrics = (OutputMetric("kind", ACCURACY), OutputMetric("box", RMSE))
    heads = [
        {"output": "kind", "loss": "cross_entropy", "metric": "accuracy", "task": "classification"},
        {"output": "box", "loss": "mse", "metric": "rmse", "task": "regression"},
    ]
    recorded(tmp_path / "run", lambda run: run.advance(40), StagedRun("mlp", metrics=metrics), heads=heads)
    found = read_run(RunRecord.read(tmp_path / "run"))
    losses, of_box = (found.history.series(name).mean for name in ("loss", "training:box/loss"))
    np.testing.assert_allclose(of_box, losses / 2, rtol=1e-5)
    figure = run_figures(found)[0]
    assert [name for name, _ in figure.legend] == ["total", "kind", "box"]
    assert len({style for _, style in figure.legend}) == 3


def test_the_report_of_a_regression_shows_its_metric(tmp_path):
    def play(run):
        run.advance(5)
        for step, scores in ((2, (0.5, 0.6, 0.7, 0.8)), (5, (0.02, 0.021, 0.024, 0.025))):
            outputs = tuple((score, 2 * score) for score in scores)
            run.put(events.Evaluated(step, dict(zip(MODES, scores)), 300, 0.1, "rmse", outputs))

    found = page_of(tmp_path / "run", play, task="regression")
    assert found.tables["RMSE in float and quantized on 300 held-out examples"][2] == [
        "5",
        "0.02",
        "0.021",
        "0.024",
        "0.025",
    ]
    assert found.tables["RMSE by output after step 5"][1:] == [
        ["output 0", "0.02", "0.021", "0.024", "0.025"],
        ["output 1", "0.04", "0.042", "0.048", "0.05"],
    ]
    assert "Quantization costs 0.005 of RMSE (0.025 quantized, 0.02 in float on 300 held-out examples)." in found.text
    assert "Compared with float, activations only: 0.004 worse; weights only: 0.001 worse." in found.text
    assert "Accuracy" not in found.text and "RMSE" in {svg.find("title").text for svg in found.svgs()}


@pytest.mark.parametrize(
    "scores, told",
    [
        (
            (0.97, 0.97, 0.97, 0.97),
            "Quantization costs no accuracy (97.0 % quantized, 97.0 % in float on 1,000 held-out",
        ),
        (
            (0.97, 0.97, 0.97, 0.965),
            "Quantization costs no accuracy (96.5 % quantized, 97.0 % in float on 1,000 held-out "
            "examples): the difference is not significant.",
        ),
        (
            (0.5, 0.97, 0.5, 0.96),
            "The quantized network is better than the float one by 46.0 percentage points of accuracy",
        ),
        (
            (0.97, 0.97, 0.97, 0.9),
            "Neither weights alone nor activations alone have a significant cost when quantized, only both together.",
        ),
        (
            (0.97, 0.92, 0.975, 0.9),
            "Compared with float, weights only: 5.0 percentage points worse; activations only: 0.5 percentage points "
            "better.",
        ),
    ],
)
def test_the_summary_verdict_follows_the_scores(tmp_path, scores, told):
    assert told in page_of(tmp_path / "run", lambda run: run.advance(1).evaluate(scores)).text


def test_omitted_rows_of_a_table_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "MAX_ROWS", 20)

    def play(run):
        for _ in range(50):
            run.advance(1, snapshot=False).evaluate()
            run.put(events.Paused(run.step, PauseReason.REQUESTED))

    found = page_of(tmp_path / "run", play)
    for caption in ("Events by step", "Evaluations on held-out data: accuracy"):
        rows = found.tables[caption][1:]
        assert len(rows) == 21 and rows[10][:2] == ["…", "30 rows not shown"] and rows[-1][0] == "50"
    assert "50 evaluations" in found.text


def test_many_tensors_are_shown(tmp_path):
    run = StagedRun("mobilenet")
    found = page_of(tmp_path / "run", lambda run: run.advance(2).advance(1), run)
    assert len(found.html) < 2_000_000
    assert len(found.tables["All quantized tensors, after step 3"]) == 1 + len(run.plan.tensors)
    network = next(svg for svg in found.svgs() if svg.get("class") == "graph")
    names = {group.find("title").text.split("\n")[0] for group in network.findall("g")}
    assert names == {"input"} | {unit.name for unit in run.plan.units}
    boxes = [
        [float(rect.get(key)) for key in ("x", "y", "width", "height")]
        for group in network.findall("g")
        for rect in group.findall("rect")
    ]
    assert all(
        a is b or a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1]
        for a in boxes
        for b in boxes
    ), "boxes overlap"


def test_the_report_of_an_unrecorded_run_is_made_from_memory(run, found):
    staged = StagedRun("mlp")
    about = describe(staged, steps=STEPS)
    play(staged)
    news = staged.drain()
    shown = unrecorded_run(
        about,
        staged.network,
        staged.book,
        ACCURACY,
        staged.history,
        [item for item in news if isinstance(item, Snapshot)],
        [LoggedEvent(item) for item in news if isinstance(item, events.Event)],
        [item for item in news if isinstance(item, StepRecord)][-1],
    )
    assert (shown.first_book, shown.book, shown.outcome.step) == (run.first_book, run.book, STEPS)
    assert shown.change_points == run.change_points and shown.outcome.ending == "finished"
    told = Page(page(shown))
    assert "This run is not recorded" in told.text
    assert {row[1] for row in told.tables.pop("Events by step")[1:]} == {"–"}, "nobody noted the time"
    assert len(told.tables) > 5
    assert told.tables == {name: table for name, table in found.tables.items() if name in told.tables}
