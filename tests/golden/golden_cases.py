"""What is stored, where, and of which calls."""

import json
import math
import shutil
from itertools import zip_longest
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from golden_content import TEXT_BYTES, describe_all
from golden_program import Program

HERE = Path(__file__).resolve().parent
RECORDS, EXPORTS, TEXTS = HERE / "records", HERE / "exports.json", HERE / "texts"
RUNS = ("shapes", "pairs")
#: Held-out examples that exports are run on.
EXAMPLES = 8

_SUFFIXES = {
    "tflite": ".tflite",
    "tflite-fakequant": ".tflite",
    "onnx": ".onnx",
    "npz": ".npz",
    "frozen": ".pb",
    "keras": ".h5",
    "encodings": ".encodings",
    "c": "",
    "savedmodel": "",
}


class Export(NamedTuple):
    """An export: of which run, of which checkpoint (empty: the newest), and how."""

    run: str
    checkpoint: str
    format: str
    options: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its directory, and the name of its test."""
        words = (self.run, self.checkpoint, self.format, *tuple(option.lstrip("-") for option in self.options))
        return "-".join(word for word in words if word)

    def arguments(self, records: Path, folder: Path) -> List[Any]:
        """Return the command line that writes it to ``folder``."""
        checkpoint = ("--checkpoint", self.checkpoint) if self.checkpoint else ()
        return [
            "export",
            records / self.run,
            "--data",
            data_of(self.run),
            "--format",
            self.format,
            *self.options,
            *checkpoint,
            "--verify",
            EXAMPLES,
            "--out",
            folder / (self.run + _SUFFIXES[self.format]),
        ]


def _exports(run: str, checkpoint: str, **formats: List[str]) -> List[Export]:
    return [
        Export(run, checkpoint, form.replace("_", "-"), tuple(options.split()))
        for form, calls in formats.items()
        for options in calls
    ]


# The newest checkpoint of `shapes` has 4 and 8 bits per channel in convolutions and per tensor in dense layers, that of
# `pairs` asymmetric weights of 8 and 5 bits and activations of 7. `wide` has symmetric activations of 12 bits, and
# `channels` all weights per channel and activations of 6 bits.
CASES = {
    export.name: export
    for export in [
        *_exports(
            "shapes",
            "",
            tflite=["", "--softmax", "--plain-codes", "--int4", "--double-rounding"],
            tflite_fakequant=["", "--softmax"],
            onnx=["", "--softmax", "--layout nchw", "--storage int8", "--exact"],
            c=["", "--pack-int4"],
            npz=[""],
            savedmodel=["", "--form float"],
            frozen=["", "--form exact", "--form float"],
            keras=["", "--rebuild"],
            encodings=["--encodings-version 0.6.1"],
        ),
        *_exports("shapes", "good", encodings=["", "--encodings-version 2.0.0"]),
        *_exports("shapes", "wide", tflite=["--int16"], onnx=[""], c=[""], npz=[""]),
        *_exports("shapes", "channels", tflite_fakequant=[""], onnx=[""], c=["--pack-int4"], npz=[""], encodings=[""]),
        *_exports(
            "pairs",
            "",
            tflite=["", "--double-rounding"],
            tflite_fakequant=[""],
            onnx=["", "--layout nchw", "--exact"],
            c=[""],
            npz=[""],
            savedmodel=[""],
            frozen=["", "--form exact", "--form float"],
            keras=["", "--rebuild"],
            encodings=["", "--encodings-version 0.6.1"],
        ),
    ]
}


def data_of(run: str) -> Path:
    """Return the file with a run's data, which is not where the record says."""
    return RECORDS / (run + ".npz")


def shown(run: str) -> Path:
    """Return the file with what ``qatviz show --json`` tells of a run."""
    return HERE / f"show-{run}.json"


def copy_records(folder: Path) -> Path:
    """Unpack the records into a folder and return it."""
    for run in RUNS:
        shutil.unpack_archive(str(RECORDS / (run + ".zip")), str(folder))
    return folder


def export(program: Program, records: Path, case: Export, folder: Path) -> Dict[str, Dict[str, Any]]:
    """Write an export to ``folder`` and return what is in its files."""
    answer = program.call(*case.arguments(records, folder))
    assert answer.code == 0, f"{case.name}: {answer.err}"
    return describe_all(folder)


