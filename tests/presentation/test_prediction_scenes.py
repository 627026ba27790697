"""Pictures and texts of predictions: gallery, scores, confusion matrices, regression; thumbnails of examples."""

import numpy as np
import pytest
from prediction_samples import NAMES, TASKS, of_task, predictions

from qatviz.analysis.predictions import Confusion, compare, confusion_of, group_scores, ordered
from qatviz.data import from_arrays
from qatviz.data.inputs import from_inputs
from qatviz.presentation.confusion import (
    DIFFERENCE,
    IN_FLOAT,
    KINDS,
    MOST_CLASSES,
    QUANTIZED,
    ConfusionLayout,
    MatrixCell,
    cell_lines,
    cell_role,
    confusion_table,
    omitted_text,
)
from qatviz.presentation.csv_text import csv_text
from qatviz.presentation.example_pictures import ExamplePictures, pictures_of_examples
from qatviz.presentation.gallery import GalleryLayout, ScoreBars, Shown
from qatviz.presentation.palette import scale_role
from qatviz.presentation.prediction_texts import (
    example_lines,
    examples_table,
    group_cells,
    predicted_text,
    score_rows,
    summary_text,
    target_text,
)
from qatviz.presentation.scatter import scatter_scene
from qatviz.presentation.scene import Line, Picture, Rects, Text, estimated_metrics
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

METRICS = estimated_metrics(10.0, 6.0)
IMAGES = ExamplePictures(np.arange(40 * 8 * 8, dtype=np.int64).reshape(40, 8, 8).astype(np.uint8))


def shown(task=CLASSIFICATION, pictures=IMAGES, **options):
    found = of_task(task, **options)
    comparison = compare(found)
    return Shown(found, comparison, ordered(comparison), pictures)


def texts(shapes):
    return [shape.text for shape in shapes if isinstance(shape, Text)]


def test_each_example_is_found_where_it_is_drawn():
    layout = GalleryLayout(shown(), 400.0, METRICS)
    pictures = [shape for shape in layout.shapes(2, 3) if isinstance(shape, Picture)]
    assert len(pictures) == 3 * layout.columns
    for number, picture in enumerate(pictures):
        x, y = (picture.left + picture.right) / 2, (picture.top + picture.bottom) / 2
        assert layout.place_at(x, y, 2) == 2 * layout.columns + number
    assert layout.place_at(10.0, -5.0) == -1 and layout.place_at(10.0, layout.row * layout.rows + 1) == -1


@pytest.mark.parametrize("task", TASKS)
def test_a_gallery_shows_both_predictions_within_its_width(task):
    of = shown(task)
    layout = GalleryLayout(of, 500.0, METRICS)
    shapes = layout.shapes(0, 1, int(of.indices[0]))
    lines = texts(shapes)
    assert len(lines) == 3 * layout.columns
    index = int(of.indices[0])
    assert METRICS.elided(predicted_text(of.found, of.found.in_float, index), 1000) == lines[0] or "…" in lines[0]
    assert lines[1].startswith("→ ")
    for shape in shapes:
        if isinstance(shape, (Picture, Rects)):
            assert np.min(shape.left) >= 0 and np.max(shape.right) <= 500
        elif isinstance(shape, Text):
            half = METRICS.width(shape.text) / 2
            assert shape.x - half >= 0 and shape.x + half <= 500


def test_masks_are_beside_the_example():
    of = shown(SEGMENTATION)
    pictures = [shape for shape in GalleryLayout(of, 400.0, METRICS).shapes(0, 1) if isinstance(shape, Picture)]
    first = of.indices[0]
    _, target, before, after = pictures[:4]
    assert (target.pixels[0] == [224, 224, 192]).all(), "ignored"
    for picture, mask in ((before, of.found.in_float), (after, of.found.quantized)):
        same = mask[first][:, :, np.newaxis] == mask[first][0, 0]
        assert ((picture.pixels == picture.pixels[0, 0]).all(axis=2) == same[..., 0]).all()


def test_curves_are_drawn_within_the_picture():
    curves = np.random.RandomState(0).rand(40, 30, 2).astype(np.float32)
    shapes = GalleryLayout(shown(pictures=ExamplePictures(None, curves)), 400.0, METRICS).shapes(0, 1)
    lines = [shape for shape in shapes if isinstance(shape, Line)]
    grounds = [shape for shape in shapes if isinstance(shape, Rects)]
    assert len(lines) == 2 * len(grounds)
    for line, ground in zip(lines, np.repeat(np.arange(len(grounds)), 2)):
        frame = grounds[ground]
        assert frame.left[0] <= line.x.min() and line.x.max() <= frame.right[0]
        assert frame.top[0] <= line.y.min() and line.y.max() <= frame.bottom[0]


