"""Pictures of one layer's output for one example: in float, quantized, and their difference."""

from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from qatviz.analysis.drift import FeatureMaps
from qatviz.measures import MEASURES
from qatviz.number_format import signed
from qatviz.presentation.palette import Palette, blend
from qatviz.presentation.scene import Fill, Image, Line, Metrics, Scene, Shape, Stroke, Text, rects, segments

#: Number of colours of a map; the middle one is that of 0.
COLORS = 255
_MIDDLE = COLORS // 2
TITLES = ("float", "quantized", "difference")
#: Smallest and largest height of a map, and smallest width, px.
_LEAST, _LARGEST = 34.0, 160.0
_PADDING, _GAP = 8.0, 3.0
_FLOAT, _QUANTIZED, _DIFFERENCE, _ZERO = (
    Stroke("float_values", 2.0),
    Stroke("in_range"),
    Fill("clipped"),
    Stroke("line"),
)


def map_colors(palette: Palette) -> np.ndarray:
    """Return the colours of values from the most negative over 0 to the largest: uint8 ``[COLORS, 4]``, RGBA."""
    shades = [place / _MIDDLE for place in range(_MIDDLE + 1)]
    found = [blend(palette.bad, palette.base, share) for share in shades[:0:-1]]
    found += [blend(palette.in_range, palette.base, share) for share in shades]
    channels = [[int(color[start : start + 2], 16) for start in (1, 3, 5)] + [255] for color in found]
    return np.array(channels, np.uint8)


class _Map(NamedTuple):
    """One picture: title, and values in float and quantized, ``[rows, columns]``."""

    title: str
    in_float: np.ndarray
    quantized: np.ndarray


def maps_help(maps: FeatureMaps) -> str:
    """Return how to read the picture of :func:`map_shapes`."""
    if maps.in_float.ndim == 1:
        return "Lines: values in float and quantized. Bars below: their difference, on a scale of its own."
    text = "In float, quantized, and their difference on a scale of its own; blue is positive, orange negative."
    return text if _is_sequence(maps) else f"{text} The channels with the largest error come first, each with its SQNR."


def maps_scene(maps: FeatureMaps, palette: Palette, width: float, height: float, metrics: Metrics) -> Scene:
    """Return the picture of :func:`map_shapes` at most ``height`` high, without the room that it does not need."""
    shapes = map_shapes(maps, map_colors(palette), width, height, metrics)
    bottom = max((shape.bottom for shape in shapes if isinstance(shape, Image)), default=height - _PADDING)
    title = f"Output of {maps.layer} for held-out example {maps.example:,}"
    return Scene(width, bottom + _PADDING, shapes, title, maps_help(maps))


