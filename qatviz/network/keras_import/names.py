"""Names of imported layers: Keras' names, changed only if they are not valid or not unique in a network."""

import re
from typing import Dict, Iterable, List, Set

from qatviz.network.checks import INPUT
from qatviz.network.keras_import.records import Path

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_/-]")


def valid_name(name: str) -> str:
    """Return `name` with all characters that `qatviz.network.checks.layer_name` does not allow replaced by "_".

    The result begins with a letter: scopes of TensorFlow cannot begin with "_".
    """
    allowed = _NOT_ALLOWED.sub("_", name)
    if not re.match(r"[A-Za-z]", allowed):
        allowed = "layer_" + allowed.lstrip("_-/")
    return allowed + "_" if allowed == INPUT else allowed


class Names:
    """Names of the layers of a network under construction.

    Valid names are assigned first, so that a changed name never displaces them. The name of a layer in a nested model
    is prefixed by the name of the model if another layer has the same name.

    Attributes
    ----------
    by_path : dict of tuple of str to str
        Names by the paths of the Keras layers.
    changes : list of str
        Descriptions of the changes, such as ``"'a.b' to 'a_b'"``.
    """

    def __init__(self, paths: Iterable[Path]):
        self.by_path: Dict[Path, str] = {}
        self.changes: List[str] = []
        self._taken: Set[str] = set()
        for path in sorted(paths, key=lambda path: valid_name(path[-1]) != path[-1]):
            name = valid_name(path[-1])
            if name in self._taken:
                name = valid_name("/".join(path))
            self.by_path[path] = self._reserve(name)
            if self.by_path[path] != path[-1]:
                inside = f" in {'/'.join(path[:-1])!r}" if len(path) > 1 else ""
                self.changes.append(f"{path[-1]!r}{inside} to {self.by_path[path]!r}")

    def derive(self, name: str, suffix: str) -> str:
        """Reserve and return a name for an additional layer that implements a part of the layer `name`."""
        return self._reserve(f"{name}/{suffix}")

    def _reserve(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name
