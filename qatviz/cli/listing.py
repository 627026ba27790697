"""``qatviz networks``, ``data``, ``settings`` and ``presets``: lists and descriptions; ``qatviz store``."""

import argparse
import json
import os
import textwrap
from typing import Any, Dict, List, Tuple

from qatviz import data as datasets
from qatviz.cli.messages import OK, print_output
from qatviz.cli.tables import shape, table, terminal_width
from qatviz.cli.train_options import augmentation_of, data_options_of, tasks_of
from qatviz.data.registry import options_for
from qatviz.errors import NetworkError, did_you_mean
from qatviz.network import zoo
from qatviz.network.graph import Network
from qatviz.network.plan import quantization_plan
from qatviz.option_names import option_name
from qatviz.presets import PRESETS
from qatviz.session.augmentation import write_augmentation
from qatviz.session.progress import shown_fraction
from qatviz.setting_declaration import Setting
from qatviz.settings import KINDS, QUANTIZER_SETTINGS, RUN, RUN_SETTINGS, setting_text


def networks(options: argparse.Namespace) -> int:
    """List the zoo, or the layers and quantized tensors of one network.

    Raises
    ------
    NetworkError
        If there is no such network, or it does not support such examples.
    """
    if options.name is not None and options.name not in zoo.NETWORKS:
        raise NetworkError(
            f"there is no network {options.name!r}; there are "
            f"{', '.join(zoo.NETWORKS)}.{did_you_mean(options.name, zoo.NETWORKS)}"
        )
    input_shape = shape_of(options.input_shape)
    names = list(zoo.NETWORKS) if options.name is None else [options.name]
    rows = [_network(zoo.build(name, input_shape, options.classes), options.name is not None) for name in names]
    if options.json:
        print_output(json.dumps(rows if options.name is None else rows[0]))
    elif options.name is None:
        print_output(
            table(
                ("name", "parameters", "MACs", "quantized", "description"),
                [
                    [
                        row["name"],
                        f"{row['parameters']:,}",
                        f"{row['macs']:,}",
                        f"{row['quantized_tensors']} tensors",
                        row["description"],
                    ]
                    for row in rows
                ],
                (0, 4),
            )
        )
        print_output(f"\nfor examples of {shape(input_shape)} and {options.classes} classes")
    else:
        _print_network(rows[0])
    return OK


def data(options: argparse.Namespace) -> int:
    """Describe a data set, or list the named data sets and the formats.

    Raises
    ------
    DataError
        If the data can't be used.
    """
    if options.source is None:
        rows = [[named.name, named.help] for named in datasets.NAMED_DATA]
        formats = [[known.name, known.help] for known in datasets.FILE_FORMATS]
        if options.json:
            print_output(json.dumps({"names": dict(rows), "formats": dict(formats)}))
        else:
            print_output(
                table(("name", "description"), rows, (0, 1)) + "\n\n" + table(("file", "description"), formats, (0, 1))
            )
        return OK
    dataset = _loaded(options)
    values = data_options_of(options)
    used = {name: getattr(values, name) for name in options_for(dataset, options.source)}
    summary = dict(datasets.describe(dataset), options=used)
    if options.augment is not None:
        number = write_augmentation(dataset, augmentation_of(options), options.seed, options.augment)
        summary["augmentation"] = {"picture": options.augment, "examples": number}
    if options.json:
        print_output(json.dumps(summary))
        return OK
    print_output(datasets.format_description(summary))
    if options.augment is not None:
        print_output(f"augmented  {number} examples, before and after: {options.augment}")
    if used:
        print_output(
            "options    " + ", ".join(f"{option_name(name)} {value or '(none)'}" for name, value in used.items())
        )
    return OK


def store(options: argparse.Namespace) -> int:
    """Store a data set in files.

    Raises
    ------
    QatvizError
        If the data can't be used, or the directory exists or can't be written.
    """
    dataset = _loaded(options)
    with shown_fraction("storing") as show:
        datasets.write_store(dataset, os.path.expanduser(options.out), show)
    print_output(f"{options.out}: {len(dataset.x_train):,} examples for training, {len(dataset.x_test):,} held out")
    return OK


def _loaded(options: argparse.Namespace) -> datasets.Dataset:
    return datasets.load(options.source, scaling=options.scaling, options=data_options_of(options), **tasks_of(options))


