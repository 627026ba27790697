"""Where a network came from, so that what was trained can go back there."""

from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from qatviz.errors import NetworkError
from qatviz.network.keras_import.code import holds_code
from qatviz.network.keras_import.config import Path


@dataclass(frozen=True)
class KerasOrigin:
    """The Keras model of a network.

    Attributes
    ----------
    config : str or None
        Keras' own description of it, JSON (``model.to_json()``); None for a model that could not describe itself.
    arrays : dict of str to tuple
        For every parameter ``layer.parameter`` that comes from Keras: its layer's name behind those of the models
        around it, and Keras' name for it, such as ``{"conv.weights": (("base", "conv"), "kernel")}``.
    has_code : bool
        Whether ``config`` holds Python code (Lambda layers), or what is not known to be none, which is run when Keras
        builds the model. It is found out from ``config``: a record may say what it likes.
    """

    config: Optional[str]
    arrays: Dict[str, Tuple[Path, str]]
    has_code: bool = False

    def __post_init__(self):
        object.__setattr__(self, "has_code", self.config is not None and (self.has_code or holds_code(self.config)))

    def to_dict(self) -> Dict[str, Any]:
        """JSON-able; `from_dict` is the way back."""
        return {
            "config": self.config,
            "has_code": self.has_code,
            "arrays": {name: [list(path), array] for name, (path, array) in self.arrays.items()},
        }

    @classmethod
    def from_dict(cls, record: Dict[str, Any]) -> "KerasOrigin":
        """What `to_dict` wrote; `NetworkError` when it is not that."""
        try:
            arrays = {
                str(name): (tuple(map(str, path)), str(array)) for name, (path, array) in record["arrays"].items()
            }
            config = record["config"]
            return cls(None if config is None else str(config), arrays, bool(record["has_code"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NetworkError(f"the record of the Keras model is incomplete: {error!r}") from error
