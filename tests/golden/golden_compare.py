"""Differences between stored and present results, in lines that tell where they are."""

import math
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, List

#: Number of differences in the message of a failed test.
MOST_LINES = 30
#: Relative tolerance of floating-point numbers that are read from a record.
TOLERANCE = 1e-6


class _Missing:
    def __repr__(self) -> str:
        return "missing"


_MISSING = _Missing()


def file_differences(
    stored: Dict[str, Dict[str, Any]], found: Dict[str, Dict[str, Any]], texts: Path, folder: Path
) -> List[str]:
    """Compare descriptions of files (`golden_content.describe`).

    ``texts`` is the folder of the stored texts, ``folder`` that of the files found.
    """
    lines = [f"{name}: is missing" for name in stored if name not in found]
    lines += [f"{name}: is new" for name in found if name not in stored]
    # Where there is nothing to run a file with, its proof says so and lacks what only running it tells.
    is_proven = [_is_proven(files) for files in (stored, found)]
    for name, before in stored.items():
        is_of_proof = before["kind"] in ("proof", "vectors")
        if name in found and not (is_of_proof and is_proven[0] != is_proven[1]):
            lines += [f"{name}: {line}" for line in _in_file(before, found[name], texts, folder / name)]
    return lines


def _is_proven(files: Dict[str, Dict[str, Any]]) -> bool:
    return not any("not_run" in described["schema"] for described in files.values() if described["kind"] == "proof")


def _in_file(stored: Dict[str, Any], found: Dict[str, Any], texts: Path, path: Path) -> List[str]:
    lines = [
        f"{key} is {found.get(key)!r} instead of {stored[key]!r}"
        for key in ("kind", "bytes")
        if key in stored and found.get(key) != stored[key]
    ]
    if "schema" in stored:
        lines += schema_differences(stored["schema"], found.get("schema"))
    before, now = stored.get("parts", {}), found.get("parts", {})
    lines += [
        f"part {name!r} is {now.get(name, 'missing')} instead of {before.get(name, 'missing')}"
        for name in dict.fromkeys([*before, *now])
        if before.get(name) != now.get(name)
    ]
    if not lines and list(before) != list(now):
        lines.append(f"its parts come in the order {list(now)} instead of {list(before)}")
    if stored.get("sha256") != found.get("sha256"):
        lines += _first_line(texts / stored["text"], path) if "text" in stored else []
        lines = lines or ["its bytes differ, but none of the parts that are compared one by one"]
    return lines


def _first_line(stored: Path, found: Path) -> List[str]:
    texts = [path.read_bytes().decode("utf-8", "replace").splitlines(keepends=True) for path in (stored, found)]
    for number, (before, now) in enumerate(zip_longest(*texts, fillvalue=""), 1):
        if before != now:
            return [f"line {number} is {now!r} instead of {before!r}"]
    return []


def schema_differences(stored: Any, found: Any, where: str = "") -> List[str]:
    """Compare keys and types of JSON (`golden_content.schema_of`)."""
    if isinstance(stored, dict) and isinstance(found, dict):
        lines = [f"{where or 'JSON'} lacks the key {key!r}" for key in stored if key not in found]
        lines += [f"{where or 'JSON'} has the new key {key!r}" for key in found if key not in stored]
        for key in stored:
            if key in found:
                lines += schema_differences(stored[key], found[key], f"{where}.{key}" if where else key)
        return lines
    if isinstance(stored, list) and isinstance(found, list) and stored and found:
        return schema_differences(stored[0], found[0], where + "[]")
    return [] if stored == found else [f"{where or 'JSON'} is {found!r} instead of {stored!r}"]


def expect_none(differences: List[str], title: str) -> None:
    """Fail with a readable list if there are differences."""
    if differences:
        more = len(differences) - MOST_LINES
        shown = [*differences[:MOST_LINES], *([f"and {more} more"] if more > 0 else [])]
        raise AssertionError("\n  ".join([title, *shown]))


def value_differences(stored: Any, found: Any, where: str = "") -> List[str]:
    """Compare values of JSON, floating-point numbers up to `TOLERANCE`."""
    if isinstance(stored, dict) and isinstance(found, dict):
        keys = dict.fromkeys([*stored, *found])
        pairs = [
            (f"{where}.{key}" if where else key, stored.get(key, _MISSING), found.get(key, _MISSING)) for key in keys
        ]
    elif isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        pairs = [(f"{where}[{index}]", *pair) for index, pair in enumerate(zip(stored, found))]
    elif isinstance(stored, float) and isinstance(found, float):
        is_same = math.isclose(stored, found, rel_tol=TOLERANCE)
        return [] if is_same else [f"{where} is {found!r} instead of {stored!r}"]
    else:
        return [] if stored == found else [f"{where or 'JSON'} is {found!r} instead of {stored!r}"]
    return [line for place, before, now in pairs for line in value_differences(before, now, place)]
