"""Event files: TensorBoard's own reader returns the run's measurements."""

import os
import warnings

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from qatviz.cli import reports as command
from qatviz.errors import ExportError
from qatviz.export import tensorboard
from qatviz.export.run_series import RunSeries, Track, event_texts, in_memory_series, recorded_series
from qatviz.export.tensorboard import write_events, write_series
from qatviz.metric import ACCURACY, MODES, RMSE, OutputMetric
from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.presentation.strength_series import RAMP_PATHS
from qatviz.protocol import events
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.reasons import PauseReason, SaveKind, SaveReason
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot, StepRecord, TensorHistogram
from qatviz.settings import RunSettings
from qatviz.telemetry.history import History
from qatviz.telemetry.record.refill import EVALUATIONS, STEPS, extend_steps, history_names
from qatviz.telemetry.record.run_record import RunRecord

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TensorBoard 1.15 is from 2019
    from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator

# TensorBoard 1.15 emits deprecation warnings.
pytestmark = [
    pytest.mark.filterwarnings("ignore:inspect.getargspec:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:np.asscalar:DeprecationWarning"),
]

CREATED = 1.7e9
NETWORK = zoo.build("mlp", (6, 6, 1), 4)
TENSORS = tuple(tensor.name for tensor in quantization_plan(NETWORK).tensors)
SETTINGS = SettingsBook.from_preset(quantization_plan(NETWORK), "tflite-int8")
DESCRIPTION = {"network": NETWORK.to_dict(), "settings": SETTINGS.to_dict()}


def step_values(step):
    random = np.random.RandomState(step)
    values = random.randn(len(STEP_MEASURES), len(TENSORS)).astype(np.float32)
    values[0, 0] = np.nan  # a float tensor has no scale
    values[7, 1] = np.inf  # an exact tensor has no error
    return values


def snapshot(step):
    random = np.random.RandomState(step)
    histograms = {}
    for number, name in enumerate(TENSORS):
        edges = np.linspace(-1 - number, 2, 9).astype(np.float32)
        codes = None if number == 0 else random.randint(0, 50, 16)
        histograms[name] = TensorHistogram(
            edges,
            random.randint(0, 50, 8),
            random.randint(0, 50, 8),
            -8,
            codes,
            channel_min=np.zeros(1),
            channel_max=np.ones(1),
            scale=np.ones(1),
            zero_point=np.zeros(1, np.int32),
        )
    values = random.randn(len(SNAPSHOT_MEASURES), len(TENSORS)).astype(np.float32)
    return Snapshot(step, step / 8, values, histograms, (4,) * len(TENSORS), (True,) * len(TENSORS))


CHANGE = ChangeSettings((("dense1.weights.num_bits", 4),))


@pytest.fixture
def recorded(tmp_path):
    """Return the directory of a run of 60 steps that was rewound once, from step 50 to step 40."""
    record = RunRecord.create(tmp_path / "run", dict(DESCRIPTION, created=CREATED))
    steps = {}
    for step in list(range(1, 51)) + list(range(41, 61)):
        if step == 41 and 50 in steps:
            taken_back = events.Change("dense1.weights.num_bits", 8, 9)
            record.append_event(events.CommandApplied(50, "a-1", CHANGE, (taken_back,)))
            record.append_rewind(40, None)
        steps[step] = StepRecord(step, step / 8, 1 / step + (step > 40) * len(steps), 1e-3, step_values(step))
        record.append_step(steps[step])
        if step % 10 == 0 and step != 50:
            record.append_snapshot(snapshot(step))
    record.append_event(events.CommandApplied(40, "a-2", CHANGE, (events.Change("dense1.weights.num_bits", 8, 4),)))
    record.append_event(events.Evaluated(60, dict(zip(MODES, (0.9, 0.8, 0.7, 0.6))), 100, 0.1))
    record.append_event(events.Finished(60))
    record.close()
    return tmp_path / "run", steps


def read(directory):
    found = event_accumulator.EventAccumulator(
        str(directory), size_guidance=dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    )
    found.Reload()
    return found


def scalars(found, tag):
    return {event.step: event.value for event in found.Scalars(tag)}


