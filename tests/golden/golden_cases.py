"""Stored runs, the exports that are made of them, and where results are stored."""

import json
import shutil
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from golden_program import Program

HERE = Path(__file__).resolve().parent
RECORDS, EXPORTS, TEXTS = HERE / "records", HERE / "exports.json", HERE / "texts"
RUNS = ("shapes", "pairs")
#: Held-out examples that exports are run on.
EXAMPLES = 8

#: A command of its own, which needs neither data nor a checkpoint.
TENSORBOARD = "tensorboard"
_SUFFIXES = {
    "tflite": ".tflite",
    "tflite-fakequant": ".tflite",
    "onnx": ".onnx",
    "onnx-float": ".onnx",
    "npz": ".npz",
    "frozen": ".pb",
    "keras": ".h5",
    "encodings": ".encodings",
    "c": "",
    "savedmodel": "",
    "tflm": "",
}


class Export(NamedTuple):
    """An export of a run's checkpoint; the newest one if ``checkpoint`` is empty."""

    run: str
    checkpoint: str
    format: str
    options: Tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of its folder and of its test."""
        words = (self.run, self.checkpoint, self.format, *tuple(option.lstrip("-") for option in self.options))
        return "-".join(word for word in words if word)

    def arguments(self, records: Path, folder: Path) -> List[Any]:
        """Return the command line that writes it to ``folder``."""
        if self.format == TENSORBOARD:
            return [self.format, records / self.run, "--out", folder / self.run]
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


# The newest checkpoint of `shapes` has symmetric weights of 4 and 8 bits, per channel in convolutions and per tensor in
# dense layers. `wide` has symmetric activations of 12 bits; `channels` has all weights per channel and activations of 6
# bits. The newest checkpoint of `pairs` has asymmetric weights of 5 and 8 bits and activations of 7 and 8 bits.
CASES = {
    export.name: export
    for export in [
        *_exports(
            "shapes",
            "",
            tflite=["", "--softmax", "--plain-codes", "--int4", "--double-rounding"],
            tflm=[""],
            tflite_fakequant=["", "--softmax"],
            onnx=["", "--softmax", "--layout nchw", "--storage int8", "--exact"],
            onnx_float=["", "--layout nchw"],
            c=["", "--pack-int4"],
            npz=[""],
            savedmodel=["", "--form float"],
            frozen=["", "--form exact", "--form float"],
            keras=["", "--rebuild"],
            encodings=["--encodings-version 0.6.1"],
            tensorboard=[""],
        ),
        *_exports("shapes", "good", encodings=["", "--encodings-version 2.0.0"]),
        *_exports("shapes", "wide", tflite=["--int16"], onnx=[""], c=[""], npz=[""]),
        *_exports("shapes", "channels", tflite_fakequant=[""], onnx=[""], npz=[""], encodings=[""]),
        *_exports(
            "pairs",
            "",
            tflite=["", "--double-rounding"],
            tflite_fakequant=[""],
            onnx=["", "--layout nchw", "--exact"],
            onnx_float=["--softmax"],
            c=["", "--library"],
            npz=[""],
            savedmodel=[""],
            frozen=["", "--form exact", "--form float"],
            keras=["", "--rebuild"],
            encodings=["", "--encodings-version 0.6.1"],
            tensorboard=[""],
        ),
    ]
}


def data_of(run: str) -> Path:
    """Return the path of a run's data. The path in its record no longer exists."""
    return RECORDS / (run + ".npz")


def shown(run: str) -> Path:
    """Return the path of the stored output of ``qatviz show --json``."""
    return HERE / f"show-{run}.json"


def unpack_records(folder: Path) -> Path:
    """Unpack the records into a folder and return it."""
    for run in RUNS:
        shutil.unpack_archive(str(RECORDS / (run + ".zip")), str(folder))
    return folder


def export(program: Program, records: Path, case: Export, folder: Path) -> Dict[str, Dict[str, Any]]:
    """Write an export to ``folder`` and return the descriptions of its files (`golden_content.describe`)."""
    answer = program.call(*case.arguments(records, folder))
    assert answer.code == 0, f"{case.name}: {answer.err}"
    return program.describe(folder)


def load(path: Path) -> Any:
    """Return stored JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def store(path: Path, value: Any) -> None:
    """Store JSON in lines that make a readable diff."""
    path.write_text(_lines(value, "") + "\n", encoding="utf-8")


def _lines(value: Any, indent: str) -> str:
    """Return JSON with short values on one line."""
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
