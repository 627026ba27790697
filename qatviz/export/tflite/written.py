"""A TFLite file with what is needed to run it."""

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.export.integers.model import IntegerModel
from qatviz.inputs import packed_examples, split_examples


class TfliteModel(NamedTuple):
    """TFLite file with the offsets of its codes.

    Attributes
    ----------
    content : bytes
    dtype : np.dtype
        Type of its inputs and outputs, except for ids: int8, uint8 or int16.
    offsets : dict of str to int
        Numbers that are added to the integer model's codes: of the inputs, then of the outputs in order. Codes of the
        output "softmax" count from probability 0.
    int4 : bool
        True if it has weights of type INT4.
    notes : tuple of str
        Texts on differences from the model, and on behaviour that varies between runtimes.
    rounded_twice : bool
        True if LiteRT's kernels round twice in an operation.
    only_litert : bool
        True if the interpreter of TensorFlow 1.15 does not support its types, or computes other codes.
    single : bool
        True if it takes one example at a time.
    integers : IntegerModel or None
        The integers of the file itself if they are not the model's, but chosen for kernels that round twice.
    inputs : tuple of (str, tuple of int)
        Names and shapes of its inputs; the first of the offsets is that of the only input if they are not known.
    ids : tuple of str
        Names of its inputs of ids, which are int32.
    """

    content: bytes
    dtype: np.dtype
    offsets: Dict[str, int]
    int4: bool = False
    notes: Tuple[str, ...] = ()
    rounded_twice: bool = False
    only_litert: bool = False
    single: bool = False
    integers: Optional[IntegerModel] = None
    inputs: Tuple[Tuple[str, Tuple[int, ...]], ...] = ()
    ids: Tuple[str, ...] = ()

    @property
    def outputs(self) -> Tuple[str, ...]:
        """Names of its outputs, in order."""
        return tuple(self.offsets)[max(len(self.inputs), 1) :]

    def to_file(self, codes: np.ndarray, name: Optional[str] = None) -> np.ndarray:
        """Return the file's codes for the model's codes of the tensor `name`, by default of the input.

        Of several inputs, both are rows (:mod:`qatviz.inputs`), as int32 if some have ids.
        """
        if name is None and len(self.inputs) > 1:
            parts = split_examples(self.inputs, codes)
            return packed_examples([self.to_file(part, own) for own, part in parts.items()])
        name = name or next(iter(self.offsets))
        return (codes + self.offsets[name]).astype(np.int32 if name in self.ids else self.dtype)

    def from_file(self, found: Sequence[np.ndarray]) -> Dict[str, np.ndarray]:
        """Return the model's codes, int32, for the file's outputs."""
        return {name: values.astype(np.int32) - self.offsets[name] for name, values in zip(self.outputs, found)}
