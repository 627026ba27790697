"""The public surface: options of commands, keys of JSON output, names of the API."""

import inspect
import re
from pathlib import Path
from typing import Any, Dict, List

from golden_cases import HERE, Export, data_of
from golden_content import schema_of
from golden_program import Program

STORED = HERE / "surface.json"
COMMANDS = ["train", "advise", "show", "recipe", "networks", "data", "settings", "presets"]
COMMANDS += ["window", "open", "screenshot", "tensorboard", "report", "export", "evaluate"]
COMMANDS += [
    "runs",
    "label",
    "delete",
    "compare",
    "ab",
    "sweep",
    "sensitivity",
    "chip",
    "predictions",
    "drift",
    "channels",
]


def options(program: Program) -> Dict[str, Dict[str, str]]:
    """Return options and positional arguments of each command, as listed by the usage lines of ``--help``.

    Options are ``"switch"`` or ``"value"``, or their choices.
    """
    help_texts = {command: program.call(*command.split(), "--help").out for command in ("", *COMMANDS)}
    usages = {command: _usage(text, command) for command, text in help_texts.items()}
    usages[""].update(dict.fromkeys(re.findall(r"(?m)^    ([a-z]+)\b", help_texts[""]), "command"))
    return usages


def _usage(text: str, command: str) -> Dict[str, str]:
    usage = " ".join(text.split("\n\n", maxsplit=1)[0].split())[len(f"usage: qatviz {command}") :]
    found = {}
    for name, value in re.findall(r"(?<![\w-])(--?[a-z][\w-]*)(?: ([^\]\s]+))?", usage):
        found[name] = value if value.startswith("{") else "value" if value else "switch"
    # The rest are positional arguments. Options are in brackets unless they are required.
    for word in re.sub(r"\[-(?:[^\[\]]|\[[^\]]*\])*\]|--[\w-]+ \S+", "", usage).split():
        found[word] = "positional"
    return found


def json_calls(records: Path, folder: Path) -> Dict[str, List[Any]]:
    """Return calls with JSON output, by name."""
    train = ["train", "--network", "mlp", "--steps", "2", "--batch-size", "4", "--quiet", "--json", "--data"]
    exports = {
        "export": Export("shapes", "", "npz"),
        "export float": Export("shapes", "", "frozen", ("--form", "float")),
        "export regression": Export("pairs", "", "npz"),
        "export encodings": Export("pairs", "", "encodings"),
    }
    return {
        "networks": ["networks", "--json"],
        "networks lenet": ["networks", "lenet", "--json"],
        "data": ["data", "--json"],
        "data shapes": ["data", data_of("shapes"), "--json"],
        "data pairs": ["data", data_of("pairs"), "--json"],
        "settings": ["settings", "--json"],
        "presets": ["presets", "--json"],
        "chip": ["chip", "lenet", "--json"],
        "show shapes": ["show", records / "shapes", "--json"],
        "show pairs": ["show", records / "pairs", "--json"],
        "runs": ["runs", "--folder", records, "--json"],
        "report": ["report", records / "shapes", "--out", folder / "report.html", "--json"],
        "predictions": ["predictions", records / "shapes", "--data", data_of("shapes"), "--json"],
        "evaluate": ["evaluate", records / "shapes", "--data", data_of("shapes"), "--preset", "int4", "--json"],
        "train recorded": [*train, data_of("shapes"), "--evaluation-interval", 1, "--out", folder / "run"],
        "train regression": [*train, data_of("pairs"), "--preset", "uint8-affine"],
        **{name: [*case.arguments(records, folder), "--json"] for name, case in exports.items()},
    }


def json_schema(program: Program, call: List[Any]) -> Any:
    """Return keys and types of the JSON output of a call."""
    answer = program.call(*call)
    assert answer.code == 0, answer.err
    return schema_of(answer.json)


def json_schemas(program: Program, records: Path, folder: Path) -> Dict[str, Any]:
    """Return `json_schema` of all calls."""
    return {name: json_schema(program, call) for name, call in json_calls(records, folder).items()}


def api() -> Dict[str, Any]:
    """Return the public names of `qatviz` and `qatviz.quant` with their parameters and defaults."""
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