def load(path: Path) -> Any:
    """Return what is stored as JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def store(path: Path, value: Any) -> None:
    """Store JSON, so that a change of it can be read in a diff."""
    path.write_text(_lines(value, "") + "\n", encoding="utf-8")


def _lines(value: Any, indent: str) -> str:
    """Return JSON in which what fits a line is on one."""
    line, is_flat = json.dumps(value, ensure_ascii=False), not isinstance(value, (dict, list))
    if is_flat or len(line) + len(indent) <= 150 or all(isinstance(item, (int, float)) for item in value):
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_lines(item, deeper)}" for key, item in value.items()]
    else:
        items = [_lines(item, deeper) for item in value]
    left, right = "{}" if isinstance(value, dict) else "[]"
    return f"{left}\n{deeper}" + f",\n{deeper}".join(items) + f"\n{indent}{right}"


def is_stored_text(described: Dict[str, Any]) -> bool:
    """Tell whether a file's text is stored, too."""
    return described["kind"] == "text" and described["bytes"] <= TEXT_BYTES


def differences(stored: Dict[str, Dict[str, Any]], found: Dict[str, Dict[str, Any]], folder: Path) -> List[str]:
    """Return in which files what was found in ``folder`` differs, and where in them."""
    told = [f"{name}: is missing" for name in stored if name not in found]
    told += [f"{name}: is new" for name in found if name not in stored]
    for name, before in stored.items():
        if name in found and {**before, "text": None} != {**found[name], "text": None}:
            told += [f"{name}: {line}" for line in _in_file(before, found[name], folder / name)]
    return told


def _in_file(stored: Dict[str, Any], found: Dict[str, Any], path: Path) -> List[str]:
    told = [
        f"{key} is {found.get(key)!r} instead of {stored[key]!r}"
        for key in ("kind", "bytes")
        if found.get(key) != stored.get(key) and key in stored
    ]
    if "text" in stored:
        told += _first_line(TEXTS / stored["text"], path)
    if "schema" in stored:
        told += schema_differences(stored["schema"], found.get("schema"))
    parts, now = stored.get("parts", {}), found.get("parts", {})
    if list(parts) != list(now) and sorted(parts) == sorted(now):
        told.append(f"the parts come in the order {list(now)} instead of {list(parts)}")
    told += [
        f"part {name!r} is {now.get(name, 'missing')} instead of {parts.get(name, 'missing')}"
        for name in dict.fromkeys([*parts, *now])
        if parts.get(name) != now.get(name)
    ]
    return told or ["its bytes differ, though no part that is told apart here does"]


def _first_line(stored: Path, found: Path) -> List[str]:
    lines = [path.read_bytes().decode("utf-8").splitlines(keepends=True) for path in (stored, found)]
    for number, (before, now) in enumerate(zip_longest(*lines, fillvalue=""), 1):
        if before != now:
            return [f"line {number} is {now!r} instead of {before!r}"]
    return []


def schema_differences(stored: Any, found: Any, where: str = "") -> List[str]:
    """Return where the keys or types of JSON (`golden_content.schema_of`) differ."""
    if isinstance(stored, dict) and isinstance(found, dict):
        told = [f"{where or 'JSON'} has no key {key!r} any more" for key in stored if key not in found]
        told += [f"{where or 'JSON'} has the new key {key!r}" for key in found if key not in stored]
        for key in stored:
            if key in found:
                told += schema_differences(stored[key], found[key], f"{where}.{key}" if where else key)
        return told
    if isinstance(stored, list) and isinstance(found, list) and stored and found:
        return schema_differences(stored[0], found[0], where + "[]")
    return [] if stored == found else [f"{where or 'JSON'} is {found!r} instead of {stored!r}"]


def value_differences(stored: Any, found: Any, where: str = "") -> List[str]:
    """Return where values of JSON differ; of numbers, by more than the last digits."""
    if isinstance(stored, dict) and isinstance(found, dict):
        return [
            line
            for key in dict.fromkeys([*stored, *found])
            for line in value_differences(stored.get(key), found.get(key), f"{where}.{key}" if where else key)
        ]
    if isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        return [
            line
            for index, pair in enumerate(zip(stored, found))
            for line in value_differences(*pair, f"{where}[{index}]")
        ]
    if isinstance(stored, float) and isinstance(found, float) and math.isclose(stored, found, rel_tol=1e-6):
        return []
    return [] if stored == found else [f"{where} is {found!r} instead of {stored!r}"]
