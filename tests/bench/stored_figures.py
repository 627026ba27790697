"""Figures that are kept in the repository, and the documents with their tables."""

import json
from pathlib import Path
from typing import Any, Dict


def read(path: Path) -> Dict[str, Any]:
    """Return the stored figures by name; none, if there is no such file."""
    return {} if not path.exists() else json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, figures: Dict[str, Any]) -> None:
    """Store figures, one on each line, in the order of their names."""
    lines = [f"{json.dumps(name)}: {json.dumps(figures[name])}" for name in sorted(figures)]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def with_table(text: str, begin: str, end: str, table: str) -> str:
    """Return a text in which ``table`` stands between the lines ``begin`` and ``end`` that it contains once."""
    before, rest = text.split(begin)
    return before + begin + table + end + rest.split(end)[1]
