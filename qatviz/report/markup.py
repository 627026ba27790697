"""HTML and SVG from nested calls. Text that is not yet markup is escaped, so text from files can't become markup."""

import re
from typing import Any, Iterable, List, Union

from markupsafe import Markup, escape

#: Elements without an end tag in HTML.
_VOID = {"br", "hr", "img", "meta", "col"}
#: SVG elements without content here; ``/>`` is valid in stand-alone SVG, HTML and XML.
_SVG_EMPTY = {"path", "line", "rect", "circle", "stop", "image"}
#: Characters that are invalid in XML or unsafe: control characters, unpaired surrogates, and marks of text direction,
#: with which a name could be disguised as another.
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_REPLACEMENT = "\ufffd"


Content = Union[str, None, Iterable["Content"]]

__all__ = ["Content", "Markup", "clean", "element", "escaped", "join", "number"]


def clean(text: str) -> str:
    """Return the text with invalid and unsafe characters replaced."""
    return _UNFIT.sub(_REPLACEMENT, text)


def escaped(text: Any) -> Markup:
    """Return ``text`` escaped, also for an attribute; markup stays as it is."""
    return text if isinstance(text, Markup) else escape(clean(str(text)))


def join(*content: Content) -> Markup:
    """Return the concatenated parts; None is omitted, and text that is not markup is escaped."""
    parts: List[Markup] = []
    for part in content:
        if part is None:
            continue
        parts.append(escaped(part) if isinstance(part, str) else join(*part))
    return Markup("".join(parts))


def element(tag: str, *content: Content, **attributes: Any) -> Markup:
    """Return an element with its content.

    Parameters
    ----------
    tag : str
    content : str, Markup, None, or sequences of these
    attributes
        ``class_`` is ``class``, ``stroke_width`` is ``stroke-width``; None is omitted, True is an empty value. Floats
        have one decimal.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    if tag in _SVG_EMPTY and not content:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{join(*content)}</{tag}>")


def number(value: float) -> str:
    """Return a coordinate with at most one decimal."""
    text = f"{value:.1f}"
    text = text[:-2] if text.endswith(".0") else text
    return "0" if text == "-0" else text


def _value(value: Any) -> str:
    if value is True:
        return ""
    return number(value) if isinstance(value, float) else escaped(value)
