"""Names of the calls of a model's layers, one of which may be called more than once."""

from typing import Dict, Iterable


class CallNames:
    """Unique names of the calls of the ``layers`` of a model, which are given by name."""

    def __init__(self, layers: Iterable[str]):
        self._taken = set(layers)
        self._counts: Dict[str, int] = {}

    def next(self, name: str) -> str:
        """Return the name of the next call of a layer: the layer's own name for the first."""
        self._counts[name] = count = self._counts.get(name, 0) + 1
        if count == 1:
            return name
        unique = f"{name}_{count}"
        while unique in self._taken:
            unique += "_"
        self._taken.add(unique)
        return unique
