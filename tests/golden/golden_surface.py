"""What others build on: options of commands, keys of JSON output, names of the API."""

import inspect
import re
from pathlib import Path
from typing import Any, Dict, List

from golden_cases import EXAMPLES, HERE, data_of
from golden_content import schema_of
from golden_program import Program

STORED = HERE / "surface.json"
COMMANDS = (
    "train",
    "show",
    "networks",
    "data",
    "settings",
    "presets",
    "window",
    "open",
    "screenshot",
    "tensorboard",
    "report",
    "export",
)


def options(program: Program) -> Dict[str, Dict[str, str]]:
    """Return, for each command, what the usage lines of ``--help`` list: options (``"value"``, ``"switch"`` or their
    choices) and positional arguments."""
    return {command: _usage(program.call(*command.split(), "--help").out, command) for command in ("", *COMMANDS)}


def _usage(text: str, command: str) -> Dict[str, str]:
    usage = " ".join(text.split("\n\n", maxsplit=1)[0].split())[len(f"usage: qatviz {command}") :]
    found = {}
    for name, value in re.findall(r"(?<![\w-])(--?[a-z][\w-]*)(?: ([^\]\s]+))?", usage):
        found[name] = value if value.startswith("{") else "value" if value else "switch"
    # Positional arguments are left when options are gone, which are in brackets or, if they are required, are not.
    for word in re.sub(r"\[-(?:[^\[\]]|\[[^\]]*\])*\]|--[\w-]+ \S+", "", usage).split():
        found[word] = "positional"
    return found


def json_calls(records: Path, folder: Path) -> Dict[str, List[Any]]:
    """Return the calls with JSON output; those of `export` are compared with its files, except those here."""
    train = ["train", "--network", "lenet", "--steps", 2, "--batch-size", 4, "--quiet", "--json"]
    return {
        "networks": ["networks", "--json"],
        "networks lenet": ["networks", "lenet", "--json"],
        "data": ["data", "--json"],
        "data shapes": ["data", data_of("shapes"), "--json"],
        "data pairs": ["data", data_of("pairs"), "--json"],
        "settings": ["settings", "--json"],
        "presets": ["presets", "--json"],
        "show shapes": ["show", records / "shapes", "--json"],
        "show pairs": ["show", records / "pairs", "--json"],
        "report": ["report", records / "shapes", "--out", folder / "report.html", "--json"],
        "train": [*train, "--data", data_of("shapes")],
        "train recorded": [*train, "--data", data_of("shapes"), "--evaluation-interval", 1, "--out", folder / "run"],
        "train regression": [*train, "--data", data_of("pairs"), "--preset", "uint8-affine"],
        "export": [
            "export",
            records / "shapes",
            "--data",
            data_of("shapes"),
            "--format",
            "npz",
            "--verify",
            EXAMPLES,
            "--out",
            folder / "shapes.npz",
            "--json",
        ],
        "export float": [
            "export",
            records / "shapes",
            "--data",
            data_of("shapes"),
            "--format",
            "frozen",
            "--form",
            "float",
            "--verify",
            EXAMPLES,
            "--out",
            folder / "shapes.pb",
            "--json",
        ],
        "export regression": [
            "export",
            records / "pairs",
            "--data",
            data_of("pairs"),
            "--format",
            "npz",
            "--verify",
            EXAMPLES,
            "--out",
            folder / "pairs.npz",
            "--json",
        ],
        "export encodings": [
            "export",
            records / "pairs",
            "--data",
            data_of("pairs"),
            "--format",
            "encodings",
            "--verify",
            EXAMPLES,
            "--out",
            folder / "pairs.encodings",
            "--json",
        ],
    }


def json_schema(program: Program, call: List[Any]) -> Any:
    """Return keys and types of what a call puts out."""
    answer = program.call(*call)
    assert answer.code == 0, answer.err
    return schema_of(answer.json)


def json_schemas(program: Program, records: Path, folder: Path) -> Dict[str, Any]:
    """Return `json_schema` of all calls."""
    return {name: json_schema(program, call) for name, call in json_calls(records, folder).items()}


def api() -> Dict[str, Any]:
    """Return the names of `qatviz` and `qatviz.quant` with their parameters and defaults, and the members of what
    `qatviz.train` returns."""
    import qatviz
    import qatviz.quant

    found: Dict[str, Any] = {"qatviz": sorted(qatviz.__all__), "qatviz.quant": sorted(qatviz.quant.__all__)}
    for module in (qatviz, qatviz.quant):
        for name in sorted(module.__all__):
            parameters = inspect.signature(getattr(module, name)).parameters.values()
            found[f"{module.__name__}.{name}"] = [_parameter(parameter) for parameter in parameters]
    return found


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
    return stars + parameter.name + default
