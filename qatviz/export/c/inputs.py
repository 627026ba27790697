"""C source and texts on the inputs of a model: the functions that compute their codes."""

# A separate module, because the lowering would be too long with it.

from typing import Any, Dict, Sequence

from qatviz.errors import Advice, SettingChange, refused
from qatviz.export.c.arrays import float_literal
from qatviz.export.c.names import comment
from qatviz.export.integers.input_formula import codes_formula, input_formula
from qatviz.export.integers.model import IntegerModel, IntegerTensor
from qatviz.export.templates import filled

_INPUT_FUNCTION = """\
/* Returns the code of a value of the input@of@: @codes@,
 * @precision@. */
static inline @input_type@ @function@_code(float value)
{
    /* Variables, because a compiler may give constants and intermediate results more digits. */
    const float lowest = @lowest@, highest = @highest@, scale = @GRID@_SCALE;
    float steps = value > lowest ? value : lowest;
    steps = steps < highest ? steps : highest;
    steps = steps - lowest;
    steps = steps / scale;
    steps = steps + 0.5f;
    return (@input_type@)((int32_t)steps + @GRID@_MIN);
}
"""


def check_types(tensors: Sequence[IntegerTensor]) -> None:
    """Refuse inputs whose codes have different types: they are in one array."""
    wide = [tensor for tensor in tensors if tensor.dtype != tensors[0].dtype]
    if wide and any(tensor.ids for tensor in tensors):
        ids = [tensor.name for tensor in tensors if tensor.ids]
        raise refused(
            f"the inputs {', '.join(map(repr, ids))} have ids, which are int32, and the others have codes of "
            "another type",
            Advice("in the formats tflite, onnx and npz"),
        )
    if wide:
        raise refused(
            f"the inputs {tensors[0].name!r} and {wide[0].name!r} have {tensors[0].num_bits} and {wide[0].num_bits} "
            "bits, whose codes have different types",
            SettingChange(wide[0].quantizer + ".num_bits", tensors[0].num_bits),
        )


def input_use(model: IntegerModel, values: Dict[str, Any], input_values: str) -> str:
    """Return the lines on the input's codes for the README; ``values`` are those of the templates."""
    if len(model.inputs) == 1:
        text = "Input: @PREFIX@_INPUT_SIZE codes; @prefix@_input_code(value), in @name@.h, computes one:\n"
        if model.inputs[0].ids:
            text = "Input: @PREFIX@_INPUT_SIZE codes:\n"
        text += f"  {input_formula(model.inputs[0])};\n"
    elif model.inputs[0].ids:
        text = "Input: @PREFIX@_INPUT_SIZE codes, one input after the other:\n"
        for index, tensor in enumerate(model.inputs):
            text += f"  `{tensor.name}` from @PREFIX@_INPUT_{index}_OFFSET on: {input_formula(tensor)};\n"
    else:
        text = "Input: @PREFIX@_INPUT_SIZE codes, one input after the other; functions in @name@.h compute them:\n"
        for index, tensor in enumerate(model.inputs):
            text += (
                f"  `{tensor.name}` from @PREFIX@_INPUT_{index}_OFFSET on, @prefix@_input_{index}_code(value): "
                f"{input_formula(tensor)};\n"
            )
    return filled(text, values) + f"  {input_values}."


def input_functions(model: IntegerModel, values: Dict[str, Any]) -> str:
    """Return the functions that compute codes of the inputs."""
    is_single = len(model.inputs) == 1
    texts = []
    for index, tensor in enumerate(model.inputs):
        if tensor.ids:
            continue
        end = "" if is_single else f"_{index}"
        own = {
            "of": "" if is_single else f" {comment(tensor.name)}",
            "codes": codes_formula(tensor.grid),
            "function": f"{values['prefix']}_input{end}",
            "GRID": f"{values['PREFIX']}_INPUT{end}",
            "lowest": float_literal(tensor.grid.minimum),
            "highest": float_literal(tensor.grid.maximum),
        }
        texts.append(filled(_INPUT_FUNCTION, {**values, **own}))
    return "\n".join(texts)
