"""Lowering of an integer model to C source."""

import json
import math
from itertools import accumulate
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.export.c.arrays import C_TYPES, array, float_literal
from qatviz.export.c.calls import Call, Plan, input_offsets, output_dtype, output_offsets, plan
from qatviz.export.c.inputs import check_types, input_functions, input_use
from qatviz.export.c.library import SOURCES, library_files, library_use
from qatviz.export.c.names import comment, file_stem, string
from qatviz.export.integers.input_formula import PRECISION
from qatviz.export.integers.model import IntegerModel, IntegerTensor
from qatviz.export.templates import filled
from qatviz.network.layer import element_count
from qatviz.quant.softmax_codes import SCALE, ZERO_POINT

#: Sources that are the same for all models, except for the values of ``@names@`` in some of them.
_TEMPLATES = Path(__file__).with_name("runtime")
_VERBATIM = ("qatviz_nn.h", "qatviz_nn.c", "qatviz_nn_vectors.h", "qatviz_nn_cortex_m.h", "qatviz_nn_cmsis.h")
#: Source of the softmax, which computes in float, unlike all others.
_SOFTMAX_HEADER = "qatviz_softmax.h"
_TEMPLATED = ("main.c", "Makefile")
#: Templates of the text on how to use the sources, for the export's README: for both layouts, and of one directory.
_USE, _USE_OF_SOURCES = "README.txt", "sources.txt"
#: Length of a line of names.
_WIDTH = 110
#: Bits of a softmax's multiplier; integer bits of the fixed-point exponents of kernels.
_SOFTMAX_BITS, _SOFTMAX_INTEGER_BITS = 31, 5


class CModel(NamedTuple):
    """A model as C source.

    Attributes
    ----------
    stem : str
        Stem of the names of files and functions.
    files : dict of str to bytes
        Contents by path, with ``/``.
    sources, includes : tuple of str
        Paths of the files to compile; folders of their headers.
    use : tuple of str
        Paragraphs on how to use them.
    inputs, outputs : tuple of IntegerTensor
        The inputs; the logits, or probabilities, of each output, of type ``dtype``, one after the other.
    layers : tuple of IntegerTensor
        Outputs of a build that dumps the layers, in order.
    constants, arena : int
        Sizes of its arrays and of the memory for the layers (bytes).
    softmax : bool
        True if the output is probabilities.
    dtype : np.dtype
    """

    stem: str
    files: Dict[str, bytes]
    sources: Tuple[str, ...]
    includes: Tuple[str, ...]
    use: Tuple[str, ...]
    inputs: Tuple[IntegerTensor, ...]
    outputs: Tuple[IntegerTensor, ...]
    layers: Tuple[IntegerTensor, ...]
    constants: int
    arena: int
    softmax: bool
    dtype: np.dtype

    @property
    def output(self) -> IntegerTensor:
        """The first output."""
        return self.outputs[0]


def c_model(
    model: IntegerModel,
    golden_input: np.ndarray,
    golden_output: np.ndarray,
    pack_int4: bool = False,
    input_values: str = "value: as fed to the network",
    softmax: bool = False,
    library: bool = False,
) -> CModel:
    """Return the source of a model.

    Parameters
    ----------
    model : IntegerModel
    golden_input, golden_output : np.ndarray
        Codes of some inputs ``[n] + shape`` and of the expected output ``[n] + shape``, for the self test; of any
        integer type. Those of several inputs or outputs are one after the other, ``[n, codes]``.
    pack_int4 : bool
        Store weights of up to 4 bits two per byte.
    input_values : str
        Text on the values of the input, for the README, as of
        :func:`qatviz.export.integers.input_formula.values_formula`.
    softmax : bool
        Append a softmax, for logits of up to 8 bits: the output is probabilities.
    library : bool
        Arrange the files as a library instead of in one directory.
    """
    stem = file_stem(model.name)
    planned = plan(model, pack_int4, softmax)
    source, output = model.inputs[0], probabilities(model) if softmax else model.logits
    outputs = (output, *(head.logits for head in model.heads[1:]))
    check_types(model.inputs)
    dtype = output.dtype if softmax else output_dtype(model)
    values = {
        "name": stem,
        "prefix": stem,
        "PREFIX": stem.upper(),
        "title": comment(model.name),
        "version": _version(model),
        "constants": planned.constants,
        "arena": planned.arena,
        "input_type": C_TYPES[source.dtype.name],
        "output_type": C_TYPES[dtype.name],
        "output_is": "Probabilities" if softmax else "Output",
        "output_values": _output_values(stem.upper(), model),
        "precision": PRECISION,
    }
    values["input_use"] = input_use(model, values, input_values)
    texts = {
        stem + ".h": _header(model, outputs, planned.names, values),
        stem + ".c": _code(model, values, planned, softmax),
        "golden.h": _golden(source, dtype, golden_input, golden_output),
    }
    headers = [_SOFTMAX_HEADER] if _has_softmax(model, softmax) else []
    texts.update((name, _template(name)) for name in (*_VERBATIM, *headers))
    texts.update((name, filled(_template(name), values)) for name in _TEMPLATED)
    use = _template(_USE_OF_SOURCES)
    if library:
        texts = library_files(texts, _golden(source, dtype, golden_input[:1], golden_output[:1]), values)
        use = library_use()
    return CModel(
        stem,
        {name: text.encode("ascii") for name, text in texts.items()},
        tuple(path for path in texts if path.endswith(".c")),
        (SOURCES,) if library else (),
        tuple(filled(_template(_USE), {**values, "use": filled(use, values).rstrip()}).splitlines()),
        model.inputs,
        outputs,
        tuple(model.tensor(op.output) for op in model.ops),
        planned.constants,
        planned.arena,
        softmax,
        dtype,
    )


