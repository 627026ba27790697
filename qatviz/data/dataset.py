"""Data set: training and test part, read-only, in memory or in files, for one of the tasks of `qatviz.task`."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.checks import check_memory
from qatviz.data.streamed import Array, StreamedArray, is_streamed, pieces
from qatviz.errors import DataError
from qatviz.safe_text import one_line
from qatviz.scaling import SCALINGS, SIGNED, STANDARD, UNIT, UNSCALED, check_scaling, scaling_of, text_of
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, check_task

# Bytes of each part that the fingerprint covers: all of MNIST; under 0.3 s for data of any size.
_FINGERPRINT_BYTES = 64 * 2**20


class Note(NamedTuple):
    """Note on a data set: a likely mistake, or an inferred property."""

    text: str
    is_mistake: bool = False


class Assumptions(NamedTuple):
    """Properties of a data set that were inferred from the arrays, because nothing states them.

    Attributes
    ----------
    task : bool
        True if the task was inferred from the labels.
    is_index : bool
        True if the labels are numbers of classes, False for one-hot rows and regression targets.
    by_network : bool
        True if the labels look like classes, but the network has a single output: the task is regression.
    held_out : float or None
        Fraction of the examples that was held out, as there is no test part.
    strings : bool
        True if the labels are names of classes.
    scaling : bool
        True if the scaling was inferred from type and shape of the examples.
    integers : str
        Name of the integer type of the given examples; empty if they have another type.
    target_pixels : bool
        True if the targets are uint8 images, whose pixels are scaled as the examples' are.
    float_pixels : bool
        True if the examples are pixels from 0 to 255 of type float32.
    """

    task: bool = False
    is_index: bool = False
    by_network: bool = False
    held_out: Optional[float] = None
    strings: bool = False
    scaling: bool = False
    integers: str = ""
    target_pixels: bool = False
    float_pixels: bool = False


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data set in memory or in files.

    Use :func:`qatviz.data.from_arrays` to build one from arrays of other types and shapes, which it converts. This
    class requires arrays in their final form, and does not copy them.

    Attributes
    ----------
    name : str
        Short name for titles, such as ``"mnist-5k"``.
    x_train, x_test : ndarray of uint8 or float32, shape [N, height, width, channels], [N, rows, columns], [N, features]
        Read-only. uint8 are pixels 0-255, fed to the network as ``x / 255``; float32 is fed unchanged. Data that may be
        larger than memory has :class:`qatviz.data.streamed.StreamedArray` here, of the same dtypes and shapes.
    y_train, y_test : ndarray, read-only
        For classification int32 [N], class indices from 0 to ``num_classes - 1``; for multi-label classification int32
        [N, num_classes], 1 where an example has the label, else 0; for regression float32 [N, outputs] or [N] + shape
        of images, finite targets.
    class_names : tuple of str
        One name per class or label; empty for regression.
    source : str
        Origin, for the user: a path or a description.
    task : str
        One of :data:`qatviz.task.TASKS`.
    assumed : Assumptions
    scaling : str
        Scaling of the examples, a name of :data:`qatviz.scaling.SCALINGS`, or numbers; by default that of the dtype.
        float32 examples of any scaling but "none" are scaled already.
    notes : tuple of Note
        Notes of the reader, such as on files that were skipped or converted.
    choices : mapping of str to tuple of str
        Possible values of options that name parts of the data, by the option's name: arrays, columns.
    output : str
        Name of the network's output that the targets are of; empty if there are only these.
    further : tuple of Dataset
        Targets of further outputs: data sets with the same examples. See :attr:`heads`.
    w_train : ndarray of float32, shape [N], optional
        Weights of the training examples in the loss, at least 0, read-only; None: all are 1. The metric on held-out
        data has no weights.
    """

    name: str
    x_train: Array
    y_train: np.ndarray
    x_test: Array
    y_test: np.ndarray
    class_names: Tuple[str, ...]
    source: str
    task: str = CLASSIFICATION
    assumed: Assumptions = Assumptions()
    scaling: str = ""
    notes: Tuple[Note, ...] = ()
    choices: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    output: str = ""
    further: Tuple["Dataset", ...] = ()
    w_train: Optional[np.ndarray] = None
    _fingerprint: Optional[str] = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_task(self.task)
        inherent = UNIT if self.x_train.dtype == np.uint8 else UNSCALED
        object.__setattr__(self, "scaling", check_scaling(self.scaling or inherent))
        for part in ("train", "test"):
            self._check_part(part, getattr(self, "x_" + part), getattr(self, "y_" + part))
        if self.x_train.dtype != self.x_test.dtype or self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise DataError(
                f"{self.source}: x_train has {self.x_train.dtype} {self.x_train.shape} but x_test "
                f"{self.x_test.dtype} {self.x_test.shape}; expected the same dtype and example shape"
            )
        if self.y_train.shape[1:] != self.y_test.shape[1:]:
            raise DataError(
                f"{self.source}: the targets of an example have the shape {self.y_train.shape[1:]} in y_train but "
                f"{self.y_test.shape[1:]} in y_test; expected the same shape"
            )
        # Names of files and folders, which may be any bytes, or texts in a file: they are shown, printed and exported.
        object.__setattr__(self, "name", one_line(str(self.name)))
        object.__setattr__(self, "class_names", tuple(one_line(str(name)) for name in self.class_names))
        if self.w_train is not None and self.w_train.shape != (len(self.x_train),):
            raise DataError(
                f"{self.source}: w_train has the shape {list(self.w_train.shape)}; expected [{len(self.x_train)}]"
            )
        for name in self._arrays:
            array = getattr(self, name)
            if not is_streamed(array):
                view = array.view()
                view.setflags(write=False)
                object.__setattr__(self, name, view)
        object.__setattr__(self, "further", tuple(map(self._with_own_examples, self.further)))

    def _with_own_examples(self, further: "Dataset") -> "Dataset":
        """Return the targets of a further output as those of this data set's examples."""
        about = self.name, self.source, self.scaling
        examples = {"x_train": self.x_train, "x_test": self.x_test}
        return replace(further, **examples, **dict(zip(("name", "source", "scaling"), about)))

    @property
    def heads(self) -> Tuple["Dataset", ...]:
        """The data set of each output, with the same examples; that of the first is the whole."""
        return (self, *self.further)

    def _check_part(self, part: str, images: Array, labels: np.ndarray) -> None:
        if images.dtype not in (np.uint8, np.float32) or images.ndim not in (2, 3, 4):
            raise DataError(
                f"{self.source}: x_{part} is {images.dtype} of shape {images.shape}; expected uint8 or float32 of "
                "shape [N, height, width, channels], [N, rows, columns] or [N, features]"
            )
        if self.task == REGRESSION:
            self._check_targets(part, images, labels)
        elif self.task == MULTILABEL:
            self._check_label_rows(part, images, labels)
        else:
            self._check_labels(part, images, labels)

    def _check_labels(self, part: str, images: Array, labels: np.ndarray) -> None:
        if labels.dtype != np.int32 or labels.shape != images.shape[:1] or labels.size == 0:
            raise DataError(
                f"{self.source}: y_{part} is {labels.dtype} of shape {labels.shape}; expected int32 of shape "
                f"[{images.shape[0]}], not empty"
            )
        if labels.min() < 0 or labels.max() >= len(self.class_names):
            raise DataError(
                f"{self.source}: y_{part} has labels from {labels.min()} to {labels.max()}; expected 0 to "
                f"{len(self.class_names) - 1}, as there are {len(self.class_names)} class names"
            )

    def _check_label_rows(self, part: str, images: Array, labels: np.ndarray) -> None:
        shape = (len(images), len(self.class_names))
        if labels.dtype != np.int32 or labels.shape != shape or labels.size == 0:
            raise DataError(
                f"{self.source}: y_{part} is {labels.dtype} of shape {labels.shape}; expected int32 of shape "
                f"{list(shape)}, not empty"
            )
        if labels.min() < 0 or labels.max() > 1:
            raise DataError(
                f"{self.source}: y_{part} has values from {labels.min()} to {labels.max()}; expected 0 and 1"
            )

    def _check_targets(self, part: str, images: Array, targets: np.ndarray) -> None:
        if (
            targets.dtype != np.float32
            or targets.ndim not in (2, 3, 4)
            or len(targets) != len(images)
            or targets.size == 0
        ):
            raise DataError(
                f"{self.source}: y_{part} is {targets.dtype} of shape {targets.shape}; expected float32 of "
                f"shape [{images.shape[0]}, outputs] or of images, not empty"
            )
        if not np.isfinite(targets).all():
            raise DataError(f"{self.source}: y_{part} has values that are not finite; expected none")
        if self.class_names:
            raise DataError(f"{self.source}: found class names {list(self.class_names)} for regression; expected none")

    def with_input_shape(self, shape: Tuple[int, ...]) -> "Dataset":
        """Return the same data with examples of this shape, if theirs differs in a last axis of length 1 only.

        Otherwise, return the data set itself. Images of one channel are stored with or without an axis for it, as are
        sequences of one feature.
        """
        if self.input_shape == tuple(shape) or not same_examples(self.input_shape, shape):
            return self
        return self._reshaped(("x_train", "x_test"), shape)

    def with_target_shape(self, shape: Tuple[int, ...]) -> "Dataset":
        """Return the same data with targets of this shape, if theirs differs in a last axis of length 1 only.

        Otherwise, return the data set itself.
        """
        own = self.output_shape
        is_image = self.task == REGRESSION and len(own) > 1
        if not is_image or own == tuple(shape) or not same_examples(own, shape):
            return self
        return self._reshaped(("y_train", "y_test"), shape)

    def _reshaped(self, names: Tuple[str, str], shape: Tuple[int, ...]) -> "Dataset":
        """Return the same data with the named arrays of this shape for each example, and with its fingerprint."""
        arrays = {name: getattr(self, name) for name in names}
        changed = {name: array.reshape((len(array), *shape)) for name, array in arrays.items()}
        fitted = replace(self, **changed)
        object.__setattr__(fitted, "_fingerprint", self.fingerprint)
        return fitted

    def with_scaling(self, scaling: str) -> "Dataset":
        """Return the same data with a stated scaling, in a form of :mod:`qatviz.scaling`, or "standard".

        uint8 examples are stored values. float32 ones are, too, if they are not scaled.

        Raises
        ------
        SettingError
            If there is no such scaling.
        DataError
            If the examples are scaled otherwise, or are not pixels.
        """
        stated = self.assumed._replace(scaling=False)
        if scaling == STANDARD and self.scaling not in SCALINGS:
            return replace(self, assumed=stated)  # it has been scaled by numbers
        if scaling == STANDARD:
            scaling = self._standard_scaling()
        if check_scaling(scaling) == self.scaling:
            return replace(self, assumed=stated)
        channels = len(scaling_of(scaling).means)
        if channels not in (1, self.input_shape[-1]):
            raise DataError(
                f"{self.source}: the scaling has numbers for {channels:,} channels, but examples have "
                f"{self.input_shape[-1]:,}: expected as many, or one number for all",
                "scaling",
            )
        if self.scaling != UNSCALED and self.x_train.dtype != np.uint8:
            raise DataError(
                f"{self.source}: the scaling is {scaling!r}, but the examples are already "
                f"{scaling_of(self.scaling).found}: expected {self.scaling!r}",
                "scaling",
            )
        x_train, x_test = self.x_train, self.x_test
        if isinstance(x_train, StreamedArray) or isinstance(x_test, StreamedArray):
            raise DataError(
                f"{self.source}: the scaling is {scaling!r}, but the examples are stored for {self.scaling!r} and read "
                f"during the run: expected {self.scaling!r}, or a store that is made with the scaling {scaling!r}",
                "scaling",
            )
        x_train, x_test = _scaled((x_train, x_test), scaling, self.source)
        further = tuple(head._with_target_scaling(scaling) for head in self.further)
        fitted = self._with_target_scaling(scaling)
        return replace(fitted, x_train=x_train, x_test=x_test, assumed=stated, scaling=scaling, further=further)

    def _with_target_scaling(self, scaling: str) -> "Dataset":
        """Return the same data with its targets in another scaling, if they are pixels in the scaling "unit"."""
        if not self.assumed.target_pixels:
            return self
        numbers = scaling_of(scaling)
        if len(numbers.means) not in (1, self.y_train.shape[-1]):
            return self  # the targets have other channels, which stay scaled by 1/255
        y_train, y_test = (numbers.apply(255 * y) for y in (self.y_train, self.y_test))
        return replace(self, y_train=y_train, y_test=y_test)

    def _standard_scaling(self) -> str:
        """Return the scaling by the mean and standard deviation of each channel of the training examples.

        A channel of equal values has the deviation 1.
        """
        channels = self.input_shape[-1]
        total, squares, number = np.zeros(channels), np.zeros(channels), 0
        low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
        for part in pieces(self.x_train):
            values = part.astype(np.float64).reshape(-1, channels)
            total += values.sum(axis=0)
            squares += np.square(values).sum(axis=0)
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
            number += len(values)
        means = total / number
        deviations = np.sqrt(np.maximum(squares / number - np.square(means), 0))
        usable = (low < high) & (deviations > 0)
        return text_of(means.tolist(), np.where(usable, deviations, 1.0).tolist())

    def as_regression(self) -> "Dataset":
        """Return the same data with the numbers of the classes as regression targets."""
        y_train, y_test = (y.astype(np.float32)[:, np.newaxis] for y in (self.y_train, self.y_test))
        assumed = self.assumed._replace(by_network=True)
        return replace(self, y_train=y_train, y_test=y_test, class_names=(), task=REGRESSION, assumed=assumed)

    @property
    def _arrays(self) -> Tuple[str, ...]:
        """Names of the arrays."""
        return ("x_train", "y_train", "x_test", "y_test", *(() if self.w_train is None else ("w_train",)))

    @property
    def input_shape(self) -> Tuple[int, ...]:
        """Shape of one example: ``(height, width, channels)`` or ``(features,)``."""
        return tuple(self.x_train.shape[1:])

    @property
    def num_classes(self) -> int:
        """Number of classes or labels; 0 for regression."""
        return len(self.class_names)

    @property
    def output_shape(self) -> Tuple[int, ...]:
        """Shape of the output that a network needs: a number per class or label, or an example's targets' shape."""
        return tuple(self.y_train.shape[1:]) if self.task == REGRESSION else (self.num_classes,)

    @property
    def num_outputs(self) -> int:
        """Length of the last axis of :attr:`output_shape`: the number of classes, labels, targets or channels."""
        return self.output_shape[-1]

    @property
    def pixel_scale(self) -> float:
        """Factor by which the graph multiplies examples after the cast to float: 1/255 for uint8, else 1."""
        return 1.0 / 255.0 if self.x_train.dtype == np.uint8 else 1.0

    @property
    def streamed(self) -> Tuple[str, ...]:
        """Names of the arrays that are read from files during a run, such as ``"x_train"``; none for data in memory."""
        return tuple(name for name in ("x_train", "x_test") if is_streamed(getattr(self, name)))

    @property
    def fingerprint(self) -> str:
        """Hash of the contents, 32 hexadecimal digits, the same in every process and on every platform.

        Resuming a run compares it to verify that the data is the same. It covers shapes, dtypes, the number of classes,
        all labels or targets and weights, and the examples; if a part exceeds 64 MiB, evenly spaced examples of that
        total size.
        Names and the source are not covered: a data set may be moved.
        """
        fingerprint = self._fingerprint
        if fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            own = ("x_train", "y_train", "x_test", "y_test") if not self.further else ("x_train", "x_test")
            for name in own:
                self._add_to_digest(digest, name)
            # Of several outputs in any order: networks may have them in another one.
            for part in sorted(head._target_digest() for head in self.heads if self.further):
                digest.update(part)
            if self.w_train is not None:
                self._add_to_digest(digest, "w_train")
            fingerprint = digest.hexdigest()
            object.__setattr__(self, "_fingerprint", fingerprint)
        return fingerprint

    def _add_to_digest(self, digest: Any, name: str) -> None:
        array = getattr(self, name)
        stride = -(-array.nbytes // _FINGERPRINT_BYTES) if name[0] == "x" else 1
        # Which output is the first depends on the order.
        classes = 0 if name[0] == "x" and self.further else self.num_classes
        digest.update(f"{array.dtype.name}{array.shape}{classes}".encode("ascii"))
        little_endian = array.dtype.newbyteorder("<")
        digest.update(np.ascontiguousarray(array[:: max(stride, 1)], dtype=little_endian).data.cast("B"))

    def _target_digest(self) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for name in ("y_train", "y_test"):
            self._add_to_digest(digest, name)
        return digest.digest()


def same_examples(shape: Tuple[int, ...], other: Tuple[int, ...]) -> bool:
    """Return whether two shapes of an example are equal, apart from a last axis of length 1 that one may lack."""
    one, two = tuple(shape), tuple(other)
    return one == two or one == (*two, 1) or (*one, 1) == two


def is_regression_by_network(task: str, assumed: Assumptions, classes: int, outputs: int) -> bool:
    """Return whether a network decides that labels, inferred to be classes, are numbers to predict.

    It does if it has a single output and there are more than two classes: for two classes, a single output can be a
    binary classifier.
    """
    return task == CLASSIFICATION and assumed.task and assumed.is_index and outputs == 1 and classes > 2


def _scaled(parts: Sequence[np.ndarray], scaling: str, source: str) -> Tuple[np.ndarray, ...]:
    """Return the parts of a data set, of one dtype, in the form that `Dataset` requires for a scaling.

    Parameters
    ----------
    parts : sequence of ndarray
        Stored values, uint8 or float32.
    scaling : str
        A name of `SCALINGS`, or numbers. "unit" gives uint8 if all values are whole numbers; the graph scales them.
    source : str
        Origin of the data, for messages.

    Raises
    ------
    DataError
        If pixels are not between 0 and 255.
    """
    if scaling in SCALINGS and scaling != UNSCALED:
        low, high = min(float(x.min()) for x in parts), max(float(x.max()) for x in parts)
        if low < 0 or high > 255:
            raise DataError(
                f"{source}: found values from {low:g} to {high:g}; expected pixels from 0 to 255 for the scaling "
                f"{scaling!r} ({SCALINGS[scaling].formula})",
                "scaling",
            )
    as_uint8 = scaling == UNIT and all(x.dtype == np.uint8 or (x == np.floor(x)).all() for x in parts)
    dtype = np.dtype(np.uint8 if as_uint8 else np.float32)
    if parts[0].dtype != dtype:
        check_memory(source, dtype.itemsize * sum(x.size for x in parts), "scaling its examples")
    converted = tuple(x.astype(dtype, copy=False) for x in parts)
    if scaling == SIGNED:
        return tuple(x / np.float32(127.5) - np.float32(1) for x in converted)
    if scaling not in SCALINGS:
        return tuple(scaling_of(scaling).apply(x) for x in converted)
    return converted if scaling == UNSCALED or as_uint8 else tuple(x / np.float32(255) for x in converted)
