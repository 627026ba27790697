"""Conversion of Embedding."""

# A separate module, because conversions.py would be too long with it.

from typing import List

from qatviz.errors import NetworkError
from qatviz.network.embedding import Embedding
from qatviz.network.keras_import.draft import Draft, KerasLayer


def convert_embedding(draft: Draft, layer: KerasLayer, inputs: List[str]) -> str:
    """Convert an Embedding of an input of the model."""
    if layer.flag("mask_zero", False):
        raise NetworkError(
            "mask_zero is True: the layers after it skip the elements with the id 0, while a network computes all of "
            "them; nearest: mask_zero=False, trained on sequences of one length"
        )
    if inputs[0] not in [each.name for each in draft.inputs]:
        raise NetworkError(
            "its ids are the output of another layer, while ids here are an input of the model; nearest: an Embedding "
            "of an input, which has the final ids"
        )
    sizes = {key: layer.setting(key) for key in ("input_dim", "output_dim")}
    draft.add(Embedding, layer.name, inputs, **sizes)
    draft.copy_parameter(layer.name, "weights", layer, "embeddings")
    return layer.name