_HEADER = """\
/* @title@: a quantized network.
 *
 * Written by qatviz @qatviz@; do not edit.@about@
 */
#ifndef @PREFIX@_H
#define @PREFIX@_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

@constants@
/* Names of the layers, in the order in which they are computed. Before and after a layer, @name@.c invokes
 * @PREFIX@_LAYER_BEGIN and @PREFIX@_LAYER_END with the index of its name. These macros are empty unless defined:
 * by options of the compiler, or in a header that @PREFIX@_HOOKS names ("hooks.h"), which @name@.c then includes. */
#define @PREFIX@_LAYERS @layers@
#define @PREFIX@_LAYER_NAMES {@layer_names@ \\
    }

@input_functions@
/* Computes the codes of an output, @PREFIX@_OUTPUT_SIZE of them, from those of an input, @PREFIX@_INPUT_SIZE of them;
 * the two must not overlap. One call at a time: all share one block of memory. */
void @prefix@_run(const @input_type@ *input, @output_type@ *output);

/* The same in memory of the caller: @PREFIX@_ARENA_BYTES bytes, aligned for an int64_t. Calls with memory of their own
 * may run at the same time. Compile @name@.c with @PREFIX@_NO_STATIC_ARENA to have this function only. */
void @prefix@_run_in(void *memory, const @input_type@ *input, @output_type@ *output);

#ifdef __cplusplus
}
#endif

#endif
"""


def _output_values(prefix: str, model: IntegerModel) -> str:
    """Return the text on the values of the output's codes for the README."""
    if not model.further:
        return f"value = {prefix}_OUTPUT_SCALE * (code - {prefix}_OUTPUT_ZERO_POINT)"
    rows = [f"`{head.output}` from {prefix}_OUTPUT_{index}_OFFSET on" for index, head in enumerate(model.heads)]
    scale = f"{prefix}_OUTPUT_0_SCALE * (code - {prefix}_OUTPUT_0_ZERO_POINT)"
    return f"one output after the other: {', '.join(rows)}; of the first, value = {scale}, of the others likewise"


def _grids(prefix: str, what: str, tensors: Sequence[IntegerTensor], offsets: Sequence[int]) -> str:
    """Return the constants of the input or output, or of several, which are one after the other."""
    if len(tensors) == 1:
        return _grid(prefix, tensors[0])
    total = sum(element_count(tensor.shape) for tensor in tensors)
    text = f"/* {what}, one after the other. */\n#define {prefix}_SIZE {total}\n"
    for index, (tensor, offset) in enumerate(zip(tensors, offsets)):
        name = f"{prefix}_{index}"
        text += f"#define {name}_OFFSET {offset}  /* {comment(tensor.name)} */\n" + _grid(name, tensor)
    return text


