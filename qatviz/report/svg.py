"""Convert scenes to SVG; colours are variables of the style sheet, named after their roles."""

import base64
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Union

import numpy as np

from qatviz.presentation.scene import (
    SMALL,
    START,
    TITLE,
    Area,
    Band,
    Curves,
    Fill,
    Fonts,
    Group,
    Image,
    Line,
    Picture,
    Rects,
    Scene,
    Segments,
    Shape,
    Stroke,
    Text,
    estimated_metrics,
)
from qatviz.report.markup import Markup, element, join, number
from qatviz.report.png import png

#: Estimated text sizes in the style sheet's fonts, on the large side so that labels fit into their room.
FONTS: Fonts = {SMALL: estimated_metrics(10.5, 6.2), TITLE: estimated_metrics(12.0, 7.4)}
#: Diameter of the dots at the points of a line, px.
_DOT = 4.0
#: Attributes of rectangles: edges on whole pixels, so that neighbours touch.
_SHARP = {"shape_rendering": "crispEdges"}
#: Default colour of text.
_INK = "muted"


def svg(scene: Scene, style: str) -> Markup:
    """Return the scene as an svg element; ``style`` is its class in the style sheet."""
    label = f"{scene.title}. {scene.description}" if scene.description else scene.title
    return element(
        "svg",
        element("title", scene.title),
        element("desc", scene.description) if scene.description else None,
        shapes_markup(scene.shapes),
        viewBox=f"0 0 {number(scene.width)} {number(scene.height)}",
        width=float(scene.width),
        height=float(scene.height),
        fill=_color(_INK),
        role="img",
        aria_label=label,
        class_=style,
    )


def color_variables(colors: Dict[str, str]) -> str:
    """Return the declarations of the style sheet's variables for colours by their roles."""
    return " ".join(f"{_variable(role)}: {color};" for role, color in colors.items())


def shapes_markup(shapes: Sequence[Shape]) -> Markup:
    """Return the markup of shapes, in order."""
    return join([_MARKUP[type(shape)](shape) for shape in shapes])


def _variable(role: str) -> str:
    return "--" + role.replace("_", "-")


def _color(role: str) -> str:
    return f"var({_variable(role)})"


def _style(fill: Optional[Fill], stroke: Optional[Stroke]) -> Dict[str, Any]:
    """Return the attributes of a shape's fill and stroke."""
    found: Dict[str, Any] = {"fill": "none" if fill is None else _color(fill.role)}
    if fill is not None and fill.opacity != 1:
        found["fill_opacity"] = f"{fill.opacity:.3g}"
    if stroke is not None:
        found["stroke"] = _color(stroke.role)
        if stroke.width != 1:
            found["stroke_width"] = f"{stroke.width:.3g}"
        if stroke.dash:
            found["stroke_dasharray"] = " ".join(map(number, stroke.dash))
        if stroke.opacity != 1:
            found["stroke_opacity"] = f"{stroke.opacity:.3g}"
    return found


def _points(x: np.ndarray, y: np.ndarray) -> List[str]:
    return [f"{number(a)} {number(b)}" for a, b in zip(x.tolist(), y.tolist())]


def _area(area: Area) -> Markup:
    return element("path", d=_steps(area.x, area.y) + "Z", **_style(area.fill, area.stroke))


def _steps(x: np.ndarray, y: np.ndarray) -> str:
    """Return a short path through points that mostly share a coordinate with the previous one, as in histograms."""
    before = number(x[0]), number(y[0])
    path = ["M{} {}".format(*before)]
    for a, b in zip(x[1:].tolist(), y[1:].tolist()):
        here = number(a), number(b)
        if here[1] == before[1]:
            path += [] if here[0] == before[0] else ["H", here[0]]
        else:
            path += ["V", here[1]] if here[0] == before[0] else ["L", " ".join(here)]
        before = here
    return "".join(path)


def _line(line: Line) -> Markup:
    lines, single = [], []
    for run in _runs(~np.isnan(line.y)):
        if run.stop - run.start == 1:
            single.append(run.start)
        else:
            lines.append("M" + "L".join(_points(line.x[run], line.y[run])))
    marked = np.flatnonzero(~np.isnan(line.y)) if line.dots else np.array(single, np.intp)
    look = _style(None, line.stroke)
    dot = _style(None, line.stroke._replace(width=_DOT, dash=()))
    dots = [f"M{point}h0" for point in _points(line.x[marked], line.y[marked])]
    return join(
        element("path", d="".join(lines), stroke_linejoin="round", **look) if lines else None,
        element("path", d="".join(dots), stroke_linecap="round", **dot) if dots else None,
    )


