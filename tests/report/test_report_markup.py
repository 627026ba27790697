"""Markup: any text is escaped."""

from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.report.markup import Markup, clean, element, join, number

ANY = st.text(st.characters(), max_size=40)


class Reader(HTMLParser):
    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.text, self.attributes = [], "", {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes.update(attributes)

    def handle_data(self, data):
        self.text += data


@given(ANY, ANY)
def test_any_text_is_escaped_and_read_back_unchanged(text, value):
    html = element("p", text, title=value)
    found = Reader(html)
    assert (found.tags, found.text, found.attributes) == (["p"], clean(text), {"title": clean(value)})
    html.encode("utf-8")


@given(ANY)
def test_pictures_are_valid_xml(text):
    svg = element("svg", element("title", text), element("path", d="M0 0", class_=text), aria_label=text)
    found = ElementTree.fromstring(svg)
    # XML normalizes line ends, and other white space in attributes to blanks.
    assert (found.find("title").text or "") == clean(text).replace("\r\n", "\n").replace("\r", "\n")
    assert [part.tag for part in found.iter()] == ["svg", "title", "path"]


@pytest.mark.parametrize("unfit", ["\x00", "\x1b[31m", "\u202eexe.txt", "\ud800", "\ufffe", "\x85"])
def test_characters_not_allowed_in_html_are_replaced(unfit):
    assert "\ufffd" in clean(unfit) and unfit not in clean("a" + unfit)


def test_parts_are_joined_in_order_and_escaped_once():
    inner = element("b", "1 < 2")
    assert join("<", [inner, None, ["&"]]) == "&lt;<b>1 &lt; 2</b>&amp;"
    assert element("td", join(inner)) == "<td><b>1 &lt; 2</b></td>" and isinstance(join("x"), Markup)


def test_attributes():
    assert element("text", "x", text_anchor="end", class_="a", x=1.25, y=None, open=True) == (
        '<text text-anchor="end" class="a" x="1.2" open="">x</text>'
    )
    assert element("path", d="M0") == '<path d="M0"/>' and element("br") == "<br>" and element("td") == "<td></td>"


@pytest.mark.parametrize(
    "value, text", [(0.0, "0"), (-0.0, "0"), (-0.04, "0"), (1.0, "1"), (10.0, "10"), (-2.26, "-2.3")]
)
def test_coordinates_are_short(value, text):
    assert number(value) == text
