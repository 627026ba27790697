"""README and check program of an export, from what its format states and what its proof found."""

import math
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.data import Dataset
from qatviz.data.data_input import parts_of
from qatviz.export.guide.expected import (
    LARGEST_RELATIVE,
    PROBABILITY,
    QUANTIZATION_STEP,
    RELATIVE,
    Check,
    Expected,
    expected_lines,
)
from qatviz.export.integers.input_formula import PRECISION, codes_formula, formula_of, ids_formula, values_formula
from qatviz.export.integers.model import IntegerModel, IntegerTensor
from qatviz.export.integers.softmax import softmax_of
from qatviz.export.proof.parity import Agreement
from qatviz.export.source import ExportSource
from qatviz.export.templates import filled
from qatviz.losses import is_single_logit
from qatviz.name_lookup import numbered
from qatviz.number_format import bytes_text, shape_text
from qatviz.quant.affine import AffineGrid
from qatviz.safe_text import escaped, one_line, shell_word
from qatviz.scaling import UNSCALED
from qatviz.task import MULTILABEL, REGRESSION, SEGMENTATION

README, CHECK = "README.md", "check.py"
#: Contents of golden vectors by their keys, for the README; "{runtime}" is replaced by the runtime of the proof,
#: "{twice}" by the runtimes that round twice.
GOLDEN_KEYS = {
    "images": "examples as fed to the network, float32, channels last",
    "labels": "their classes, or the numbers to predict",
    "input": "codes of the examples on the grid of the network's input, channels last",
    "input_scale": "scale of these codes",
    "input_zero_point": "zero point of these codes",
    "simulator_output": "codes of the logits that follow from the integers of the network: what every runtime should "
    "compute",
    "logits_scale": "scale of the codes of the logits",
    "logits_zero_point": "zero point of the codes of the logits",
    "file_input": "input of the file, in its own type and layout",
    "litert_output": "output of the file in LiteRT, in its own type; it rounds each result once",
    "double_rounding_output": "output of the file where kernels round each result twice {twice}, in its own type",
    "output": "expected output of the file, in its own type",
    "expected_output": "expected output: that of the evaluation graph",
    "file_output": "what {runtime} computed, logits as codes if there are codes",
}
#: Runtimes that round twice, for files that TFLite Micro runs, and for uint8 files, which it does not.
_TWICE, _TWICE_UINT8 = "(TensorFlow 1.15; by default TFLite Micro and CMSIS-NN)", "(TensorFlow 1.15)"
#: Unit of differences between probabilities.
_PROBABILITY_STEP = 1 / 256
#: Number of held-out examples whose smallest and largest values are stated.
_SHOWN_EXAMPLES = 64
#: Keys of golden vectors of an input; the others are of an output.
_OF_INPUT = ("images", "input", "input_scale", "input_zero_point", "file_input")
#: Expression for the output in the templates that run files, by template: of a single output, and of one of several.
_CHOSEN = {
    "keras": ("", "[output]"),
    "onnx": ("None", "[session.get_outputs()[output].name]"),
    "tflite": ("0", "output"),
    "tflm": ("0", "output"),
    "tensorflow": ('"logits:0"', '"{}/logits:0".format(OUTPUTS[output][0])'),
    "npz": ('record["output"]', 'record["outputs"][output]["output"]'),
}
#: Parts of the templates that run files, by template and name: for a single input, and for a list of several.
_BY_INPUTS: Dict[str, Dict[str, Tuple[str, str]]] = {
    "tflite": {
        "given": (
            'interpreter.get_input_details()[0]["index"]',
            '[each["index"] for each in interpreter.get_input_details()]',
        ),
        "examples": ("inputs", "zip(*inputs)"),
        "set": (
            "interpreter.set_tensor(given, example[None])",
            "for index, value in zip(given, example):\n            interpreter.set_tensor(index, value[None])",
        ),
    },
    "tflm": {
        "examples": ("inputs", "zip(*inputs)"),
        "set": (
            "interpreter.set_input(example[None], 0)",
            "for index, value in enumerate(example):\n            interpreter.set_input(value[None], index)",
        ),
    },
    "c": {
        "packed": ("inputs", "np.concatenate([given.reshape(len(given), -1) for given in inputs], 1)"),
        "first": ("inputs", "inputs[0]"),
    },
    "tensorflow": {"fed": ('{"input:0": inputs}', "")},
    "onnx": {
        "fed": (
            "{session.get_inputs()[0].name: inputs}",
            "{each.name: own for each, own in zip(session.get_inputs(), inputs)}",
        )
    },
    "npz": {
        "codes": (
            '{record["input"]: _input_codes(tensors[record["input"]], images)}',
            '{x["input"]: _input_codes(tensors[x["input"]], own) for x, own in zip(record["inputs"], images)}',
        ),
        "about": ("float32 images ``[n] + shape``", "a list with the float32 values of each input"),
    },
}
_CHECKS = Path(__file__).resolve().parent / "check"