def _band(band: Band) -> Markup:
    parts = []
    for run in _runs(~(np.isnan(band.top) | np.isnan(band.bottom))):
        back = _points(band.x[run], band.bottom[run])[::-1]
        parts.append("M" + "L".join(_points(band.x[run], band.top[run]) + back) + "Z")
    return element("path", d="".join(parts), **_style(band.fill, None)) if parts else join()


def _segments(lines: Segments) -> Optional[Markup]:
    begins, ends = _points(lines.x0, lines.y0), _points(lines.x1, lines.y1)
    path = "".join(f"M{begin}L{end}" for begin, end in zip(begins, ends))
    is_straight = bool(np.all((lines.x0 == lines.x1) | (lines.y0 == lines.y1)))
    sharp = _SHARP if is_straight else {}
    return element("path", d=path, **sharp, **_style(None, lines.stroke)) if path else None


def _rects(found: Rects) -> Markup:
    look = _style(found.fill, found.stroke)
    look.update({"rx": found.radius} if found.radius else _SHARP)
    corners = zip(*(part.tolist() for part in found[:4]))
    if found.radius or len(found.left) == 1:
        return join(
            [
                element("rect", x=left, y=top, width=right - left, height=bottom - top, **look)
                for left, top, right, bottom in corners
            ]
        )
    parts = ["M{0} {1}H{2}V{3}H{0}Z".format(*map(number, edges)) for edges in corners]
    return element("path", d="".join(parts), **look) if parts else join()


def _curves(curves: Curves) -> Markup:
    path: List[str] = []
    for points in curves.routes:
        path.append("M{} {}".format(*map(number, points[0])))
        for (x0, y0), (x1, y1) in zip(points[:-1].tolist(), points[1:].tolist()):
            if x0 == x1 or y0 == y1:
                path.append(f"L{number(x1)} {number(y1)}")
            elif curves.flow_down:
                path.append("C" + " ".join(map(number, (x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1))))
            else:
                path.append("C" + " ".join(map(number, ((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1))))
    return element("path", d="".join(path), **_style(None, curves.stroke))


def _text(text: Text) -> Markup:
    return element(
        "text",
        text.text,
        x=float(text.x),
        y=float(text.y),
        text_anchor=None if text.anchor == START else text.anchor,
        fill=None if text.role == _INK else _color(text.role),
        class_=None if text.font == SMALL else text.font,
    )


def _picture(picture: Picture) -> Markup:
    return _pixels(picture, png(picture.pixels))


def _image(image: Image) -> Markup:
    return _pixels(image, png(image.pixels, image.colors))


def _pixels(place: Union[Image, Picture], file: bytes) -> Markup:
    """Return a PNG file in the rectangle of a shape."""
    return element(
        "image",
        x=float(place.left),
        y=float(place.top),
        width=float(place.right - place.left),
        height=float(place.bottom - place.top),
        href="data:image/png;base64," + base64.b64encode(file).decode("ascii"),
        preserveAspectRatio="none",
        image_rendering="pixelated",
    )


def _group(group: Group) -> Markup:
    title = element("title", group.title) if group.title else None
    content = join(title, shapes_markup(group.shapes))
    if group.clip is None:
        return element("g", content)
    left, top, right, bottom = group.clip
    box = [number(value) for value in (left, top, right - left, bottom - top)]
    # A nested svg element clips to its size.
    return element("svg", content, x=box[0], y=box[1], width=box[2], height=box[3], viewBox=" ".join(box))


def _runs(known: np.ndarray) -> Iterator[slice]:
    """Yield the slices of consecutive known values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    return (slice(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2]))


_MARKUP: Dict[type, Callable[[Any], Optional[Markup]]] = {
    Area: _area,
    Line: _line,
    Band: _band,
    Segments: _segments,
    Rects: _rects,
    Curves: _curves,
    Text: _text,
    Image: _image,
    Picture: _picture,
    Group: _group,
}
