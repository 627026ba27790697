"""One layer of a Keras model, as the functions that import it see it."""

from typing import Any, Dict, Optional

import numpy as np

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.keras_import.config import LayerSpec

_MISSING = object()


class KerasLayer:
    """One Keras layer: its name in the network, its settings, and its arrays by Keras' names (None: not known)."""

    def __init__(self, spec: LayerSpec, name: str, arrays: Optional[Dict[str, np.ndarray]]):
        self.spec, self.name = spec, name
        self._arrays = arrays

    def setting(self, key: str, default: Any = _MISSING) -> Any:
        value = self.spec.config.get(key, default)
        if value is _MISSING:
            raise NetworkError(f"its setting {key} is missing")
        return value

    def flag(self, key: str, default: bool) -> bool:
        return checks.flag("its setting " + key, self.setting(key, default))

    def array(self, key: str) -> Optional[np.ndarray]:
        """None where no weights are known at all."""
        if self._arrays is None:
            return None
        if key not in self._arrays:
            raise NetworkError(
                f"its {key} is missing among its weights, which are {', '.join(sorted(self._arrays)) or 'none'}"
            )
        return self._arrays[key]