def _header(model: IntegerModel, outputs: Sequence[IntegerTensor], layers: List[str], values: Dict[str, Any]) -> str:
    about = [
        f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in sorted(model.metadata.items())
    ]
    about += list(model.notes)
    constants = _grids(values["PREFIX"] + "_INPUT", "Inputs", model.inputs, input_offsets(model))
    constants += _grids(values["PREFIX"] + "_OUTPUT", "Outputs", outputs, output_offsets(model))
    constants += "\n/* Bytes of memory for the outputs of layers. */\n"
    constants += "#define {PREFIX}_ARENA_BYTES {arena}\n".format(**values)
    if outputs[0] is not model.logits:
        constants += "\n/* The output is probabilities: LiteRT's softmax of the logits. */\n"
    elif model.softmax is not None and not model.further:
        constants += (
            f'\n/* The softmax "{comment(model.softmax)}" after the logits is not computed: it keeps their order. '
        )
        constants += "For an integer kernel:" if model.logits.num_bits <= 8 else "Apply it yourself if needed."
        constants += " */\n"
        if model.logits.num_bits <= 8:
            for name, value in softmax_constants(model.logits.scale)._asdict().items():
                constants += f"#define {values['PREFIX']}_SOFTMAX_{name.upper()} {_literal(value)}\n"
    return filled(
        _HEADER,
        dict(
            values,
            layers=len(layers),
            layer_names=_listed_names(layers),
            qatviz=__version__,
            constants=constants,
            about="".join("\n * " + comment(line) for line in about),
            input_functions=input_functions(model, values),
        ),
    )


def _listed_names(names: List[str]) -> str:
    """Return an initializer's strings, on lines that continue a macro."""
    lines = [""]
    for item in (string(name) + ", " for name in names):
        if len(lines[-1]) + len(item) > _WIDTH:
            lines.append("")
        lines[-1] += item
    return "".join(f" \\\n    {line.rstrip()}" for line in lines).rstrip(",")


def _grid(prefix: str, tensor: IntegerTensor) -> str:
    lines = [
        ("SIZE", str(element_count(tensor.shape)), f"[{']['.join(map(str, tensor.shape))}]"),
        ("SCALE", float_literal(tensor.scale), "value = scale * (code - zero point)"),
        ("ZERO_POINT", _literal(tensor.zero_point), ""),
        ("MIN", _literal(tensor.bounds[0]), f"{tensor.num_bits} bits" if tensor.num_bits else "ids"),
        ("MAX", _literal(tensor.bounds[1]), ""),
    ]
    return "".join(
        "#define {}_{} {}{}\n".format(prefix, name, value, f"  /* {what} */" if what else "")
        for name, value, what in lines
    )


_TOP = """\
/* @title@: layers, their integers, and the order in which they are computed. Written by qatviz. */
#include "@name@.h"
#include "qatviz_nn.h"
@include@
#ifdef @PREFIX@_HOOKS
#include @PREFIX@_HOOKS
#endif
#ifndef @PREFIX@_LAYER_BEGIN
#define @PREFIX@_LAYER_BEGIN(index) ((void)0)
#endif
#ifndef @PREFIX@_LAYER_END
#define @PREFIX@_LAYER_END(index) ((void)0)
#endif

#ifdef QATVIZ_DUMP
#define DUMP(layer, codes, bytes) qatviz_dump(layer, codes, bytes)
#else
#define DUMP(layer, codes, bytes) ((void)0)
#endif"""
_RUN = """\
void @prefix@_run_in(void *memory, const @input_type@ *input, @output_type@ *output)
{
    @memory@
@calls@
}

#ifndef @PREFIX@_NO_STATIC_ARENA
@arena@void @prefix@_run(const @input_type@ *input, @output_type@ *output)
{
    @prefix@_run_in(@bytes@, input, output);
}
#endif"""
_ARENA = """\
static union {
    int64_t aligned;
    int8_t bytes[@PREFIX@_ARENA_BYTES];
} arena;

"""
_MANY = """\
    {{
        const void *const inputs[{}] = {{{}}};
        {}(&{}_op, inputs, {});
    }}
"""


def _code(model: IntegerModel, values: Dict[str, Any], planned: Plan, softmax: bool) -> str:
    include = f'#include "{_SOFTMAX_HEADER}"\n' if _has_softmax(model, softmax) else ""
    parts = [filled(_TOP, dict(values, include=include))]
    parts += [f"{_about(model, call)}\n{call.source.definitions}" for call in planned.calls if call.source is not None]
    ended = accumulate(int(call.source is not None) for call in planned.calls)
    run = dict(
        values,
        calls="\n".join(
            _statements(model, call, number - 1, values["PREFIX"]) for call, number in zip(planned.calls, ended)
        ),
        memory="int8_t *const arena = (int8_t *)memory;" if planned.arena else "(void)memory;",
        arena=filled(_ARENA, values) if planned.arena else "",
        bytes="arena.bytes" if planned.arena else "0",
    )
    return "\n\n".join([*parts, filled(_RUN, run)]) + "\n"


