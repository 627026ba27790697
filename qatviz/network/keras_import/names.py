"""Names of imported layers: the user's own, changed only where the rules of a network demand it."""

import re
from typing import Dict, Iterable, List, Set

from qatviz.network.checks import INPUT
from qatviz.network.keras_import.config import Path

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_/-]")


def spelled(name: str) -> str:
    """`name` as `qatviz.network.checks.layer_name` allows it: other characters become "_".

    It begins with a letter, since TensorFlow's scopes, unlike the rule, do not begin with "_".
    """
    allowed = _NOT_ALLOWED.sub("_", name)
    if not re.match(r"[A-Za-z]", allowed):
        allowed = "layer_" + allowed.lstrip("_-/")
    return allowed + "_" if allowed == INPUT else allowed


class Names:
    """The names of a network under construction.

    The names that can stay are given out first, so that none has to yield to a changed or a derived one. A layer of a
    nested model keeps its own name, and gets the model's before it where another layer has that name.
    """

    def __init__(self, paths: Iterable[Path]):
        self.of: Dict[Path, str] = {}
        self.changes: List[str] = []
        self._taken: Set[str] = set()
        for path in sorted(paths, key=lambda path: spelled(path[-1]) != path[-1]):
            name = spelled(path[-1])
            if name in self._taken:
                name = spelled("/".join(path))
            self.of[path] = self._free(name)
            if self.of[path] != path[-1]:
                inside = f" in {'/'.join(path[:-1])!r}" if len(path) > 1 else ""
                self.changes.append(f"{path[-1]!r}{inside} to {self.of[path]!r}")

    def derived(self, name: str, suffix: str) -> str:
        """A name for a layer that stands for a part of the layer `name`."""
        return self._free(f"{name}/{suffix}")

    def _free(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name