def test_every_step_that_survives_is_read_back_with_its_values(recorded, tmp_path):
    directory, steps = recorded
    written = write_series(tmp_path / "board" / "run", recorded_series(RunRecord.read(directory)))
    found = read(tmp_path / "board" / "run")
    assert scalars(found, "loss") == {step: pytest.approx(record.loss) for step, record in steps.items()}
    for row, measure in enumerate(STEP_MEASURES):
        for column, tensor in enumerate(TENSORS):
            tag = f"{measure}/{tensor}"
            expected = {
                step: record.values[row, column]
                for step, record in steps.items()
                if not np.isnan(record.values[row, column])
            }
            if expected:
                assert scalars(found, tag) == expected
            else:
                assert tag not in found.Tags()["scalars"]
    assert scalars(found, "accuracy/quantized") == {60: pytest.approx(0.6)}
    assert (written.steps, written.snapshots) == (60, 5) and written.bytes == written.path.stat().st_size
    assert written.path.parent == tmp_path / "board" / "run"


def test_histograms_have_the_edges_and_counts_of_their_snapshots(recorded, tmp_path):
    directory, _ = recorded
    write_series(tmp_path / "board", recorded_series(RunRecord.read(directory)))
    found = read(tmp_path / "board")
    for number, tensor in enumerate(TENSORS):
        for kind in ("float", "quantized", "codes"):
            tag = f"{kind}/{tensor}"
            if kind == "codes" and number == 0:
                assert tag not in found.Tags()["histograms"]
                continue
            assert [event.step for event in found.Histograms(tag)] == [10, 20, 30, 40, 60]
            for event in found.Histograms(tag):
                expected = snapshot(event.step).histograms[tensor]
                if kind == "codes":
                    edges, counts = np.arange(-8.5, 8), expected.code_counts
                else:
                    edges, counts = expected.edges, getattr(expected, kind + "_counts")
                value = event.histogram_value
                np.testing.assert_array_equal([value.min, *list(value.bucket_limit)], edges)
                np.testing.assert_array_equal(value.bucket, counts)
                assert value.num == counts.sum() and value.max == edges[-1]
                middles = (edges[1:] + edges[:-1]) / 2
                assert value.sum == pytest.approx(counts @ middles, rel=1e-6)
                assert value.sum_squares == pytest.approx(counts @ middles**2, rel=1e-6)
    row = SNAPSHOT_MEASURES.index("flip_rate")
    assert scalars(found, "flip_rate/" + TENSORS[1]) == {
        step: snapshot(step).values[row, 1] for step in (10, 20, 30, 40, 60)
    }


def test_events_are_texts_except_those_that_were_undone(recorded, tmp_path):
    directory, _ = recorded
    write_series(tmp_path / "board", recorded_series(RunRecord.read(directory)))
    found = read(tmp_path / "board")
    texts = {event.step: event.tensor_proto.string_val[0].decode() for event in found.Tensors("events")}
    assert texts == {40: "- `dense1.weights.num_bits` 8 → 4", 60: "- Finished"}
    assert found.SummaryMetadata("events").plugin_data.plugin_name == "text"


def test_the_plugins_of_tensorboard_read_their_data(recorded, tmp_path):
    """TensorBoard uses another reader, which converts old summaries to those of its plugins."""
    directory, _ = recorded
    write_series(tmp_path / "board", recorded_series(RunRecord.read(directory)))
    found = plugin_event_accumulator.EventAccumulator(str(tmp_path / "board"))
    found.Reload()
    assert set(found.PluginTagToContent("text")) == {"events"}
    assert {"loss", "accuracy/float", "flip_rate/" + TENSORS[1]} <= set(found.PluginTagToContent("scalars"))
    assert set(found.PluginTagToContent("histograms")) == {
        f"{kind}/{tensor}" for kind in ("float", "quantized", "codes") for tensor in TENSORS
    } - {"codes/" + TENSORS[0]}
    event = found.Tensors("codes/" + TENSORS[1])[0]
    lefts, rights, counts = tf.make_ndarray(event.tensor_proto).T
    np.testing.assert_array_equal(lefts, np.arange(-8.5, 7))
    np.testing.assert_array_equal(rights, np.arange(-7.5, 8))
    np.testing.assert_array_equal(counts, snapshot(event.step).histograms[TENSORS[1]].code_counts)


def test_wall_times_ascend_from_the_start_of_the_run(recorded, tmp_path):
    directory, _ = recorded
    written = write_series(tmp_path / "board", recorded_series(RunRecord.read(directory)))
    found = list(tf.train.summary_iterator(str(written.path)))
    assert found[0].file_version == "brain.Event:2"
    times, steps = [event.wall_time for event in found], [event.step for event in found]
    assert times == sorted(times) and steps == sorted(steps)
    assert times[-1] == pytest.approx(CREATED + 60 / 8) and times[1] == pytest.approx(CREATED + 1 / 8)


