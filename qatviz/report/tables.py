"""Tables, lists and foldable parts of the report as markup."""

from typing import Any, Iterable, NamedTuple, Optional, Sequence, Union

from qatviz.report.markup import Content, Markup, element, join


class Cell(NamedTuple):
    """Table cell with a style: classes of the style sheet."""

    content: Content
    style: Optional[str] = None


class Head(NamedTuple):
    """Column header; ``about`` is its tooltip, and the cells of the column are right-aligned if ``is_number``."""

    text: str
    about: str = ""
    is_number: bool = False


Row = Sequence[Union[Cell, Content]]
Heads = Sequence[Union[str, Head]]


def table(
    caption: str,
    heads: Heads,
    rows: Iterable[Row],
    style: Optional[str] = None,
) -> Markup:
    """Return a table, which scrolls if it is wider than the page; the first cell of each row is its header."""
    columns = [head if isinstance(head, Head) else Head(head) for head in heads]
    top = element(
        "tr", [element("th", _head(head), scope="col", class_="number" if head.is_number else None) for head in columns]
    )
    body = [
        element("tr", [_cell(cell, head, place == 0) for place, (cell, head) in enumerate(zip(row, columns))])
        for row in rows
    ]
    return scrolling(
        caption,
        element("table", element("caption", caption), element("thead", top), element("tbody", body), class_=style),
    )


def scrolling(label: str, content: Markup) -> Markup:
    """Return content in a region that scrolls if it is wider than the page, also with the arrow keys."""
    return element("div", content, class_="wide", tabindex="0", role="region", aria_label=label)


def _head(head: Head) -> Content:
    """Return the content of a column header."""
    return element("abbr", head.text, title=head.about) if head.about else head.text


def _cell(cell: Any, head: Head, is_first: bool) -> Markup:
    """Return a cell as an element."""
    if not isinstance(cell, Cell):
        cell = Cell(cell)
    style = " ".join(filter(None, ("number" if head.is_number else "", cell.style))) or None
    if is_first:
        return element("th", cell.content, scope="row", class_=style)
    return element("td", cell.content, class_=style)


def facts(pairs: Iterable[Sequence[Content]]) -> Markup:
    """Return a list of terms and their values."""
    return element("dl", [join(element("dt", term), element("dd", what)) for term, what in pairs], class_="facts")


def folded(summary: Content, *content: Content) -> Markup:
    """Return content that is shown after a click on its summary, and always in print if the browser supports it."""
    return element("details", element("summary", summary), *content)


def bullets(items: Sequence[Content]) -> Optional[Markup]:
    """Return a bulleted list; None without items."""
    return element("ul", [element("li", item) for item in items]) if items else None
