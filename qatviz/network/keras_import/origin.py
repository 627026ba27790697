"""Origin of an imported network, with which trained weights can be exported to the Keras model."""

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Optional, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.code import contains_code
from qatviz.network.keras_import.records import Path


@dataclass(frozen=True)
class KerasOrigin:
    """Keras model that a network was imported from.

    Attributes
    ----------
    config : str or None
        Keras' description of the model, JSON (``model.to_json()``); None if it is not known.
    arrays : dict of str to tuple
        For each parameter ``layer.parameter`` from Keras: the path of its Keras layer through the enclosing models, and
        Keras' name of the array, such as ``{"conv.weights": (("base", "conv"), "kernel")}``, in the form of
        :func:`.array_parts.array_part`.
    has_code : bool
        True if ``config`` contains or may contain Python code (Lambda layers), which Keras runs when it builds the
        model. Always derived from ``config`` as well, since a stored record cannot be trusted.
    frozen : frozenset of str
        Parameters ``layer.parameter`` that are not trainable in Keras, and in a run not by a setting either.
    """

    config: Optional[str]
    arrays: Dict[str, Tuple[Path, str]]
    has_code: bool = False
    frozen: FrozenSet[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_code", self.config is not None and (self.has_code or contains_code(self.config)))

    def to_dict(self) -> Dict[str, Any]:
        """Return the origin as JSON-serializable data; `from_dict` is the inverse."""
        record: Dict[str, Any] = {
            "config": self.config,
            "has_code": self.has_code,
            "arrays": {name: [list(path), array] for name, (path, array) in self.arrays.items()},
        }
        return dict(record, frozen=sorted(self.frozen)) if self.frozen else record

    @classmethod
    def from_dict(cls, record: Dict[str, Any]) -> "KerasOrigin":
        """Return the origin of a record that `to_dict` returned; raise a `NetworkError` if the record is invalid."""
        try:
            arrays = {
                str(name): (tuple(map(str, path)), str(array)) for name, (path, array) in record["arrays"].items()
            }
            config = record["config"]
            frozen = frozenset(map(str, record.get("frozen", ())))
            return cls(None if config is None else str(config), arrays, bool(record["has_code"]), frozen)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NetworkError(
                f"record of the Keras model: {error!r}; expected: config, arrays and has_code as to_dict returns them"
            ) from error
