"""Dialog with the meaning of colours, measures, modes of evaluation and settings."""

from html import escape
from typing import Iterable, Optional, Tuple

from PyQt5 import QtWidgets

from qatviz.gui.widgets.theme import Theme
from qatviz.measures import MEASURES
from qatviz.metric import METRICS
from qatviz.presentation.histogram import LEGEND, sample
from qatviz.presentation.palette import color_of
from qatviz.presentation.scene import Shape
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS

Row = Tuple[str, str, str]


class GlossaryDialog(QtWidgets.QDialog):
    """List of terms by heading; all texts are those of the legend, the measures and the settings."""

    def __init__(self, theme: Theme, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._theme = theme
        self.setWindowTitle("Glossary")
        self.browser = QtWidgets.QTextBrowser()
        self.browser.setAccessibleName("Glossary")
        self.browser.setHtml("".join(self._section(title, rows) for title, rows in self._sections()))
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Close)
        buttons.rejected.connect(self.reject)
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(self.browser)
        column.addWidget(buttons)
        self.resize(640, 560)

    def _sections(self) -> Iterable[Tuple[str, Iterable[Row]]]:
        """Return the headings with their rows: colour (or empty), term, explanation."""
        settings = [*QUANTIZER_SETTINGS.values(), *RUN_SETTINGS.values()]
        return (
            ("Colours of histograms", [(self._color(sample_role(e.key)), e.label, e.about) for e in LEGEND]),
            ("Measures", [("", measure.label, measure.help) for measure in MEASURES.values()]),
            ("Metrics", [("", metric.title, metric.about + ".") for metric in METRICS.values()]),
            ("Settings", [("", setting.label, setting.help) for setting in settings]),
        )

    def _color(self, role: str) -> str:
        return color_of(self._theme.colors, role)

    def _section(self, title: str, rows: Iterable[Row]) -> str:
        parts = [f"<h3>{escape(title)}</h3>"]
        for color, term, about in rows:
            mark = f"<span style='color:{color}'>■</span> " if color else ""
            parts.append(f"<p>{mark}<b>{escape(term)}</b>: {escape(about)}</p>")
        return "".join(parts)


def sample_role(key: str) -> str:
    """Return the colour's role in the sample of an entry of the legend."""
    shape: Shape = sample(key)[0]
    look = getattr(shape, "fill", None) or getattr(shape, "stroke", None)
    assert look is not None, "samples are filled or lines"
    return str(look.role)
