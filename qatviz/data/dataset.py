"""What a data set is: two parts of images or feature rows with classes or numbers to predict, frozen and read-only."""

import hashlib
from dataclasses import dataclass, field
from typing import Optional, Tuple

import numpy as np

from qatviz.errors import DataError
from qatviz.metric import CLASSIFICATION, REGRESSION, check_task

# Bytes of each part that go into the fingerprint: all of MNIST, and under 0.3 s for data of any size.
_FINGERPRINT_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory, for classification or for regression.

    Build one from arrays of any accepted kind with :func:`qatviz.data.from_arrays`, which converts and checks them;
    this class holds only what is already in its final form, and shares it with the caller rather than copying.

    Attributes
    ----------
    name : str
        Short name for titles, such as ``"mnist-5k"``.
    x_train, x_test : ndarray of uint8 or float32, shape [N, height, width, channels] or [N, features]
        Read-only. uint8 means pixels 0-255, which the network sees as ``x / 255``; float32 is fed as it is.
    y_train, y_test : ndarray, read-only
        For classification int32 [N], class indices in 0 .. ``num_classes - 1``; for regression float32 [N, outputs],
        finite: the numbers to predict.
    class_names : tuple of str
        One name a class; empty for regression.
    source : str
        Where it came from, for the user: a path, or a description.
    task : str
        ``"classification"`` or ``"regression"``.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: Tuple[str, ...]
    source: str
    task: str = CLASSIFICATION
    _fingerprint: Optional[str] = field(default=None, init=False, repr=False)

    def __post_init__(self):
        check_task(self.task)
        for part in ("train", "test"):
            self._check_part(part, getattr(self, "x_" + part), getattr(self, "y_" + part))
        if self.x_train.dtype != self.x_test.dtype or self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise DataError(
                f"{self.source}: x_train has {self.x_train.dtype} {self.x_train.shape} but x_test "
                f"{self.x_test.dtype} {self.x_test.shape}: expected the same dtype and example shape"
            )
        if self.y_train.shape[1:] != self.y_test.shape[1:]:
            raise DataError(
                f"{self.source}: y_train has {self.y_train.shape[1]} numbers an example but y_test "
                f"{self.y_test.shape[1]}: expected the same"
            )
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        for name in ("x_train", "y_train", "x_test", "y_test"):
            view = getattr(self, name).view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    def _check_part(self, part, images, labels):
        if images.dtype not in (np.uint8, np.float32) or images.ndim not in (2, 4):
            raise DataError(
                f"{self.source}: x_{part} is {images.dtype} of shape {images.shape}: expected uint8 or "
                "float32, [N, height, width, channels] or "
                "[N, features]"
            )
        if self.task == REGRESSION:
            self._check_targets(part, images, labels)
        else:
            self._check_labels(part, images, labels)

    def _check_labels(self, part, images, labels):
        if labels.dtype != np.int32 or labels.shape != images.shape[:1] or labels.size == 0:
            raise DataError(
                f"{self.source}: y_{part} is {labels.dtype} of shape {labels.shape}: expected int32 of shape "
                f"[{images.shape[0]}], not empty"
            )
        if labels.min() < 0 or labels.max() >= len(self.class_names):
            raise DataError(
                f"{self.source}: y_{part} has labels from {labels.min()} to {labels.max()}: expected 0 to "
                f"{len(self.class_names) - 1}, one a class name"
            )

    def _check_targets(self, part, images, targets):
        if targets.dtype != np.float32 or targets.ndim != 2 or len(targets) != len(images) or targets.size == 0:
            raise DataError(
                f"{self.source}: y_{part} is {targets.dtype} of shape {targets.shape}: expected float32 of "
                f"shape [{images.shape[0]}, outputs], not empty"
            )
        if not np.isfinite(targets).all():
            raise DataError(f"{self.source}: y_{part} has values that are not finite: expected none")
        if self.class_names:
            raise DataError(f"{self.source}: found class names {list(self.class_names)} for regression: expected none")

    @property
    def input_shape(self):
        """Shape of one example: ``(height, width, channels)`` or ``(features,)``."""
        return self.x_train.shape[1:]

    @property
    def num_classes(self):
        """Number of classes; 0 for regression."""
        return len(self.class_names)

    @property
    def num_outputs(self):
        """How many numbers a network has to put out for an example: one a class, or those to predict."""
        return self.y_train.shape[1] if self.task == REGRESSION else self.num_classes

    @property
    def pixel_scale(self):
        """Factor by which the graph multiplies an example after its cast to float: 1/255 for uint8, else 1."""
        return 1.0 / 255.0 if self.x_train.dtype == np.uint8 else 1.0

    @property
    def fingerprint(self):
        """Hash of the contents, 32 hexadecimal digits, the same in every process and on every platform.

        A resumed run compares it to know that it sees the same data. It covers shapes, dtypes, the number of classes,
        all labels or targets and the examples; of a part above 64 MiB, rows at an even distance that add up to it.
        Names and the source are left out: the same data may have moved.
        """
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            for name in ("x_train", "y_train", "x_test", "y_test"):
                array = getattr(self, name)
                stride = -(-array.nbytes // _FINGERPRINT_BYTES) if name[0] == "x" else 1
                digest.update(f"{array.dtype.name}{array.shape}{self.num_classes}".encode("ascii"))
                little_endian = array.dtype.newbyteorder("<")
                digest.update(np.ascontiguousarray(array[:: max(stride, 1)], dtype=little_endian).data.cast("B"))
            object.__setattr__(self, "_fingerprint", digest.hexdigest())
        return self._fingerprint