class Guide(NamedTuple):
    """Statements of a format on one of its exports.

    Attributes
    ----------
    source : ExportSource
    title : str
        Name of the format.
    inputs, outputs : tuple of str
        Paragraphs on the file's input and output.
    use : tuple of str
        Paragraphs on how to load and run it.
    check : Check or None
        None if there is no runtime that a program could use.
    """

    source: ExportSource
    title: str
    inputs: Tuple[str, ...]
    outputs: Tuple[str, ...]
    use: Tuple[str, ...] = ()
    check: Optional[Check] = None


def expected_codes(key: str, meaning: str, reached: Agreement, count: int) -> Expected:
    """Return the expected agreement of ``count`` golden values: ``reached``, that of many values, less two values."""
    return Expected(key, meaning, max(reached.identical - 2 / count, 0.0), float(reached.largest))


def smallest(golden: Mapping[str, np.ndarray], key: str) -> int:
    """Return the number of values of a golden output; of several outputs, that of the one with the fewest."""
    keys = [key, *(numbered(key, index) for index in range(1, len(golden)))]
    return min(int(golden[name].size) for name in keys if name in golden)


def real_vectors(golden: Mapping[str, np.ndarray], channels_first: bool, softmax: bool) -> Dict[str, np.ndarray]:
    """Return golden vectors of a file with real inputs and outputs, computed from those of a proof by codes.

    They are "file_input", the images, and "output", the logits or, with ``softmax``, probabilities; float32. Those of
    further inputs and outputs are named by :func:`qatviz.name_lookup.numbered`.
    """
    given = sum(re.fullmatch(r"images(_\d+)?", key) is not None for key in golden)
    found = {
        numbered("file_input", index): images_in_layout(golden[numbered("images", index)], channels_first)
        for index in range(given)
    }
    for index in range(sum(key.startswith("simulator_output") for key in golden)):
        output, scale, zero = (
            numbered(key, index) for key in ("simulator_output", "logits_scale", "logits_zero_point")
        )
        values = (golden[output].astype(np.float64) - golden[zero]) * np.float64(golden[scale])
        real = (softmax_of(values) if softmax else values).astype(np.float32)
        found[numbered("output", index)] = images_in_layout(real, channels_first)
    return found


def images_in_layout(images: np.ndarray, channels_first: bool) -> np.ndarray:
    """Return a batch of examples with the channels of images on the second axis if ``channels_first``."""
    if channels_first and images.ndim == 4:
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images


def real_check(report: Any, runner: str, runtime: str, softmax: bool = False, **values: str) -> Check:
    """Return the check of a file with real outputs.

    Its golden vector is "output", which the integers of the network give, or, if the proof is by values,
    "expected_output". ``values`` are further fields of the template.
    """
    golden, further = report.golden, tuple(values.items())
    if "output" in golden:
        scale, step, unit = float(golden["logits_scale"]), float(golden["logits_scale"]), QUANTIZATION_STEP
        reached = report.reached
        if softmax:
            step, unit = _PROBABILITY_STEP, PROBABILITY
            # A different logit changes all probabilities of its example.
            identical = 1 - golden["output"].shape[-1] * (1 - reached.identical)
            reached = Agreement(identical, max(1, math.ceil(reached.largest * scale / step)))
        key = expected_codes("output", "the integers of the network", reached, smallest(golden, "output"))
        return Check(runner, runtime, "file_input", (key,), step, further, unit)
    step = 2 * report.bar.relative * max(float(np.abs(golden["expected_output"]).max()), np.finfo(np.float32).tiny)
    # The program allows half a unit more.
    largest = LARGEST_RELATIVE / (2 * report.bar.relative) - 0.5
    expected = Expected(
        "expected_output", "the evaluation", report.bar.close - 2 / smallest(golden, "expected_output"), largest
    )
    given = "file_input" if "file_input" in golden else "images"
    return Check(runner, runtime, given, (expected,), step, further, RELATIVE)