def map_shapes(maps: FeatureMaps, colors: np.ndarray, width: float, height: float, metrics: Metrics) -> List[Shape]:
    """Return the maps of the channels with the largest error that fit; a vector is drawn as lines.

    ``colors`` are those of :func:`map_colors`.
    """
    if maps.in_float.ndim == 1:
        return _vector_shapes(maps, width, height, metrics)
    pictures = _pictures(maps)
    rows, columns = pictures[0].in_float.shape
    size = _fitting(len(pictures), rows / columns, width, height, metrics)
    wide, high = size
    cell, step = len(TITLES) * (wide + _GAP) + _PADDING, high + metrics.height + _PADDING
    across = max(int(width // cell), 1)
    down = max(int((height - metrics.height - _PADDING) // step), 1)
    reach, largest = _reach(maps.in_float), _reach(maps.quantized - maps.in_float)
    shown = pictures[: across * down]
    shapes = _captions(maps, len(shown), len(pictures), largest / reach, width, metrics)
    for index, picture in enumerate(shown):
        x = _PADDING + index % across * cell
        y = metrics.height + _PADDING + index // across * step
        title = metrics.elided(picture.title, cell - _PADDING)
        shapes.append(Text(x, y + metrics.ascent, title))
        difference = picture.quantized - picture.in_float
        for values, scale in ((picture.in_float, reach), (picture.quantized, reach), (difference, largest)):
            top = y + metrics.height
            shapes.append(Image(x, top, x + wide, top + high, _indices(values, scale), colors))
            shapes.append(rects(x - 0.5, top - 0.5, x + wide + 0.5, top + high + 0.5, None, _ZERO))
            x += wide + _GAP
    return shapes


def maps_values(maps: FeatureMaps) -> Dict[str, List[Any]]:
    """Return the values by column, for files: position along each axis, and values."""
    places = np.indices(maps.in_float.shape).reshape(maps.in_float.ndim, -1)
    axes = {1: ("unit",), 3: ("row", "column", "channel")}.get(maps.in_float.ndim)
    names = axes or tuple(f"axis {axis}" for axis in range(maps.in_float.ndim))
    columns: Dict[str, List[Any]] = {name: place.tolist() for name, place in zip(names, places)}
    columns.update({"float": maps.in_float.ravel().tolist(), "quantized": maps.quantized.ravel().tolist()})
    return columns


def _captions(maps: FeatureMaps, shown: int, number: int, share: float, width: float, metrics: Metrics) -> List[Shape]:
    factor = f" × {1 / share:.3g}" if 0 < share < np.inf else ""
    order = "" if number == 1 else f" · {shown} of {number:,} channels"
    parts, room = f"float, quantized, difference{factor}", width - 2 * _PADDING
    texts = (f"{maps.layer}: {parts}{order}", f"{maps.layer}: {parts}", parts)
    text = next((text for text in texts if metrics.width(text) <= room), parts)
    return [Text(_PADDING, metrics.ascent, metrics.elided(text, room), "text")]


def _is_sequence(maps: FeatureMaps) -> bool:
    """Return whether one picture has all channels: each is a row of values."""
    return maps.in_float.ndim != 3 or 1 in maps.in_float.shape[:2]


def _pictures(maps: FeatureMaps) -> List[_Map]:
    """Return one picture for each channel, that of the largest error first; of sequences, one of all channels."""
    in_float, quantized = (np.asarray(part, np.float64) for part in (maps.in_float, maps.quantized))
    if in_float.ndim != 3:  # more or fewer axes: the last is that of channels
        in_float, quantized = (part.reshape(1, -1, part.shape[-1]) for part in (in_float, quantized))
    if _is_sequence(maps):
        return [
            _Map("channels from top to bottom", *(part.reshape(-1, part.shape[-1]).T for part in (in_float, quantized)))
        ]
    power = np.square(quantized - in_float).sum(axis=(0, 1))
    found = []
    for channel in np.argsort(-np.nan_to_num(power), kind="stable").tolist():
        signal = float(np.square(in_float[:, :, channel]).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            level = float(10 * np.log10(signal / power[channel])) if signal or power[channel] else float("inf")
        title = f"{channel}: {MEASURES['sqnr_db'].text(level)}"
        found.append(_Map(title, in_float[:, :, channel], quantized[:, :, channel]))
    return found


def _fitting(number: int, ratio: float, width: float, height: float, metrics: Metrics) -> Tuple[float, float]:
    """Return width and height of a map: the largest with which all fit, at least the smallest."""
    high = _LARGEST
    while high > _LEAST:
        wide = high / ratio
        across = width // (len(TITLES) * (wide + _GAP) + _PADDING)
        down = (height - metrics.height - _PADDING) // (high + metrics.height + _PADDING)
        if across * down >= number:
            break
        high -= 4.0
    wide = max(high / ratio, 4.0)
    most = (width - 2 * _PADDING) / len(TITLES) - _GAP
    return (wide, high) if wide <= most else (max(most, 4.0), max(most * ratio, _LEAST))


def _reach(values: np.ndarray) -> float:
    known = np.abs(values[np.isfinite(values)])
    return float(known.max()) if known.size and known.max() > 0 else 1.0


def _indices(values: np.ndarray, reach: float) -> np.ndarray:
    """Return colour indices, uint8; values that are not finite have the colour of 0."""
    place = np.nan_to_num(values / reach, nan=0.0, posinf=0.0, neginf=0.0)
    return np.rint(_MIDDLE + np.clip(place, -1.0, 1.0) * _MIDDLE).astype(np.uint8)


def _vector_shapes(maps: FeatureMaps, width: float, height: float, metrics: Metrics) -> List[Shape]:
    """Return the values of a vector as lines, and below bars of the difference."""
    in_float, quantized = (np.nan_to_num(np.asarray(part, np.float64)) for part in (maps.in_float, maps.quantized))
    difference, number = quantized - in_float, len(in_float)
    values = np.concatenate([in_float, quantized, [0.0]])
    low, high = float(values.min()), float(values.max())
    labels = [signed(float(end)) for end in (low, high)]
    left = max(map(metrics.width, labels)) + 2 * _PADDING
    top, split, bottom = 2 * metrics.height + _PADDING, 0.62 * height, height - _PADDING
    step = max(width - left - _PADDING, 10.0) / number
    edges = left + np.arange(number + 1) * step
    scale = max(split - top, 10.0) / ((high - low) or 1.0)
    shapes = _captions(maps, 1, 1, 0.0, width, metrics)
    shapes += _legend(left, metrics)
    zero = split + low * scale
    shapes.append(segments(left, zero, edges[-1], zero, _ZERO))
    x = np.repeat(edges, 2)[1:-1]
    shapes += [
        Line(x, split - (np.repeat(part, 2) - low) * scale, stroke) for part, stroke in _lines(in_float, quantized)
    ]
    shapes += [Text(_PADDING, top + metrics.ascent, labels[1]), Text(_PADDING, split, labels[0])]
    reach, room = _reach(difference), max((bottom - split - metrics.height) / 2, 4.0)
    center = bottom - room
    ends = center - difference / reach * room
    gap = min(1.0, step / 4)
    shapes.append(segments(left, center, edges[-1], center, _ZERO))
    shapes.append(rects(edges[:-1], np.minimum(ends, center), edges[1:] - gap, np.maximum(ends, center), _DIFFERENCE))
    shapes.append(Text(_PADDING, center, f"± {signed(reach).lstrip('+')}"))
    return shapes


def _lines(in_float: np.ndarray, quantized: np.ndarray) -> List[Tuple[np.ndarray, Stroke]]:
    return [(in_float, _FLOAT), (quantized, _QUANTIZED)]


def _legend(left: float, metrics: Metrics) -> List[Shape]:
    base, x = metrics.height + metrics.ascent, left
    shapes: List[Shape] = []
    for title, role in zip(TITLES, (_FLOAT.role, _QUANTIZED.role, _DIFFERENCE.role)):
        shapes += [rects(x, base - 7, x + 8, base + 1, Fill(role)), Text(x + 12, base, title)]
        x += 12 + metrics.width(title) + 2 * _PADDING
    return shapes