def test_unknown_pictures_leave_their_room():
    shapes = GalleryLayout(shown(pictures=None), 400.0, METRICS).shapes(0, 1)
    assert not [shape for shape in shapes if isinstance(shape, Picture)] and len(texts(shapes)) == 12


@pytest.mark.parametrize("single", [False, True])
def test_scores_are_probabilities_with_the_right_class_among_them(single):
    found = of_task(CLASSIFICATION, single=single)
    rows = score_rows(found, 0, 10)
    assert sum(row.in_float for row in rows) == pytest.approx(1) == sum(row.quantized for row in rows)
    (right,) = [row for row in rows if row.is_target]
    assert right.name == target_text(found, 0)
    best = max(rows, key=lambda row: row.quantized)
    assert best.name == predicted_text(found, found.quantized, 0)
    (alone,) = score_rows(found, 0, 1)
    assert alone.is_target


def test_scores_of_labels_and_numbers():
    labels = of_task(MULTILABEL)
    for row, logit in zip(score_rows(labels, 3, 10), labels.quantized[3]):
        assert row.quantized == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)
    numbers = of_task(REGRESSION)
    rows = score_rows(numbers, 3, 10)
    errors = np.abs(np.array([numbers.in_float[3], numbers.quantized[3]]) - numbers.targets[3])
    found = np.array([[row.in_float for row in rows], [row.quantized for row in rows]])
    np.testing.assert_allclose(found, errors / errors.max(), rtol=1e-6)
    assert score_rows(of_task(SEGMENTATION), 0, 10) == ()


def test_bars_are_as_long_as_the_probabilities():
    rows = score_rows(of_task(CLASSIFICATION), 0, 3)
    bars = [shape for shape in ScoreBars(rows, 300.0, METRICS).shapes() if isinstance(shape, Rects)]
    lengths = np.array([bar.right[0] - bar.left[0] for bar in bars])
    wanted = np.array([value for row in rows for value in (row.in_float, row.quantized)])
    long = lengths > 1
    assert np.ptp(lengths[long] / wanted[long]) < 1e-9 * lengths.max() / wanted.max() + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_each_cell_is_found_where_it_is_drawn(kind):
    table = confusion_table(confusion_of(of_task(CLASSIFICATION)), NAMES, kind)
    layout = ConfusionLayout(table, (300.0, 200.0), METRICS)
    for row in range(3):
        for column in range(3):
            assert layout.cell_at(*layout.center(MatrixCell(row, column))) == MatrixCell(row, column)
    assert layout.cell_at(1.0, 1.0) is None and layout.cell_at(299.0, 199.0) is None
    numbers = [text for text in texts(layout.shapes()) if text not in (*NAMES, "predicted")]
    assert len(numbers) == np.count_nonzero(table.values)


def test_a_low_matrix_has_the_heading_beside_it_and_all_names_and_numbers():
    names = tuple("0123456789")
    confusion = Confusion(np.full((10, 10), 7), np.full((10, 10), 31))
    table = confusion_table(confusion, names, QUANTIZED)
    layout = ConfusionLayout(table, (540.0, 120.0), METRICS)
    assert layout.cell_height < METRICS.height and layout.bottom <= 120.0
    found = layout.shapes()
    assert texts(found).count("31") == 100 and sorted(texts(found)).count("5") == 2
    heading, *_ = [shape for shape in found if isinstance(shape, Text) and shape.text == "predicted"]
    assert heading.x > layout.center(MatrixCell(0, 9))[0] and heading.x + METRICS.width("predicted") <= 540.0
    narrow = ConfusionLayout(table, (200.0, 400.0), METRICS)
    assert narrow.top > METRICS.height * 2, "there is no room beside it"


def test_differences_are_good_where_more_is_right():
    confusion = Confusion(np.array([[8, 2], [1, 9]]), np.array([[6, 4], [0, 10]]))
    table = confusion_table(confusion, ("a", "b"), DIFFERENCE)
    roles = [[cell_role(table, row, column) for column in range(2)] for row in range(2)]
    bad, good = scale_role(0.0, True), scale_role(0.75, True)
    assert roles == [[bad, bad], [good, good]]
    in_float = confusion_table(confusion, ("a", "b"), IN_FLOAT)
    assert cell_role(in_float, 0, 0) == scale_role(0.8, False)
    assert cell_lines(confusion, ("a", "b"), MatrixCell(0, 1), "example") == [
        "a, predicted as b",
        "float: 2 examples; quantized: 4 examples (+2)",
    ]
    assert cell_lines(confusion, ("a", "b"), MatrixCell(1, 0), "pixel")[1].endswith("(−1)")