def fed_values(source: ExportSource) -> str:
    """Return a sentence with the formula from an example of the data to the values that are fed to the network.

    There is one for each of several inputs, with its name.
    """
    dataset = source.dataset
    if not dataset.inputs:
        return _fed_values(values_formula(dataset), dataset.scaling, dataset.x_test[:_SHOWN_EXAMPLES])
    parts = parts_of(dataset.inputs, dataset.x_test[:_SHOWN_EXAMPLES])
    return " ".join(
        f"{one_line(each.name)}: {_fed_values(formula_of(each.scaling, each.is_bytes), each.scaling, part)}"
        for each, part in zip(dataset.inputs, parts)
    )


def _fed_values(formula: str, scaling: str, examples: np.ndarray) -> str:
    if scaling == UNSCALED:
        ends = f"{examples.min():.4g} to {examples.max():.4g}"
        return (
            f"value = x: numbers are fed as they are in the data ({ends} in its first {len(examples)} held-out "
            "examples)."
        )
    return f"{formula}, {PRECISION}."


def codes_of_values(grid: AffineGrid, dtype: Any, offset: int = 0) -> str:
    """Return the formula of the codes of the input, to which a file adds ``offset``, with their grid."""
    low, high = (bound + offset for bound in grid.bounds)
    return (
        f"{codes_formula(grid, offset)}, {PRECISION}, as {dtype}. Codes are from {low} to {high}; their scale is "
        f"{float(grid.scale)!r}, their zero point {int(grid.zero_point) + offset}."
    )


def input_codes(tensor: IntegerTensor, dtype: Any, offset: int = 0) -> str:
    """Return the formula of the codes of an input, which has the type ``dtype`` unless it has ids."""
    if tensor.ids:
        return f"{ids_formula(tensor)}, as {tensor.dtype}."
    return codes_of_values(tensor.grid, dtype, offset)


def values_of_codes(scale: float, zero_point: int, what: str = "logit") -> str:
    """Return the formula of real outputs from codes."""
    return f"{what} = {float(scale)!r} * (code - ({zero_point}))."


def input_texts(model: IntegerModel, texts: Callable[[IntegerTensor], Sequence[str]]) -> Tuple[str, ...]:
    """Return the paragraphs on each input, with its name if there are several."""
    if len(model.inputs) == 1:
        return tuple(texts(model.inputs[0]))
    return tuple(f"{tensor.name}: {text}" for tensor in model.inputs for text in texts(tensor))


def output_texts(source: ExportSource, model: IntegerModel, text: Callable[[IntegerModel], str]) -> Tuple[str, ...]:
    """Return a paragraph on each output, with its name and tensor if there are several."""
    if not model.further:
        return (text(model),)
    names = zip(source.network.output_names, model.heads)
    return tuple(f"{name}, tensor `{head.output}`: {text(head)}" for name, head in names)


def class_lines(source: ExportSource) -> List[str]:
    """Return paragraphs on the outputs: the classes or labels by index, or the numbers that are predicted."""
    network, heads = source.network, source.dataset.heads
    lines = [line for head, shape in zip(heads, network.output_shapes) for line in _class_lines(head, shape)]
    if len(heads) == 1:
        return lines
    return [f"{name}: {line[0].lower()}{line[1:]}" for name, line in zip(network.output_names, lines)]


