"""Picture of a layer's output for one example, in float and quantized."""
# Apart from the panel, as a figure that can be saved by itself.

from typing import Any, Dict, Optional, Sequence

from qatviz.analysis.drift import FeatureMaps
from qatviz.gui.widgets.empty_text import EmptyText
from qatviz.gui.widgets.figures.figure import FigureMenu
from qatviz.gui.widgets.scene_widget import SceneWidget
from qatviz.gui.widgets.theme import Theme
from qatviz.presentation.feature_maps import map_colors, map_shapes, maps_help, maps_values
from qatviz.presentation.figure_caption import Caption
from qatviz.presentation.scene import Shape

#: Tooltip without maps.
_TIP = "Output of the selected layer"


class FeatureMapsView(SceneWidget):
    """Maps of the channels with the largest error, or the values of a vector."""

    def __init__(self, theme: Theme):
        super().__init__(theme)
        self.maps: Optional[FeatureMaps] = None
        self.menu = FigureMenu(self)
        self.empty = EmptyText(self)
        self.setMinimumSize(160, 90)
        self.setToolTip(_TIP)
        self.setAccessibleName("Feature maps")

    def show_maps(self, maps: Optional[FeatureMaps], empty: str = "") -> None:
        """Show maps, or the text ``empty`` without them."""
        self.empty.show_text("" if maps is not None else empty)
        if maps is not self.maps:
            self.maps = maps
            self.setToolTip(_TIP if maps is None else f"{_TIP}. {maps_help(maps)}")
            self.changed()

    def shapes(self, is_figure: bool) -> Sequence[Shape]:
        if self.maps is None:
            return []
        colors = map_colors(self.theme.colors)
        return map_shapes(self.maps, colors, self.width(), self.height(), self.metrics)

    def table(self) -> Dict[str, Any]:
        """Return the values by column."""
        return {} if self.maps is None else maps_values(self.maps)

    def caption(self) -> Caption:
        """Return the caption of a saved figure."""
        maps = self.maps
        if maps is None:
            return Caption("Feature maps")
        return Caption(f"Output of {maps.layer}", (f"held-out example {maps.example:,}, step {maps.step:,}",), [])