def settings(options: argparse.Namespace) -> int:
    """Describe every setting."""
    if options.json:
        print_output(
            json.dumps([_setting(setting) for setting in [*QUANTIZER_SETTINGS.values(), *RUN_SETTINGS.values()]])
        )
        return OK
    print_output("settings of each quantizer: LAYER.weights.NAME, LAYER.activations.NAME\n")
    for setting in QUANTIZER_SETTINGS.values():
        _print_setting(setting.name, setting)
    print_output("settings of the run: run.NAME, or an option of qatviz train\n")
    for setting in RUN_SETTINGS.values():
        _print_setting(f"{RUN}.{setting.name}", setting)
    return OK


def presets(options: argparse.Namespace) -> int:
    """List the presets."""
    rows = {
        name: dict(preset._asdict(), per_channel_kinds=list(preset.per_channel_kinds))
        for name, preset in PRESETS.items()
    }
    for name, preset in PRESETS.items():
        rows[name].update(ends=dict(preset.ends), run=dict(preset.run))
    if options.json:
        print_output(json.dumps(rows))
        return OK
    for name, row in rows.items():
        print_output(f"{name}: {row['description']}")
        for part in (*KINDS, "ends", "run"):
            pairs = [f"{key}={setting_text(value)}" for key, value in row[part].items()]
            if pairs or part in KINDS:
                print_output(f"  {part:<12} {', '.join(pairs)}")
        if row["per_channel_kinds"]:
            print_output(f"  {'per_channel':<12} {', '.join(row['per_channel_kinds'])}")
    return OK


def _network(network: Network, with_layers: bool) -> Dict[str, Any]:
    tensors = quantization_plan(network).tensors
    row = {
        "name": network.name,
        "description": zoo.NETWORKS[network.name].description,
        "input_shape": list(network.input_shape),
        "num_classes": network.num_outputs,
        "parameters": network.parameter_count,
        "macs": network.macs,
        "quantized_tensors": len(tensors),
    }
    if with_layers:
        row["layers"] = [
            dict(layer._asdict(), inputs=list(layer.inputs), output_shape=list(layer.output_shape))
            for layer in network.summary()
        ]
        row["tensors"] = [
            {"name": t.name, "kind": t.kind, "shape": list(t.shape), "num_channels": t.num_channels} for t in tensors
        ]
    return row


def _print_network(row: Dict[str, Any]) -> None:
    print_output(f"{row['name']}: {row['description']}\n")
    layers: List[List[str]] = [["input", "", "", shape(row["input_shape"]), "", ""]]
    layers += [
        [
            layer["name"],
            layer["kind"],
            ", ".join(layer["inputs"]),
            shape(layer["output_shape"]),
            f"{layer['parameters']:,}",
            f"{layer['macs']:,}",
        ]
        for layer in row["layers"]
    ]
    layers.append(["total", "", "", "", f"{row['parameters']:,}", f"{row['macs']:,}"])
    print_output(table(("layer", "kind", "inputs", "output", "parameters", "MACs"), layers, (0, 1, 2)))
    print_output("\nquantized tensors: " + ", ".join(tensor["name"] for tensor in row["tensors"]))


def _setting(setting: Setting) -> Dict[str, Any]:
    return {
        "name": setting.name,
        "label": setting.label,
        "type": setting.type.__name__,
        "default": setting.default,
        "low": setting.low,
        "high": setting.high,
        "unit": setting.unit,
        "kinds": list(setting.kinds),
        "choices": setting.choices,
        "choice_help": setting.choice_help,
        "help": setting.help,
    }


def _print_setting(name: str, setting: Setting) -> None:
    only = f", {setting.kinds[0]} only" if len(setting.kinds) == 1 else ""
    print_output(f"{name}: {setting.allowed()} (default {setting_text(setting.default)}){only}")
    print_output(_indented(setting.help, 4))
    for word, about in setting.choice_help.items():
        print_output(_indented(f"{word}: {about}", 6))
    print_output("")


def _indented(text: str, indent: int) -> str:
    """Return a paragraph that fits the terminal, with all lines indented."""
    space = " " * indent
    width = terminal_width()
    return textwrap.fill(text, width, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)


def shape_of(text: str) -> Tuple[int, ...]:
    sizes = text.lower().split("x")
    if not all(size.isdecimal() for size in sizes):
        raise NetworkError(f"--input-shape is {text!r}: expected a shape such as 28x28x1 or 32x32x3")
    return tuple(map(int, sizes))