def _class_lines(dataset: Dataset, shape: Tuple[int, ...]) -> List[str]:
    if dataset.task == REGRESSION:
        if len(shape) > 1:
            return [f"Predicted numbers, {shape_text(shape)} as the targets."]
        return [f"{shape[0]} predicted numbers, in the order of the targets."]
    names = ", ".join(f"{i} {one_line(name)}" for i, name in enumerate(dataset.class_names))
    if dataset.task == SEGMENTATION:
        rule = "that of the largest of its logits"
        if is_single_logit(dataset.task, shape[-1]):
            rule = "1 if its single logit is positive, else 0"
        return [f"Logits of each pixel, {shape_text(shape)}; its class is {rule}. Classes, by index: {names}."]
    if dataset.task == MULTILABEL:
        return [f"Labels, by index: {names}. An example has those whose logits are positive."]
    single = ""
    if is_single_logit(dataset.task, shape[-1]):
        single = " The class is 1 if the single logit is positive, else 0."
    return [f"Classes, by index: {names}.{single}"]


def guide_files(guide: Guide, report: Any, name: str, prefix: str, files: Sequence[str]) -> Dict[str, bytes]:
    """Return the contents of README and check program by their file names.

    Parameters
    ----------
    guide : Guide
    report : ParityReport, or similar
    name : str
        Name of the file, or of the directory.
    prefix : str
        Beginning of the names of the proof's files; empty in a directory.
    files : sequence of str
        Names of the export's other files.
    """
    found = {prefix + README: _readme(guide, report, one_line(name), prefix, [one_line(file) for file in files])}
    if guide.check is not None:
        target = name if prefix else "."
        found[prefix + CHECK] = _check(guide, report, name, target, prefix)
    # Names of classes, and of the user's files, may have any characters.
    return {path: escaped(text).encode("utf-8", "backslashreplace") for path, text in found.items()}


def _readme(guide: Guide, report: Any, name: str, prefix: str, files: Sequence[str]) -> str:
    source, about = guide.source, report.about
    lines = [f"# {name}", ""]
    lines += [f"{guide.title}: the network {source.network.name}, exported by qatviz {__version__}.", ""]
    facts = [
        f"{key} {one_line(str(value))}"
        for key, value in sorted(source.metadata.items())
        if isinstance(value, (str, int))
    ]
    if facts:
        lines += ["Source: " + ", ".join(facts) + ".", ""]
    lines += ["## Input", "", *_paragraphs([fed_values(source), *guide.inputs])]
    lines += ["## Output", "", *_paragraphs([*guide.outputs, *class_lines(source)])]
    if guide.use:
        lines += ["## Use", "", *_paragraphs(guide.use)]
    lines += ["## Agreement", "", *_agreement(guide, report)]
    if report.golden:
        runtime = about.get("runtime", "the runtime of the proof")
        lines += [
            f"## Golden vectors: {one_line(prefix)}golden.npz",
            "",
            "| Key | Type and shape | Content |",
            "|---|---|---|",
        ]
        lines += [
            f"| `{key}` | {array.dtype.name} {list(array.shape)} | {_content(key, source, array, runtime)} |"
            for key, array in report.golden.items()
        ]
        lines += [""]
    if guide.check is not None:
        program, runtime, needs = shell_word(prefix + CHECK), guide.check.runtime, guide.check.needs
        lines += [f"`python {program}` runs them in {runtime}; it needs {needs} only.", ""]
    lines += ["## Sizes", ""]
    lines += [f"- {what}: {bytes_text(count)} ({count:,} bytes)" for what, count in report.nbytes.items()]
    lines += [f"- {each.in_words()}" for each in getattr(report, "footprints", ())]
    lines += ["", "## Files", "", *[f"- `{file}`" for file in files], ""]
    return "\n".join(lines)


def _content(key: str, source: ExportSource, array: np.ndarray, runtime: str) -> str:
    """Return the content of a golden vector, with the name of the output where it is of a further one."""
    base, index = key, ""
    if key not in GOLDEN_KEYS:
        base, _, index = key.rpartition("_")
    text = GOLDEN_KEYS[base].format(runtime=runtime, twice=_TWICE_UINT8 if array.dtype == np.uint8 else _TWICE)
    if not index:
        return text
    if base in _OF_INPUT:
        return f"{text}, of the input {one_line(source.network.input_names[int(index)])}"
    return f"{text}, of the output {one_line(source.network.output_names[int(index)])}"