def test_a_long_run_is_thinned_evenly_and_keeps_first_and_last_step(recorded):
    directory, _ = recorded
    series = recorded_series(RunRecord.read(directory), max_points=7, max_snapshots=3)
    steps = series.tracks[0].steps
    assert steps[0] == 1 and steps[-1] == 60 and len(steps) <= 9
    assert np.ptp(np.diff(steps[1:])) <= np.diff(steps)[1]
    assert [s.step for s in series.snapshots] == [10, 30, 60]
    np.testing.assert_array_equal(series.clock[1], steps / 8)


def test_a_run_without_steps_is_written_without_series(tmp_path):
    RunRecord.create(tmp_path / "run", DESCRIPTION).close()
    written = write_series(tmp_path / "board", recorded_series(RunRecord.read(tmp_path / "run")))
    assert written[1:4] == (0, 0, 0)
    assert read(tmp_path / "board").Tags()["scalars"] == []


def test_a_run_in_memory_is_written_like_its_record(tmp_path):
    history = History(history_names(TENSORS), capacity=8, recent=4)
    for step in range(1, 101):
        extend_steps(history, np.array([step]), np.array([[1 / step, 1e-3]]), step_values(step)[np.newaxis])
    history.append(EVALUATIONS, 100, np.array([0.9, 0.8, 0.7, 0.6]))
    run_events = [
        events.Finished(100),
        events.Evaluated(100, dict(zip(MODES, (0.9, 0.8, 0.7, 0.6))), 9, 0.1),
        events.CommandApplied(7, "a-1", CHANGE, (events.Change("run.learning_rate", 1e-3, 1e-4),)),
    ]
    write_events(tmp_path / "board", history, [snapshot(50), snapshot(100)], run_events, created=CREATED)
    found = read(tmp_path / "board")
    recent = {step: value for step, value in scalars(found, "loss").items() if step > 96}
    assert recent == {step: pytest.approx(1 / step) for step in range(97, 101)}
    assert min(scalars(found, "loss")) < 40 and len(scalars(found, "loss")) < 40
    assert scalars(found, "accuracy/float") == {100: pytest.approx(0.9)}
    assert [event.step for event in found.Histograms("float/" + TENSORS[1])] == [50, 100]
    assert {event.step for event in found.Tensors("events")} == {7, 100}
    assert found.Scalars("loss")[-1].wall_time == pytest.approx(CREATED + 100 / 8)


def test_the_strength_is_a_series_where_a_ramp_was_on(recorded, tmp_path):
    directory, _ = recorded
    assert "strength" not in recorded_series(RunRecord.read(directory)).tracks[0].names
    ramp = RunSettings(ramp_start=20, ramp_end=50)
    changes = tuple(events.Change(path, 0, getattr(ramp, path[len("run.") :])) for path in RAMP_PATHS)
    record = RunRecord.create(tmp_path / "ramped", dict(DESCRIPTION, created=CREATED))
    record.append_event(events.CommandApplied(10, "a-1", CHANGE, changes))
    for step in range(1, 61):
        record.append_step(StepRecord(step, step / 8, 1.0, 1e-3, step_values(step)))
    record.close()
    write_series(tmp_path / "board", recorded_series(RunRecord.read(tmp_path / "ramped")))
    expected = {step: ramp.strength_at(step - 1) if step > 10 else 1.0 for step in range(1, 61)}
    assert scalars(read(tmp_path / "board"), "strength") == pytest.approx(expected)

    history = History(history_names(TENSORS))
    history.extend(STEPS, np.arange(1, 61), np.ones((60, len(history.names(STEPS)))))
    write_events(tmp_path / "memory", history, [], [], strength_of=lambda steps: steps / np.float32(100))
    found = scalars(read(tmp_path / "memory"), "strength")
    assert found == pytest.approx({step: step / 100 for step in range(1, 61)})


def test_files_go_to_a_new_subdirectory_of_a_directory_in_use(tmp_path):
    history = History(history_names(TENSORS))
    history.append(STEPS, 1, np.ones(len(history.names(STEPS))))
    paths = [write_events(tmp_path / "logs", history, [], [], name="mlp").path.parent for _ in range(3)]
    assert paths == [tmp_path / "logs", tmp_path / "logs" / "mlp", tmp_path / "logs" / "mlp-2"]
    assert all(scalars(read(path), "loss") == {1: 1.0} for path in paths[1:])


