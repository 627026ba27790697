"""The evolution canvas compared with the same curves in pyqtgraph 0.12: 12 series of 200,000 steps, alternating frames.

Both have the same history, the same viewport, no antialiasing, and keep the extremes of steps that share a pixel:
pyqtgraph with its ``peak`` downsampling and clipping to the view, the canvas with the thinned points that the panel
reads. A frame ends when the widget is painted.
"""

import os
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
from interleave import interleaved_times, milliseconds, ratio

POINTS, CURVES, SIZE = 200_000, 12, (1000, 320)
#: A frame after each new step with the whole run in view; one after a zoom to another part of it.
FOLLOW, ZOOM = "curves_frame_ratio/follow", "curves_frame_ratio/zoom"
NAMES = (FOLLOW, ZOOM)
FRAMES, WARM_UP = 40, 4
#: The parts of the run that are zoomed to, relative to its length.
ZOOMS = ((0.0, 1.0), (0.4, 0.9), (0.5, 0.6), (0.52, 0.55), (0.53, 0.535), (0.2, 0.7), (0.0, 0.05), (0.9, 1.0))
_CANVAS, _PYQTGRAPH = "canvas", "pyqtgraph"


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``: our frame time divided by pyqtgraph's."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PyQt5 import QtWidgets

    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    random = np.random.RandomState(0)
    values = np.cumsum(random.randn(POINTS + FRAMES + WARM_UP, CURVES), axis=0).astype(np.float32)
    for name in names:
        # Each appends to its own data.
        contenders = {_CANVAS: _canvas(app, values, name), _PYQTGRAPH: _pyqtgraph(app, values, name)}
        times = interleaved_times(contenders, FRAMES, WARM_UP)
        yield {
            "name": name,
            "unit": "ratio",
            "value": ratio(times, _CANVAS, _PYQTGRAPH),
            "canvas_ms": milliseconds(times, _CANVAS),
            "pyqtgraph_ms": milliseconds(times, _PYQTGRAPH),
            "canvas_p95_ms": float(np.percentile(times[_CANVAS], 95)) * 1e3,
            "pyqtgraph_p95_ms": float(np.percentile(times[_PYQTGRAPH], 95)) * 1e3,
            "points": POINTS,
            "curves": CURVES,
        }


def _view(name: str, frame: int) -> Tuple[float, float]:
    if name == FOLLOW:
        return 0.0, float(POINTS + FRAMES + WARM_UP)
    low, high = ZOOMS[frame % len(ZOOMS)]
    return low * POINTS, high * POINTS


def _canvas(app: Any, values: np.ndarray, name: str) -> Callable[[int], None]:
    from qatviz.gui.panels.evolution.canvas import Canvas
    from qatviz.gui.widgets.theme import DARK, Theme
    from qatviz.presentation.chart import Axis, curve_of
    from qatviz.presentation.palette import series_role
    from qatviz.presentation.scene import Stroke
    from qatviz.presentation.series import SeriesReader, width_for
    from qatviz.telemetry.history import History

    series = [f"s{index}" for index in range(CURVES)]
    history = History({"steps": series}, recent=2 * len(values))
    history.extend("steps", np.arange(POINTS), values[:POINTS])
    reader, axis, canvas = SeriesReader(history), Axis(), Canvas(Theme(DARK))
    canvas.resize(*SIZE)
    canvas.show()

    def draw(frame: int) -> None:
        if name == FOLLOW:
            history.append("steps", POINTS + frame, values[POINTS + frame])
        low, high = _view(name, frame)
        width = width_for(high - low, canvas.width() / 2)
        found = [reader.points(key, low, high, width) for key in series]
        curves = [curve_of(points, points.step, axis, Stroke(series_role(index))) for index, points in enumerate(found)]
        canvas.set_curves(curves, (low, high), axis)
        canvas.show_all_values()
        canvas.grab()
        app.processEvents()

    return draw


def _pyqtgraph(app: Any, values: np.ndarray, name: str) -> Callable[[int], None]:
    import pyqtgraph as pg

    pg.setConfigOptions(antialias=False, useOpenGL=False)
    plot = pg.PlotWidget()
    plot.resize(*SIZE)
    plot.showGrid(x=True, y=True, alpha=0.3)
    plot.setDownsampling(auto=True, mode="peak")
    plot.setClipToView(True)
    steps = np.arange(len(values), dtype=np.float64)
    columns = [np.ascontiguousarray(values[:, index], np.float64) for index in range(CURVES)]
    curves: List[Any] = [
        plot.plot(steps[:POINTS], column[:POINTS], pen=pg.intColor(index)) for index, column in enumerate(columns)
    ]
    plot.show()

    def draw(frame: int) -> None:
        if name == FOLLOW:
            end = POINTS + frame + 1
            for curve, column in zip(curves, columns):
                curve.setData(steps[:end], column[:end])
        low, high = _view(name, frame)
        shown = slice(int(low), min(int(high) + 1, POINTS))
        bounds = [(column[shown].min(), column[shown].max()) for column in columns]
        plot.setRange(xRange=(low, high), yRange=(min(b[0] for b in bounds), max(b[1] for b in bounds)), padding=0)
        plot.grab()
        app.processEvents()

    return draw