def test_of_many_classes_those_that_change_are_drawn():
    number = MOST_CLASSES + 6
    before = np.eye(number, dtype=np.int64) * 5
    after = before.copy()
    after[number - 1, 0], after[number - 1, number - 1] = 2, 3
    table = confusion_table(Confusion(before, after), [str(i) for i in range(number)], DIFFERENCE)
    assert len(table.names) == MOST_CLASSES and table.omitted == 6 and {"0", str(number - 1)} <= set(table.names)
    assert "6 others" in omitted_text(table)
    layout = ConfusionLayout(table, (300.0, 300.0), METRICS)
    assert layout.cell_at(*layout.center(MatrixCell(number - 1, 0))) == MatrixCell(number - 1, 0)


def test_a_regression_is_drawn_over_its_targets():
    found = of_task(REGRESSION)
    scene = scatter_scene((400.0, 300.0), METRICS, found, 1, "target 2", selected=4)
    order = np.argsort(found.targets[:, 1])
    assert np.all(np.diff(scene.places[order, 0]) > 0)
    order = np.argsort(found.quantized[:, 1])
    assert np.all(np.diff(scene.places[order, 1]) < 0), "up is more"
    (mark, *_) = [shape for shape in scene.shapes if isinstance(shape, Rects) and shape.radius]
    assert ((mark.left + mark.right) / 2)[0] == pytest.approx(scene.places[4, 0])
    assert any(text.startswith("−") for text in texts(scene.shapes)), "negative targets have labels, too"


def test_a_summary_counts_flips_and_names_the_score():
    found = of_task(CLASSIFICATION)
    comparison = compare(found)
    state = predictions(found, held_out=100)
    text = summary_text(state, found, comparison)
    flipped = int(comparison.flipped.sum())
    assert text.startswith(f"{flipped} of the first 40 held-out examples flipped: ") and "; accuracy " in text
    numbers = [int(word) for word in text.split(": ")[1].split(";")[0].replace(",", "").split() if word.isdigit()]
    assert sum(numbers) == flipped
    regression = of_task(REGRESSION)
    assert "worse; RMSE " in summary_text(predictions(regression), regression, compare(regression))


@pytest.mark.parametrize("task", TASKS)
def test_tables_have_a_row_for_each_example_and_group(task):
    found = of_task(task)
    comparison = compare(found)
    columns = examples_table(found, comparison, [5, 2])
    assert columns["example"] == [5, 2] and all(len(column) == 2 for column in columns.values())
    assert csv_text(columns).splitlines()[0].startswith("example,target,float,quantized,")
    assert all(len(group_cells(found, score)) == 5 for score in group_scores(found))
    assert example_lines(found, comparison, 5)[0].startswith("Example 5: ")


def test_thumbnails_are_those_of_the_held_out_examples():
    images = np.random.RandomState(0).randint(0, 256, (80, 6, 6, 3)).astype(np.uint8)
    data = from_arrays("a", "test", (images[:10], np.arange(10) % 2), (images[10:], np.arange(70) % 2))
    found = pictures_of_examples(data, 66)
    np.testing.assert_array_equal(found.images, images[10:76])
    assert found.number == 66 and found.ratio == 1.0 and found.note == ""


def test_rows_of_features_are_curves_from_0_to_1():
    rows = np.random.RandomState(0).randn(50, 5).astype(np.float32) * [1, 10, 100, 1000, 0]
    data = from_arrays("a", "test", (rows, np.arange(50) % 2), validation_fraction=0.4)
    found = pictures_of_examples(data, 20)
    assert found.images is None and found.curves.shape == (20, 5, 1) and "relative to its range" in found.note
    assert found.curves[:, :4].min(axis=0).max() == 0.0 and found.curves[:, :4].max(axis=0).min() == 1.0
    long = from_arrays(
        "a", "test", (np.random.RandomState(0).rand(50, 600), np.arange(50) % 2), validation_fraction=0.4
    )
    reduced = pictures_of_examples(long, 4)
    assert reduced.curves.shape == (4, 200, 1) and "mean of 3 values" in reduced.note


def test_of_several_inputs_an_image_is_shown():
    random = np.random.RandomState(0)
    given = {"age": random.rand(20, 1), "photo": random.randint(0, 256, (20, 5, 5, 1)).astype(np.uint8)}
    data = from_inputs("two", "a test", (given, np.arange(20) % 2), validation_fraction=0.5)
    found = pictures_of_examples(data, 10)
    assert found.images.shape == (10, 5, 5) and "the input photo" in found.note
