"""Section of a report on the predictions in float and quantized: confusion matrices, scores by class, flips."""

from typing import List, Optional

from qatviz.analysis.predictions import (
    Comparison,
    OutputPredictions,
    Predictions,
    compare,
    confusion_of,
    group_scores,
    ordered,
)
from qatviz.presentation.confusion import DIFFERENCE, KINDS, ConfusionLayout, confusion_table, omitted_text
from qatviz.presentation.example_pictures import ExamplePictures, PicturedPredictions
from qatviz.presentation.gallery import GalleryLayout, Shown
from qatviz.presentation.prediction_texts import (
    EFFECT_HELP,
    MARGIN_HELP,
    column_heads,
    example_lines,
    flipped_word,
    group_cells,
    group_heads,
    group_name,
    summary_text,
)
from qatviz.presentation.scatter import scatter_scene
from qatviz.presentation.scene import SMALL, Scene, Shape
from qatviz.report.markup import Markup, element, join
from qatviz.report.svg import FONTS, svg
from qatviz.report.tables import Head, scrolling, table
from qatviz.task import REGRESSION

#: Width of the gallery, sizes of a matrix and of the plot of a regression, px.
_WIDTH, _MATRIX, _SCATTER = 760.0, (370.0, 300.0), (560.0, 380.0)
#: Maximum number of examples, of classes, and of numbers to predict that are plotted.
_EXAMPLES, _GROUPS, _NUMBERS = 16, 20, 4


def section(pictured: PicturedPredictions) -> Markup:
    """Return the section: for each output a summary, matrices or plots, scores by class, and flipped examples."""
    found = pictured.found
    return join(*(_of_output(found, output, pictured.pictures) for output in found.outputs))


def _of_output(state: Predictions, found: OutputPredictions, pictures: Optional[ExamplePictures]) -> Markup:
    title = element("h3", found.output) if found.output else None
    if found.refusal:
        return join(title, element("p", found.refusal))
    comparison = compare(found)
    about = f"{EFFECT_HELP[found.task]} {MARGIN_HELP[found.task]}"
    return join(
        title,
        element("p", f"Step {state.step:,}: {summary_text(state, found, comparison)}."),
        _plots(found),
        _groups(found),
        _gallery(found, comparison, pictures),
        element("p", about),
    )


def _plots(found: OutputPredictions) -> Markup:
    metrics = FONTS[SMALL]
    if found.task == REGRESSION:
        names = [group_name(found, index) for index in range(found.targets.shape[1])][:_NUMBERS]
        scenes = [scatter_scene(_SCATTER, metrics, found, index, name) for index, name in enumerate(names)]
        return join(
            *(
                svg(Scene(*_SCATTER, scene.shapes, f"Predictions and errors over {name}"), "chart")
                for scene, name in zip(scenes, names)
            )
        )
    confusion = confusion_of(found)
    if confusion is None:
        return join()
    pictures: List[Markup] = []
    for kind in KINDS:
        shown = confusion_table(confusion, found.names, kind)
        layout = ConfusionLayout(shown, _MATRIX, metrics)
        words = "quantized minus float" if kind == DIFFERENCE else f"{kind.lower()}"
        scene = Scene(_MATRIX[0], layout.bottom + 4, layout.shapes(), f"Confusion matrix, {words}")
        caption = element("figcaption", words.capitalize())
        pictures.append(element("figure", caption, svg(scene, "chart"), class_="matrix"))
    note = omitted_text(shown)
    return join(element("div", *pictures, class_="matrices"), element("p", note) if note else None)


def _groups(found: OutputPredictions) -> Markup:
    scores = group_scores(found)
    nouns = group_heads(found.task).many
    heads = [Head(title, about, place > 0) for place, (title, about) in enumerate(column_heads(found.task))]
    rows = [group_cells(found, score) for score in scores[:_GROUPS]]
    more = f"The {_GROUPS} of {len(scores):,} {nouns} that lose most." if len(scores) > _GROUPS else ""
    return join(table(f"Scores by {nouns}", heads, rows), element("p", more) if more else None)


def _gallery(found: OutputPredictions, comparison: Comparison, pictures: Optional[ExamplePictures]) -> Markup:
    indices = ordered(comparison, only_flipped=True)
    word = flipped_word(found.task)
    if not len(indices):
        return element("p", f"No example is {word}.")
    shown = Shown(found, comparison, indices[:_EXAMPLES], pictures)
    layout = GalleryLayout(shown, _WIDTH, FONTS[SMALL])
    shapes: List[Shape] = layout.shapes(0, layout.rows)
    title = f"The {len(shown.indices)} {word} examples that lose the largest margin"
    texts = "; ".join(", ".join(example_lines(found, comparison, int(index))) for index in shown.indices)
    scene = Scene(_WIDTH, layout.rows * layout.row, shapes, title, texts)
    return scrolling(title, join(element("p", title + ":"), svg(scene, "chart")))
