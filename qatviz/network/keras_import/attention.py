"""Conversion of products of activations, and of attention, which is imported as such products."""

import math
from typing import Dict, List, Tuple

from qatviz.errors import NetworkError
from qatviz.network import checks
from qatviz.network.checks import Shape
from qatviz.network.keras_import.call_arguments import Tensor
from qatviz.network.keras_import.draft import Draft, KerasLayer
from qatviz.network.keras_import.records import shortened
from qatviz.network.layers import Conv2D, Dropout, Permute, Reshape, Softmax
from qatviz.network.matmul import MatMul

#: Type of the layers for ``tf.matmul`` of two outputs; Keras has no layer for it.
MATMUL = "MatMul"
#: Arguments of a call of attention that are tensors, in order.
_TENSORS = ("query", "value", "key")


def convert_matmul(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a product along the last two axes."""
    if len(inputs) != 2:
        raise NetworkError(f"it has {len(inputs)} tensors; supported: two outputs of layers")
    first, second = inputs
    if layer.flag("transpose_a", False):
        first = _transposed(draft, layer, first)
    settings = {"transpose_second": layer.flag("transpose_b", False)}
    if len(draft.shapes[first]) < 2:
        raise NetworkError(
            f"its inputs have the shapes {draft.shapes[first]} and {draft.shapes[second]}; supported: matrices of each "
            "example"
        )
    return draft.add(MatMul, layer.name, (first, second), **settings)


def convert_dot(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a Dot along an axis of each input, which counts the batch."""
    axes = layer.setting("axes")
    shapes = [draft.shapes[source] for source in inputs]
    if layer.flag("normalize", False):
        raise checks.invalid_value("setting normalize", True, "False; nearest: a UnitNormalization of each input")
    pair = [axes, axes] if isinstance(axes, int) else axes
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(type(axis) is int for axis in pair):
        raise checks.invalid_value("setting axes", axes, "an axis, or one of each input")
    if any(len(shape) > 2 for shape in shapes):
        raise NetworkError(f"its inputs have the shapes {tuple(shapes)}; supported: up to two axes, without the batch")
    matrices, kept = [], []
    for source, shape, axis in zip(inputs, shapes, pair):
        place = axis % (len(shape) + 1) - 1 if -len(shape) <= axis <= len(shape) else -1
        if place < 0:
            raise checks.invalid_value("setting axes", axes, f"1 to {len(shape)}, or below 0, for the shape {shape}")
        kept.append(tuple(size for at, size in enumerate(shape) if at != place))
        if len(shape) == 1:
            name = draft.names.derive(layer.name, "row")
            source = draft.add(Reshape, name, source, target_shape=(1, *shape))
        elif place == 0:
            source = _transposed(draft, layer, source)
        matrices.append(source)
    target = kept[0] + kept[1] or (1,)
    draft.add(MatMul, layer.name, matrices, transpose_second=True)
    if draft.shapes[layer.name] == target:
        return layer.name
    return draft.add_part(Reshape, layer.name, "shape", layer.name, target_shape=target)


def convert_attention(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert dot-product attention of [query, value] or [query, value, key]."""
    if layer.flag("use_scale", False) or layer.flag("causal", False):
        raise NetworkError("it has a trained scale or a causal mask; supported: use_scale=False without masks")
    mode = layer.setting("score_mode", "dot")
    if mode != "dot":
        raise checks.invalid_value("setting score_mode", mode, "'dot'")
    if not 2 <= len(inputs) <= 3:
        raise NetworkError(f"it has {len(inputs)} inputs; supported: query and value, or query, value and key")
    scores = draft.add_part(MatMul, layer.name, "scores", (inputs[0], inputs[-1]), transpose_second=True)
    weights = _probabilities(draft, layer, scores)
    draft.add_note("attention is imported as its parts: products of matrices and a softmax", layer.name)
    return draft.add(MatMul, layer.name, (weights, inputs[1]))


def convert_multi_head_attention(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert a MultiHeadAttention on sequences: a Dense of each input, products of each head, and a Dense."""
    sources = _tensors(layer, inputs)
    heads = checks.positive_integer("setting num_heads", layer.setting("num_heads"))
    key_size = checks.positive_integer("setting key_dim", layer.setting("key_dim"))
    value_size = checks.positive_integer("setting value_dim", layer.setting("value_dim", None) or key_size)
    shapes = {what: draft.keras_shape(source) for what, source in sources.items()}
    if any(len(shape) != 2 for shape in shapes.values()):
        found = ", ".join(f"{what} {shape}" for what, shape in shapes.items())
        raise NetworkError(f"its inputs have the shapes {found}; supported: sequences (length, features)")
    axes = layer.setting("attention_axes", None)
    if axes not in (None, 1, [1], (1,)):
        raise checks.invalid_value("setting attention_axes", axes, "None: the axis of the sequence")
    query, key, value = (
        _heads(draft, layer, what, sources[what], heads, size)
        for what, size in (("query", key_size), ("key", key_size), ("value", value_size))
    )
    factor = 1 / math.sqrt(key_size)
    scores = draft.add_part(MatMul, layer.name, "scores", (query, key), transpose_second=True, factor=factor)
    weights = _probabilities(draft, layer, scores)
    context = draft.add_part(MatMul, layer.name, "context", (weights, value))
    length = shapes["query"][0]
    joined = draft.add_part(Permute, layer.name, "joined", context, axes=(1, 0, 2))
    sequence = draft.add_part(Reshape, layer.name, "sequence", joined, target_shape=(length, heads * value_size))
    features = _features(layer, shapes["query"])
    image = draft.as_image(layer.name, sequence)
    _add_projection(draft, layer, layer.name, "attention_output", image, features, (heads * value_size, features))
    draft.add_note(
        "MultiHeadAttention is imported as its parts: 1×1 convolutions, products of matrices and a softmax", layer.name
    )
    return layer.name


def _tensors(layer: KerasLayer, inputs: List[str]) -> Dict[str, str]:
    """Return query, key and value of a call; the key is the value unless it is given."""
    given = dict(zip(_TENSORS, layer.spec.arguments.operands()))
    for name, value in layer.spec.arguments.kwargs.items():
        if name in _TENSORS and value is not None:
            given[name] = value
        elif value is not None and value is not False and name not in ("training",):
            raise NetworkError(f"it is called with {name}={shortened(value)}; supported: query, value and key")
    found = {name: value for name, value in given.items() if value is not None}
    if not {"query", "value"} <= set(found) or not all(isinstance(value, Tensor) for value in found.values()):
        raise NetworkError("it is called without outputs of layers as query and value")
    named = {name: inputs[value.position] for name, value in found.items()}
    return {"key": named["value"], **named}


def _features(layer: KerasLayer, query: Shape) -> int:
    """Return the number of features of the output, by default that of the query."""
    shape = layer.setting("output_shape", None)
    if shape is None:
        return query[-1]
    sizes = list(shape) if isinstance(shape, (list, tuple)) else [shape]
    if len(sizes) != 1:
        raise checks.invalid_value("setting output_shape", shape, "None or a number of features")
    return checks.positive_integer("setting output_shape", sizes[0])


def _heads(draft: Draft, layer: KerasLayer, what: str, source: str, heads: int, size: int) -> str:
    """Add the Dense of an input for all heads; return the name of its outputs (heads, length, size)."""
    length, features = draft.keras_shape(source)
    name = draft.names.derive(layer.name, what)
    image = draft.as_image(name, source)
    _add_projection(draft, layer, name, what, image, heads * size, (features, heads * size))
    apart = draft.add_part(Reshape, name, "apart", draft.as_plain(name), target_shape=(length, heads, size))
    return draft.add_part(Permute, name, "heads", apart, axes=(1, 0, 2))


def _add_projection(
    draft: Draft, layer: KerasLayer, name: str, array: str, image: str, filters: int, matrix: Tuple[int, int]
) -> None:
    """Add a 1×1 convolution with the kernel and bias of one of the layer's Dense layers, which Keras has by heads."""
    use_bias = layer.flag("use_bias", True)
    draft.add(Conv2D, name, image, filters=filters, kernel_size=1, use_bias=use_bias)
    draft.copy_parameter(name, "weights", layer, array + "/kernel", matrix)
    if use_bias:
        draft.copy_parameter(name, "bias", layer, array + "/bias", (filters,))


def _probabilities(draft: Draft, layer: KerasLayer, scores: str) -> str:
    """Add the softmax of scores, and the dropout of its results."""
    found = draft.add_part(Softmax, layer.name, "softmax", scores)
    rate = layer.setting("dropout", 0.0)
    return draft.add_part(Dropout, layer.name, "dropout", found, rate=rate) if rate else found


def _transposed(draft: Draft, layer: KerasLayer, source: str) -> str:
    """Add an exchange of the last two axes."""
    rank = len(draft.shapes[source])
    if rank < 2:
        raise NetworkError(f"its input has the shape {draft.shapes[source]}; supported: matrices of each example")
    axes = (*range(rank - 2), rank - 1, rank - 2)
    return draft.add_part(Permute, layer.name, "transposed", source, axes=axes)
