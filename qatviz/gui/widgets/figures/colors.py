"""Colours of a saved figure, which may be those of another theme than the window's."""

from contextlib import contextmanager
from typing import Any, Iterator, Optional

from PyQt5 import QtWidgets

from qatviz.gui.widgets.theme import Theme


def context_of(figure: QtWidgets.QWidget) -> Optional[Any]:
    """Return the context of a figure, or of its nearest parent that has one; None if none has."""
    return _nearest(figure, "context")


def theme_of(figure: QtWidgets.QWidget) -> Theme:
    """Return the theme of a figure."""
    found = _nearest(figure, "theme") or _nearest(figure, "_theme")
    return found if isinstance(found, Theme) else Theme()


@contextmanager
def in_colors(figure: QtWidgets.QWidget, name: str) -> Iterator[None]:
    """Give a figure the colours of the theme ``name`` (if empty, those that it has) for the duration of the block.

    Only the figure is changed: the style sheet of the application would lay out the whole window again.
    """
    theme = theme_of(figure)
    before = theme.colors
    own, style_sheet = theme.name, figure.styleSheet()
    # The application's style sheet has given palettes of their own to viewports.
    palettes = [(part, part.palette()) for part in (figure, *figure.findChildren(QtWidgets.QWidget))]
    theme.name = name or own
    if theme.colors is before:
        theme.name = own
        yield
        return
    try:
        figure.setStyleSheet(theme.style_sheet())
        for part, _ in palettes:
            part.setPalette(theme.palette())
        _repaint(figure)
        yield
    finally:
        theme.name = own
        figure.setStyleSheet(style_sheet)
        for part, palette in palettes:
            part.setPalette(palette)
        _repaint(figure)


def _repaint(figure: QtWidgets.QWidget) -> None:
    """Let the figure, or the panel that colours it, use the theme's colours."""
    owner: Optional[QtWidgets.QWidget] = figure
    while owner is not None and not hasattr(owner, "apply_theme"):
        owner = owner.parentWidget()
    if owner is not None:
        owner.apply_theme()
        if owner is not figure and hasattr(owner, "refresh"):
            owner.refresh()


def _nearest(figure: QtWidgets.QWidget, name: str) -> Optional[Any]:
    widget: Optional[QtWidgets.QWidget] = figure
    while widget is not None:
        found = getattr(widget, name, None)
        if found is not None:
            return found
        widget = widget.parentWidget()
    return None
