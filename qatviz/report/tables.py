"""Tables of the report."""

from typing import Any, Iterable, List, NamedTuple, Optional, Sequence, Union

from qatviz.report.markup import Content, Markup, element, join


class Cell(NamedTuple):
    """A cell that is more than text: its style, and whether it heads its row."""

    content: Content
    style: Optional[str] = None
    heads_row: bool = False


class Head(NamedTuple):
    """The header of a column: ``about`` is told when it is pointed at; ``is_number``: its cells are flush right."""

    text: str
    about: str = ""
    is_number: bool = False


def table(
    caption: str,
    heads: Sequence[Union[str, Head]],
    rows: Iterable[Sequence[Union[Cell, Content]]],
    style: Optional[str] = None,
) -> Markup:
    """A table that scrolls where it is wider than the page; the first cell of each row heads it."""
    heads = [head if isinstance(head, Head) else Head(head) for head in heads]
    top = element(
        "tr", [element("th", _head(head), scope="col", class_="number" if head.is_number else None) for head in heads]
    )
    body = [
        element("tr", [_cell(cell, head, place == 0) for place, (cell, head) in enumerate(zip(row, heads))])
        for row in rows
    ]
    return scrolling(
        caption,
        element("table", element("caption", caption), element("thead", top), element("tbody", body), class_=style),
    )


def scrolling(label: str, content: Markup) -> Markup:
    """What scrolls by itself where it is wider than the page, with the arrow keys too."""
    return element("div", content, class_="wide", tabindex="0", role="region", aria_label=label)


def _head(head: Head) -> Content:
    return element("abbr", head.text, title=head.about) if head.about else head.text


def _cell(cell: Any, head: Head, is_first: bool) -> Markup:
    if not isinstance(cell, Cell):
        cell = Cell(cell)
    style = " ".join(filter(None, ("number" if head.is_number else "", cell.style))) or None
    if is_first or cell.heads_row:
        return element("th", cell.content, scope="row", class_=style)
    return element("td", cell.content, class_=style)


def facts(pairs: Iterable[Sequence[Content]]) -> Markup:
    """Terms with what they are."""
    return element("dl", [join(element("dt", term), element("dd", what)) for term, what in pairs], class_="facts")


def folded(summary: Content, *content: Content, is_open: bool = False) -> Markup:
    """What is shown when its summary is clicked; in print always, where the browser knows how."""
    return element("details", element("summary", summary), *content, open=True if is_open else None)


def bullets(items: List[Content]) -> Optional[Markup]:
    """A list; None where there is nothing in it."""
    return element("ul", [element("li", item) for item in items]) if items else None