def _has_softmax(model: IntegerModel, appended: bool) -> bool:
    """Return whether there is a softmax, in the network or ``appended`` to it."""
    return appended or any(op.kind == "Softmax" for op in model.ops)


def _about(model: IntegerModel, call: Call) -> str:
    if call.op is None:
        codes = "an output" if call.output.startswith("output") else "the input"
        if call.source is not None and call.source.function == "qnn_softmax":
            codes = "the probabilities"
        return f"/* ---- Codes of {codes} ---- */"
    output = model.tensor(call.op.output)
    inputs = ", ".join(f"{'x'.join(map(str, model.tensor(name).shape))}" for name in call.op.inputs)
    return (
        f"/* ---- {call.title}: {inputs} to {'x'.join(map(str, output.shape))}; {output.num_bits} bits, "
        f"scale {output.scale:.9g}, zero point {output.zero_point} ---- */"
    )


def _statements(model: IntegerModel, call: Call, index: int, prefix: str) -> str:
    """Return a call between the hooks of the layer with this ``index``, and the dump of its codes."""
    lines = []
    if call.source is not None:
        pointers = (call.stem, call.output)
        if call.source.many:
            text = _MANY.format(len(call.inputs), ", ".join(call.inputs), call.source.function, *pointers)
        else:
            text = f"    {call.source.function}(&{call.stem}_op, {call.inputs[0]}, {call.output});\n"
        lines += [f"    {prefix}_LAYER_BEGIN({index});", text.rstrip("\n"), f"    {prefix}_LAYER_END({index});"]
    if call.op is not None:
        output = model.tensor(call.op.output)
        nbytes = element_count(output.shape) * output.dtype.itemsize
        lines.append(f"    DUMP({string(output.name)}, {call.output}, {nbytes});")
    return "\n".join(lines)


def _golden(source: IntegerTensor, dtype: np.dtype, golden_input: np.ndarray, golden_output: np.ndarray) -> str:
    count = len(golden_input)
    return "\n".join(
        [
            "/* Inputs and expected output codes, computed by the integer model's simulator. Written by qatviz. */",
            "#include <stdint.h>",
            "",
            f"#define GOLDEN_COUNT {count}",
            "",
            array("golden_input", golden_input.reshape(count, -1).astype(source.dtype)),
            array("golden_output", golden_output.reshape(count, -1).astype(dtype)),
            "",
        ]
    )


def _version(model: IntegerModel) -> str:
    """Return the version of a library: that of a later state of the same run is higher."""
    step = model.metadata.get("step")
    return f"1.0.{step if isinstance(step, int) else 0}"


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="ascii")


def _literal(value: int) -> str:
    return f"({value})" if value < 0 else str(value)


def probabilities(model: IntegerModel) -> IntegerTensor:
    """Return the output of a softmax of the logits."""
    return IntegerTensor("softmax", model.logits.shape, SCALE, ZERO_POINT, 8, False, "softmax")


class SoftmaxConstants(NamedTuple):
    """Parameters of a softmax for integer kernels, such as TFLite's and CMSIS-NN's ``arm_softmax_s8``.

    ``multiplier * 2**(shift - 31)`` converts differences of codes to units of ``2**-26``; those below ``diff_min`` have
    an exponential of 0. The result has scale 1/256 and zero point -128.
    """

    multiplier: int
    shift: int
    diff_min: int


def softmax_constants(scale: float) -> SoftmaxConstants:
    """Return the parameters for 8-bit logits with this scale.

    They are those of TFLite's ``PreprocessSoftmaxScaling`` and ``CalculateInputRadius``.

    >>> softmax_constants(0.0625)
    SoftmaxConstants(multiplier=1073741824, shift=23, diff_min=-248)
    """
    fraction, shift = math.frexp(min(math.ldexp(scale, _SOFTMAX_BITS - _SOFTMAX_INTEGER_BITS), 2.0**_SOFTMAX_BITS - 1))
    multiplier = math.floor(math.ldexp(fraction, _SOFTMAX_BITS) + 0.5)
    if multiplier == 2**_SOFTMAX_BITS:
        multiplier, shift = multiplier // 2, shift + 1
    radius = math.ldexp(2**_SOFTMAX_INTEGER_BITS - 1, _SOFTMAX_BITS - _SOFTMAX_INTEGER_BITS - shift)
    return SoftmaxConstants(multiplier, shift, -math.floor(radius))
