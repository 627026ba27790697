"""A TFLite file that was written, and what has to be known of it to run it."""

from typing import Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np


class TfliteModel(NamedTuple):
    """A file.

    Attributes
    ----------
    content : bytes
    dtype : np.dtype
        int8, uint8 or int16: of its input and outputs.
    offsets : dict of str to int
        By tensor, the input first, then what it puts out, in order: what is added to the integer model's codes (of
        "softmax", for probabilities: to their steps from 0).
    int4 : bool
        Whether it has weights of type INT4.
    notes : tuple of str
        What is different from the model, or what a runtime may take amiss.
    """

    content: bytes
    dtype: np.dtype
    offsets: Dict[str, int]
    int4: bool = False
    notes: Tuple[str, ...] = ()

    @property
    def only_litert(self) -> bool:
        """Whether it has types that the interpreter of TensorFlow 1.15 does not know."""
        return self.int4 or self.dtype == np.int16

    @property
    def outputs(self) -> Tuple[str, ...]:
        """Names of the tensors that it puts out, in order."""
        return tuple(self.offsets)[1:]

    def to_file(self, codes: np.ndarray, name: Optional[str] = None) -> np.ndarray:
        """What the file has for the model's codes of the tensor `name`, by default of the input."""
        return (codes + self.offsets[name or next(iter(self.offsets))]).astype(self.dtype)

    def from_file(self, found: Sequence[np.ndarray]) -> Dict[str, np.ndarray]:
        """int32 codes of the model for what was put out."""
        return {name: values.astype(np.int32) - self.offsets[name] for name, values in zip(self.outputs, found)}
