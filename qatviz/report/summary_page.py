"""Summary of a run for a notebook: its state, curves and tensors, without a section for each tensor."""

# Apart from page.py: it reads no files, and a notebook shows it repeatedly while the run trains.

from qatviz.report import headline, sections, tensor_sections
from qatviz.report.markup import Markup, element
from qatviz.report.page import document
from qatviz.report.run_data import RunData
from qatviz.report.tensor_rows import tensor_rows

#: Height of the summary in a notebook, which scrolls within it, px.
HEIGHT = 640


def summary_page(run: RunData, state: str) -> str:
    """Return the summary as an HTML document; ``state`` is that of the run, such as "running"."""
    title, rows = f"{run.network.name} on {run.about.get('data_name', 'an unnamed data set')}", tensor_rows(run)
    return document(
        title,
        element(
            "header",
            element("h1", title),
            element("p", f"{state}, {headline.steps_done(run)}", class_="state"),
            sections.summary(run, rows, are_linked=False),
        ),
        element(
            "main",
            element("section", element("h2", "Course of the run"), sections.course(run)),
            element("section", element("h2", "Tensors"), tensor_sections.tensor_table(run, rows, are_linked=False)),
        ),
    )


def summary_frame(run: RunData, state: str) -> Markup:
    """Return the summary in a frame, so that its style and that of a notebook do not affect each other."""
    return element(
        "iframe",
        srcdoc=summary_page(run, state),
        style=f"width: 100%; height: {HEIGHT}px; border: 0",
        sandbox="",
        title="qatviz",
    )