def _paragraphs(texts: Sequence[str]) -> List[str]:
    return [line for text in texts for line in (text, "")]


def _agreement(guide: Guide, report: Any) -> List[str]:
    """Return a list of the results of the proof, the expected agreement of runtimes, and notes."""
    lines = []
    compared = dict(getattr(report, "outputs", {}))
    for each in getattr(getattr(report, "report", report), "further", ()):
        own = getattr(each, "outputs", {})
        shown = {name: own[name] for name in compared if name in own}
        compared.update({f"{each.output}, {name}": found for name, found in shown.items()})
    for comparison, found in compared.items():
        words = found.in_words() if hasattr(found, "in_words") else f"differences up to {found.largest:.3g}"
        lines.append(f"- {comparison}: {words}, on {report.examples:,} held-out examples")
    if guide.check is not None:
        lines += expected_lines(guide.check, len(guide.source.network.output_names) == 1)
    return [*lines, *(f"- {note}" for note in report.notes), ""]


def _check(guide: Guide, report: Any, name: str, target: str, prefix: str) -> str:
    check, network = guide.check, guide.source.network
    assert check is not None
    names, given = network.output_names, [numbered(check.given, index) for index in range(len(network.inputs))]
    # Names as literals of ASCII: they may have any characters.
    values = {
        "runtime": check.runtime,
        "needs": check.needs,
        "title": ascii(one_line(name)),
        "file_name": ascii(target),
        "golden_name": ascii(prefix + "golden.npz"),
        "given": ascii(check.given) if len(given) == 1 else repr(given),
        "examples": "golden[GIVEN]" if len(given) == 1 else "[golden[name] for name in GIVEN]",
        "step": repr(1.0 if check.step is None else float(check.step)),
        "expected": "[\n" + "".join(f"    {_literal(expected)},\n" for expected in check.expected) + "]",
    }
    is_single = len(names) == 1
    values["runner"] = runner_text(check.runner, is_single, dict(check.values), len(given))
    if is_single:
        return filled(template("main"), values)
    # Codes differ by 1, real values by the scale of their output.
    steps = [_step(check, report.golden, index) for index in range(len(names))]
    rows = [
        f"    ({one_line(output)!a}, {numbered('', index)!a}, {step!r}),\n"
        for index, (output, step) in enumerate(zip(names, steps))
    ]
    values["outputs"] = "[\n" + "".join(rows) + "]"
    return filled(template("main_several"), values)


def _step(check: Check, golden: Mapping[str, np.ndarray], index: int) -> float:
    """Return the unit of differences of an output: 1 for codes, their scale for values of codes, else by the values."""
    if check.step is None:
        return 1.0
    if "logits_scale" in golden:
        return float(golden[numbered("logits_scale", index)])
    first, own = (np.abs(golden[numbered("expected_output", place)]).max() for place in (0, index))
    return check.step * float(own / max(first, np.finfo(np.float32).tiny))


def _literal(expected: Expected) -> str:
    words = (ascii(expected.key), ascii(expected.meaning))
    return "({}, {}, {!r}, {!r})".format(*words, float(expected.identical), float(expected.largest))


def runner_text(name: str, is_single: bool, values: Mapping[str, str], inputs: int = 1) -> str:
    """Return the part of a check program that runs a file with one output, or with several, and this many inputs."""
    chosen = {} if name not in _CHOSEN else {"chosen": _CHOSEN[name][0 if is_single else 1]}
    of_inputs = {key: texts[0 if inputs == 1 else 1] for key, texts in _BY_INPUTS.get(name, {}).items()}
    return filled(template(name), {"parameter": "" if is_single else ", output", **chosen, **of_inputs, **values})


def template(name: str) -> str:
    """Return the template of a check program, or of its part that runs the file."""
    return (_CHECKS / (name + ".txt")).read_text(encoding="ascii")
