"""The report's section on predictions, and the pictures in it."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from prediction_samples import NAMES, TASKS, of_task, predictions
from report_cases import recorded

from qatviz.analysis.predictions import OutputPredictions, compare, confusion_of, ordered
from qatviz.presentation.example_pictures import ExamplePictures, PicturedPredictions
from qatviz.report.page import page
from qatviz.report.png import png
from qatviz.report.predictions import section
from qatviz.report.run_data import read_run
from qatviz.task import CLASSIFICATION, REGRESSION
from qatviz.telemetry.record.run_record import RunRecord

IMAGES = ExamplePictures(np.random.RandomState(0).randint(0, 256, (40, 6, 6, 3)).astype(np.uint8))


def test_the_page_has_the_section_if_predictions_are_known(tmp_path):
    recorded(tmp_path / "run", lambda run: run.advance(3))
    data = read_run(RunRecord.read(tmp_path / "run"))
    assert 'id="predictions"' not in page(data)
    text = page(replace(data, predictions=PicturedPredictions(predictions(), IMAGES)))
    own = text[text.index('id="predictions"') :].split("</section>")[0]
    assert "of 40 held-out examples flipped" in own and own.count("<figure") == 3
    variables = set(re.findall(r"var\((--[\w-]+)\)", own))
    assert not [name for name in variables if f"{name}:" not in text], "colours without a definition"


def test_flipped_examples_have_their_pictures():
    found = of_task(CLASSIFICATION)
    text = str(section(PicturedPredictions(predictions(found), IMAGES)))
    flipped = ordered(compare(found), True)[:16]
    pictures = re.findall(r'href="data:image/png;base64,([^"]+)"', text)
    assert len(pictures) == len(flipped)
    for content, index in zip(pictures, flipped):
        decoded = np.array(Image.open(io.BytesIO(base64.b64decode(content))))
        np.testing.assert_array_equal(decoded, IMAGES.images[index])
    matrix = confusion_of(found).quantized
    assert all(f">{value}<" in text for value in matrix[matrix > 0])


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_a_section_also_without_pictures(task):
    text = str(section(PicturedPredictions(predictions(of_task(task)))))
    assert "Scores by" in text and ("Confusion matrix" in text) == (task in (CLASSIFICATION, "segmentation"))
    assert ("Predictions and errors over target 2" in text) == (task == REGRESSION)


def test_several_outputs_have_titles_and_refusals():
    empty = np.zeros((0, 1), np.float32)
    refused = OutputPredictions("image", REGRESSION, (), empty, empty, np.zeros((0, 1), np.float32), "Too large.")
    text = str(section(PicturedPredictions(predictions(of_task(CLASSIFICATION), refused))))
    assert "<h3>image</h3><p>Too large.</p>" in text and all(name in text for name in NAMES)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 7, 3)])
def test_png_files_are_read_by_others(shape):
    pixels = np.random.RandomState(1).randint(0, 256, shape).astype(np.uint8)
    image = Image.open(io.BytesIO(png(pixels)))
    image.load()
    np.testing.assert_array_equal(np.array(image), pixels)


def test_png_files_of_indices_have_the_colours_of_their_palette():
    random = np.random.RandomState(1)
    pixels, colors = (random.randint(0, 200, shape).astype(np.uint8) for shape in ((4, 7), (200, 4)))
    image = Image.open(io.BytesIO(png(pixels, colors)))
    np.testing.assert_array_equal(np.array(image.convert("RGBA")), colors[pixels])
