"""Section of a report on the bits of the weights within a budget."""
# Separate like the other sections of a report.

from qatviz.metric import ACCURACY
from qatviz.presentation.budget_texts import TENSOR_HEADS, AdviceTable, cost_text
from qatviz.presentation.pareto import pareto_scene
from qatviz.presentation.scene import SMALL, Scene
from qatviz.report.markup import Markup, element, join
from qatviz.report.svg import FONTS, svg
from qatviz.report.tables import Head, scrolling, table

#: Size of the picture, px.
_WIDTH, _HEIGHT = 760.0, 240.0


def section(advice: AdviceTable) -> Markup:
    """Return the bits with their reasons, their effect, and the predicted optima."""
    about = (
        f"Bits of the weights with the least predicted loss within {cost_text(advice.unit, advice.after.cost)}, at "
        f"{advice.state}. The predicted loss is the sum of the sensitivities of all weights."
    )
    heads = [Head(head.capitalize(), is_number=head in ("bits", "new")) for head in TENSOR_HEADS]
    effect = [Head(head.capitalize(), is_number=place > 0) for place, head in enumerate(advice.effect_heads)]
    return join(
        element("p", about),
        table("Bits by tensor", heads, advice.tensors),
        table(f"Effect: {advice.measured}", effect, advice.effect),
        scrolling("Predicted optima", _picture(advice)),
    )


def _picture(advice: AdviceTable) -> Markup:
    size, axis = (_WIDTH, _HEIGHT), ACCURACY.axis  # of measurements, of which there are none
    shapes = pareto_scene(size, FONTS[SMALL], advice.unit, "", axis, [], [], advice.front, advice.after).shapes
    words = "; ".join(f"{cost_text(advice.unit, point.cost)}: {point.loss:.3g}" for point in advice.front)
    return svg(Scene(_WIDTH, _HEIGHT, shapes, "Predicted loss by cost", words), "chart budget")
