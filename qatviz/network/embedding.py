"""Embedding: rows of a table, chosen by the integers of an input."""

from dataclasses import dataclass
from typing import Dict, Sequence

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.layer import Layer, Shapes, setting, sharing

#: Largest number of rows: ids are fed as float32, which holds all integers up to it.
_MOST_IDS = 2**24


@dataclass(frozen=True)
class Embedding(Layer):
    """Rows of a table for the ids in an input of the network; parameter "weights" [input_dim, output_dim].

    The output has one more axis than the ids, with the `output_dim` values of the row. It has the grid of the table,
    which has a single scale, as in TFLite's GATHER.
    """

    input_dim: int = setting(checks.positive_integer)
    output_dim: int = setting(checks.positive_integer)
    shares: str = sharing()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_dim > _MOST_IDS:
            raise checks.invalid_value(self._where("input_dim"), self.input_dim, f"an integer from 1 to {_MOST_IDS}")

    def output_shape(self, input_shapes: Shapes) -> Shape:
        return (*self._input_shape(input_shapes), self.output_dim)

    def parameter_shapes(self, input_shapes: Shapes) -> Dict[str, Shape]:
        self._check_input_count("input_shapes", input_shapes)
        return {"weights": (self.input_dim, self.output_dim)}


def id_counts(layers: Sequence[Layer], inputs: Sequence[str]) -> Dict[str, int]:
    """Return the number of ids that each input of ids may have, by its name: they are 0 to this number less 1.

    Parameters
    ----------
    layers : sequence of Layer
        All layers of a network.
    inputs : sequence of str
        Names of its inputs.

    Raises
    ------
    NetworkError
        If an Embedding has another input than one of the network, or that input is one of another layer, too.
    """
    counts: Dict[str, int] = {}
    for layer in layers:
        if isinstance(layer, Embedding):
            (source,) = layer.inputs
            if source not in inputs:
                allowed = f"an input of the network: {', '.join(map(repr, inputs))}"
                raise checks.invalid_value(f"layer {layer.name!r}: the input of this Embedding", source, allowed)
            counts[source] = min(layer.input_dim, counts.get(source, layer.input_dim))
    for layer in layers:
        for source in layer.inputs:
            if source in counts and not isinstance(layer, Embedding):
                raise NetworkError(
                    f"layer {layer.name!r}: its input {source!r} has the ids of an Embedding; allowed: an input of "
                    "numbers, or the output of the Embedding"
                )
    return counts