def test_series_that_are_merged_while_they_are_read_stay_consistent():
    class Busy(History):
        """History of a run that takes 40 steps between two reads, the first three times."""

        reads = 0

        def series(self, name, start=None, stop=None):
            if self.reads < 3:
                last = self.last_step(STEPS)
                steps = np.arange(last + 1, last + 41)
                self.extend(STEPS, steps, np.repeat(steps[:, None], len(self.names(STEPS)), axis=1))
            self.reads += 1
            return super().series(name, start, stop)

    history = Busy(history_names(TENSORS), capacity=8, recent=4)
    history.append(STEPS, 1, np.ones(len(history.names(STEPS))))
    track = in_memory_series("mlp", CREATED, history, [], []).tracks[0]
    assert (track.values == track.values[:, :1]).all() and track.steps[-1] <= 121


def board(**more):
    track = Track(("loss",), np.arange(3), np.eye(3)[:, :1])
    return RunSeries("x", CREATED, (np.arange(3), np.arange(3.0)), (), (track,), (), ())._replace(**more)


def test_existing_files_are_not_touched(tmp_path):
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "other").write_text("precious")
    with pytest.raises(ExportError, match="board: contains files; expected an empty directory"):
        write_series(tmp_path / "board", board())
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ExportError, match="file: is a file; expected an empty directory"):
        write_series(tmp_path / "file", board())
    assert sorted(os.listdir(str(tmp_path))) == ["board", "file"]


def test_a_failed_export_leaves_no_files(tmp_path, monkeypatch):
    def snapshots():
        yield snapshot(1)
        raise OSError(28, "No space left on device")

    (tmp_path / "board").mkdir()
    with pytest.raises(ExportError, match="board: can't be written: No space left on device"):
        write_series(tmp_path / "board", board(snapshots=snapshots(), tensors=TENSORS))
    assert os.listdir(str(tmp_path)) == ["board"] and os.listdir(str(tmp_path / "board")) == []

    def full(*args):
        raise tf.errors.ResourceExhaustedError(None, None, "disk quota exceeded")

    monkeypatch.setattr(tensorboard, "_write_file", full)
    with pytest.raises(ExportError, match="disk quota exceeded"):
        write_series(tmp_path / "board", board())


def test_histograms_with_edges_that_are_not_finite_are_omitted(tmp_path):
    odd = snapshot(1)
    odd.histograms[TENSORS[0]].edges[:] = np.nan
    write_series(tmp_path / "board", board(snapshots=[odd], tensors=TENSORS))
    tags = read(tmp_path / "board").Tags()["histograms"]
    assert "float/" + TENSORS[0] not in tags and "float/" + TENSORS[1] in tags


def test_event_texts():
    failed = events.Failed(9, "ValueError: no", "Traceback …")
    saved = events.CheckpointSaved(9, "a", SaveReason(SaveKind.REQUESTED))
    assert event_texts([failed, saved, events.Paused(9, PauseReason.REQUESTED)]) == [
        (9, "Failed: ValueError: no"),
        (9, "Paused: asked to"),
    ]


def test_the_command_writes_next_to_the_record_and_prints_how_to_view_it(recorded, capsys):
    directory, _ = recorded

    class Options:
        pass

    Options.directory, Options.out = str(directory), None
    assert command.tensorboard(Options) == 0
    said = capsys.readouterr().out
    assert "60 steps" in said and "5 snapshots" in said and f"--logdir {directory / 'tensorboard'}" in said
    assert read(directory / "tensorboard").Tags()["scalars"]


def test_each_of_several_outputs_has_its_metric_and_loss(tmp_path):
    history = History(history_names(TENSORS, [OutputMetric("kind", ACCURACY), OutputMetric("box", RMSE)]))
    history.append(STEPS, 1, np.ones(len(history.names(STEPS))))
    scores, errors = dict(zip(MODES, (0.9, 0.8, 0.7, 0.6))), dict(zip(MODES, (1.5, 2.0, 3.0, 4.0)))
    more = {"output": "kind", "losses": (("kind", 0.5), ("box", 0.25)), "held_out_loss": 0.75}
    result = events.Evaluated(9, scores, 10, 0.1, further=(events.FurtherScores("box", "rmse", errors),), **more)
    write_events(tmp_path / "board", history, [], [events.Evaluated(5, scores, 10, 0.1, **more), result])
    found = read(tmp_path / "board")
    assert scalars(found, "kind.accuracy/quantized") == {5: pytest.approx(0.6), 9: pytest.approx(0.6)}
    assert (
        scalars(found, "held_out_loss/total") == {5: 0.75, 9: 0.75} and scalars(found, "held_out_loss/box")[9] == 0.25
    )
    assert scalars(found, "loss/kind") == scalars(found, "loss/box") == {1: 1.0}
    assert scalars(found, "box.rmse/float") == {9: 1.5}, "the first evaluation does not have it"
