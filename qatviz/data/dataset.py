"""Data sets: a training part and a test part, read-only, in memory or in files, for one of the tasks."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.data.checks import check_memory
from qatviz.data.data_input import DataInput, in_order, scaling_text, with_input_scalings
from qatviz.data.streamed import Array, Statistics, StreamedArray, is_streamed, pieces
from qatviz.data.target_checks import CHECKS
from qatviz.errors import DataError
from qatviz.safe_text import one_line
from qatviz.scaling import (
    SCALINGS,
    SIGNED,
    STANDARD,
    UNIT,
    UNSCALED,
    check_scaling,
    scaling_of,
    scalings_by_input,
    text_of,
)
from qatviz.task import CLASSIFICATION, REGRESSION, SEGMENTATION, check_task

# Bytes of the examples of each part that the fingerprint covers: all of MNIST; under 0.3 s for data of any size.
_FINGERPRINT_BYTES = 64 * 2**20


class Note(NamedTuple):
    """Note on a data set: a likely mistake, an inferred property, or what its reader skipped or converted."""

    text: str
    is_mistake: bool = False


class Assumptions(NamedTuple):
    """Properties of a data set that were inferred from the arrays, because nothing states them.

    Attributes
    ----------
    task : bool
        True if the task was inferred from the labels.
    is_index : bool
        True if the labels are a number or name for each example, False if they are rows, such as one-hot rows.
    by_network : bool
        True if the labels look like classes, but the network has a single output: the task is regression.
    held_out : float or None
        Fraction of the examples that was held out, as there was no test part; None if there was one.
    strings : bool
        True if the labels are strings that name the classes.
    scaling : bool
        True if the scaling was inferred from type and shape of the examples.
    integers : str
        Name of the integer dtype that the examples had before their conversion; empty for other dtypes.
    target_pixels : bool
        True if the targets were uint8 images, whose pixels are scaled as those of the examples.
    float_pixels : bool
        True if the examples are float32 pixels from 0 to 255.
    ignored_label : int or None
        Label of the ignored pixels of masks; None if there are none.
    numbered : bool
        True if the labels are class indices without names, so that there may be more classes than the labels have.
    foreground : bool
        True if the labels of masks were 0 and 255, which are the classes 0 and 1.
    """

    task: bool = False
    is_index: bool = False
    by_network: bool = False
    held_out: Optional[float] = None
    strings: bool = False
    numbered: bool = False
    scaling: bool = False
    integers: str = ""
    target_pixels: bool = False
    float_pixels: bool = False
    ignored_label: Optional[int] = None
    foreground: bool = False


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data set in memory or in files.

    :func:`qatviz.data.from_arrays` builds one from arrays of other types and shapes, which it converts. This class
    requires arrays in the form below, and does not copy them.

    Attributes
    ----------
    name : str
        Short name for titles, such as ``"mnist-5k"``.
    x_train, x_test : ndarray or StreamedArray, uint8 or float32
        Examples of shape [N, height, width, channels], [N, rows, columns] or [N, features]; read-only. uint8 are pixels
        0-255, fed to the network as ``x / 255``; float32 is fed unchanged. Data that may be larger than memory is a
        :class:`qatviz.data.streamed.StreamedArray`.
    y_train, y_test : ndarray, read-only
        For classification class indices from 0 to ``num_classes - 1``, int32 [N]; for multi-label classification 1
        where an example has the label, else 0, int32 [N, num_classes]; for segmentation class indices, or
        :func:`qatviz.data.masks.void_of` for pixels that are ignored, uint8 or int32 [N, height, width]; for regression
        finite targets, float32 [N, outputs], or images [N, ...].
    class_names : tuple of str
        One name per class or label; empty for regression.
    source : str
        Origin, for the user: a path or a description.
    task : str
        One of :data:`qatviz.task.TASKS`.
    assumed : Assumptions
    scaling : str
        Scaling of the examples as they are fed, see :func:`qatviz.scaling.scaling_of`; by default "unit" for uint8,
        which is scaled in the graph, and "none" for float32. float32 examples of another scaling are scaled already.
    notes : tuple of Note
        Notes of the reader, such as on files that were skipped or converted.
    choices : mapping of str to tuple of str
        Arrays or columns that options can name, by the name of the option, see :data:`qatviz.data_options.OF_PARTS`.
    output : str
        Name of the output of a network for which the targets are; empty if there are only these targets.
    further : tuple of Dataset
        Targets for further outputs of a network: data sets with the same examples. See :attr:`heads`.
    w_train : ndarray of float32, shape [N], optional
        Weights of the training examples in the loss of this output, at least 0, read-only; None: all are 1. The metric
        on held-out data has no weights.
    inputs : tuple of DataInput
        Inputs of a network with several, for which the examples are rows ``[N, features]`` with the values of all, see
        :mod:`qatviz.inputs`; empty for a network with one. :attr:`scaling` has the scaling of each.
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
    inputs: Tuple[DataInput, ...] = ()
    _fingerprint: Optional[str] = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        check_task(self.task)
        inherent = UNIT if self.x_train.dtype == np.uint8 else UNSCALED
        scaling = scaling_text(self.inputs) if self.inputs else self.scaling or inherent
        object.__setattr__(self, "scaling", check_scaling(scaling))
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
        weights = self.w_train
        if weights is not None and (weights.dtype != np.float32 or weights.shape != (len(self.x_train),)):
            raise DataError(
                f"{self.source}: w_train is {weights.dtype} of shape {list(weights.shape)}; expected float32 of shape "
                f"[{len(self.x_train)}]"
            )
        for name in self._arrays:
            array = getattr(self, name)
            if not is_streamed(array):
                view = array.view()
                view.setflags(write=False)
                object.__setattr__(self, name, view)
        object.__setattr__(self, "further", tuple(map(self._with_own_examples, self.further)))

    def _with_own_examples(self, further: "Dataset") -> "Dataset":
        """Return a data set of ``further`` with the examples, name, source, scaling and inputs of this one."""
        shared = {name: getattr(self, name) for name in ("x_train", "x_test", "name", "source", "scaling", "inputs")}
        return replace(further, **shared)

    @property
    def heads(self) -> Tuple["Dataset", ...]:
        """Data sets with the targets of one output each, and the same examples; the first is this data set itself."""
        return (self, *self.further)

    def _check_part(self, part: str, examples: Array, targets: np.ndarray) -> None:
        """Raise a `DataError` if dtypes, shapes or values of the part "train" or "test" are not allowed."""
        if examples.dtype not in (np.uint8, np.float32) or examples.ndim not in (2, 3, 4):
            raise DataError(
                f"{self.source}: x_{part} is {examples.dtype} of shape {examples.shape}; expected uint8 or float32 of "
                "shape [N, height, width, channels], [N, rows, columns] or [N, features]"
            )
        CHECKS[self.task](f"{self.source}: y_{part}", len(examples), targets, self.class_names)

    def with_input_shape(self, shape: Tuple[int, ...]) -> "Dataset":
        """Return the same data with examples of this shape, which may have or lack a last axis of length 1.

        Images of one channel are stored with or without an axis for it, as are sequences of one feature. If the shape
        differs in more than that, or not at all, return the data set itself.
        """
        if self.input_shape == tuple(shape) or not equal_up_to_unit_axis(self.input_shape, shape):
            return self
        return self._reshaped(("x_train", "x_test"), shape)

    def with_target_shape(self, shape: Tuple[int, ...]) -> "Dataset":
        """Return the same data with targets of this shape, if they are images: as :meth:`with_input_shape` does."""
        own = self.output_shape
        is_image = self.task == REGRESSION and len(own) > 1
        if not is_image or own == tuple(shape) or not equal_up_to_unit_axis(own, shape):
            return self
        return self._reshaped(("y_train", "y_test"), shape)

    def _reshaped(self, names: Tuple[str, str], shape: Tuple[int, ...]) -> "Dataset":
        """Return the same data, with its fingerprint, and with rows of this shape in the named arrays."""
        arrays = {name: getattr(self, name) for name in names}
        changed = {name: array.reshape((len(array), *shape)) for name, array in arrays.items()}
        fitted = replace(self, **changed)
        object.__setattr__(fitted, "_fingerprint", self.fingerprint)
        return fitted

    def with_scaling(self, scaling: str) -> "Dataset":
        """Return the same data in another scaling.

        Parameters
        ----------
        scaling : str
            Allowed by :func:`qatviz.scaling.check_wanted_scaling`. "standard" is the scaling by the mean and standard
            deviation of each channel of the training examples, unless these are scaled by numbers already.

        Raises
        ------
        SettingError
            If there is no such scaling.
        DataError
            If float32 examples already have another scaling, the scaling is for pixels and there are values outside of
            0 to 255, or the number of channels differs.
        """
        if self.inputs or scalings_by_input(scaling):
            return with_input_scalings(self, scaling)
        stated = self.assumed._replace(scaling=False)
        if scaling == STANDARD and self.scaling not in SCALINGS:
            return replace(self, assumed=stated)  # it has been scaled by numbers
        if scaling == STANDARD:
            scaling = self.standard_scaling()
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
        x_train, x_test = _scaled((self.x_train, self.x_test), scaling, self.source)
        further = tuple(head._with_target_scaling(scaling) for head in self.further)
        fitted = self._with_target_scaling(scaling)
        return replace(fitted, x_train=x_train, x_test=x_test, assumed=stated, scaling=scaling, further=further)

    def _with_target_scaling(self, scaling: str) -> "Dataset":
        """Return the same data with its targets in another scaling, if they are pixels, which are scaled by 1/255."""
        if not self.assumed.target_pixels:
            return self
        numbers = scaling_of(scaling)
        if len(numbers.means) not in (1, self.y_train.shape[-1]):
            return self  # the targets have other channels, which stay scaled by 1/255
        y_train, y_test = (numbers.apply(255 * y) for y in (self.y_train, self.y_test))
        return replace(self, y_train=y_train, y_test=y_test)

    def standard_scaling(self) -> str:
        """Return the scaling by the mean and standard deviation of each channel of the training examples, as text.

        The deviation of a channel of equal values is 1.
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
        """Return the same data with its class indices as regression targets, float32 [N, 1]."""
        y_train, y_test = (y.astype(np.float32)[:, np.newaxis] for y in (self.y_train, self.y_test))
        assumed = self.assumed._replace(by_network=True)
        return replace(self, y_train=y_train, y_test=y_test, class_names=(), task=REGRESSION, assumed=assumed)

    def with_numbered_classes(self, count: int) -> "Dataset":
        """Return the same data with ``count`` classes, if its labels are numbers that all of these include.

        Otherwise, if the labels have names or are one-hot rows, the data as it is.
        """
        can_be_more = self.task == CLASSIFICATION and self.assumed.numbered and not self.further
        if not can_be_more or count <= self.num_classes:
            return self
        return replace(self, class_names=tuple(map(str, range(count))))

    @property
    def _arrays(self) -> Tuple[str, ...]:
        """Names of the fields that are arrays."""
        return ("x_train", "y_train", "x_test", "y_test", *(() if self.w_train is None else ("w_train",)))

    @property
    def input_shape(self) -> Tuple[int, ...]:
        """Shape of one example: ``(height, width, channels)``, ``(rows, columns)`` or ``(features,)``."""
        return tuple(self.x_train.shape[1:])

    @property
    def example_shapes(self) -> Union[Tuple[int, ...], Mapping[str, Tuple[int, ...]]]:
        """Shape of one example, or of several inputs by name."""
        return {each.name: each.shape for each in self.inputs} or self.input_shape

    @property
    def num_classes(self) -> int:
        """Number of classes or labels; 0 for regression."""
        return len(self.class_names)

    @property
    def output_shape(self) -> Tuple[int, ...]:
        """Shape of the output that a network needs: a number per label or class (of a pixel), or the targets' shape."""
        own = tuple(self.y_train.shape[1:])
        return own if self.task == REGRESSION else (*(own if self.task == SEGMENTATION else ()), self.num_classes)

    @property
    def num_outputs(self) -> int:
        """Length of the last axis of :attr:`output_shape`: the number of classes, labels, targets or channels."""
        return self.output_shape[-1]

    @property
    def pixel_scale(self) -> float:
        """Factor by which the graph multiplies examples after it has cast them to float32: 1/255 for uint8, else 1."""
        return 1.0 / 255.0 if self.x_train.dtype == np.uint8 else 1.0

    def as_fed(self, stored: np.ndarray) -> np.ndarray:
        """Return examples of the data set as the graph computes with them: a copy, float32, of the same shape."""
        examples = stored.astype(np.float32)
        if self.pixel_scale != 1.0:
            examples *= np.float32(self.pixel_scale)
        return examples

    @property
    def streamed(self) -> Tuple[str, ...]:
        """Names of the arrays that are read from files during a run: of "x_train" and "x_test"."""
        return tuple(name for name in ("x_train", "x_test") if is_streamed(getattr(self, name)))

    @property
    def fingerprint(self) -> str:
        """Hash of the contents, 32 hexadecimal digits, the same in every process and on every platform.

        A resumed run compares it to verify that the data is the same. It covers shapes, dtypes, the number of classes,
        all labels or targets, all weights, and the examples; of a part with more than 64 MiB of examples, evenly spaced
        ones of that total size. It does not cover names and the source: a data set may be moved.
        """
        fingerprint = self._fingerprint
        if fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            own = ("x_train", "y_train", "x_test", "y_test") if not self.further else ("x_train", "x_test")
            for name in own:
                self._add_to_digest(digest, name)
            # Sorted, so that the order of the outputs has no effect: it may be another one in a network.
            for part in sorted(head._target_digest() for head in self.heads if self.further):
                digest.update(part)
            if self.w_train is not None and not self.further:
                self._add_to_digest(digest, "w_train")
            fingerprint = digest.hexdigest()
            object.__setattr__(self, "_fingerprint", fingerprint)
        return fingerprint

    def _add_to_digest(self, digest: Any, name: str) -> None:
        """Add the array of this name to a digest of the fingerprint."""
        array = getattr(self, name)
        stride = -(-array.nbytes // _FINGERPRINT_BYTES) if name[0] == "x" else 1
        # Which output is the first, whose number of classes this is, depends on the order.
        classes = 0 if name[0] == "x" and self.further else self.num_classes
        digest.update(f"{array.dtype.name}{array.shape}{classes}".encode("ascii"))
        little_endian = array.dtype.newbyteorder("<")
        rows = array[:: max(stride, 1)]
        if name[0] == "x" and self.inputs:  # in any order, too
            rows = in_order(self.inputs, sorted(each.name for each in self.inputs), rows)
        digest.update(np.ascontiguousarray(rows, dtype=little_endian).data.cast("B"))

    def _target_digest(self) -> bytes:
        """Return the digest of the targets of one of several outputs."""
        digest = hashlib.blake2b(digest_size=16)
        for name in ("y_train", "y_test", *(() if self.w_train is None else ("w_train",))):
            self._add_to_digest(digest, name)
        return digest.digest()


def equal_up_to_unit_axis(shape: Tuple[int, ...], other: Tuple[int, ...]) -> bool:
    """Return whether two shapes of an example are equal, or differ only in a last axis of length 1 that one lacks.

    >>> equal_up_to_unit_axis((8, 8), (8, 8, 1)), equal_up_to_unit_axis((8, 8), (8, 8, 3))
    (True, False)
    """
    one, two = tuple(shape), tuple(other)
    return one == two or one == (*two, 1) or (*one, 1) == two


def is_regression_by_network(task: str, assumed: Assumptions, classes: int, outputs: int) -> bool:
    """Return whether the number of a network's outputs decides that inferred classes are numbers to predict instead.

    It does if there is a single output and more than two classes: for two classes, a single output can be a binary
    classifier. ``assumed`` and ``classes`` are those of the data set.
    """
    return task == CLASSIFICATION and assumed.task and assumed.is_index and outputs == 1 and classes > 2


def _scaled(parts: Sequence[Array], scaling: str, source: str) -> Tuple[Array, ...]:
    """Return stored examples in the form that `Dataset` requires for a scaling.

    Parameters
    ----------
    parts : sequence of ndarray or StreamedArray
        Stored values of each part, all uint8 or all float32.
    scaling : str
        See :func:`qatviz.scaling.scaling_of`. For "unit", whole numbers in memory are returned as uint8, which the
        graph scales.
    source : str
        Origin of the data, for messages.

    Raises
    ------
    DataError
        If the scaling is for pixels, and values are not between 0 and 255, or memory does not suffice.
    """
    if scaling in SCALINGS and scaling != UNSCALED:
        low, high = min(float(x.min()) for x in parts), max(float(x.max()) for x in parts)
        if low < 0 or high > 255:
            raise DataError(
                f"{source}: found values from {low:g} to {high:g}; expected pixels from 0 to 255 for the scaling "
                f"{scaling!r} ({SCALINGS[scaling].formula})",
                "scaling",
            )
    if scaling == UNIT and all(_are_whole(x) for x in parts):
        return tuple(x if isinstance(x, StreamedArray) else x.astype(np.uint8, copy=False) for x in parts)
    in_memory = [x for x in parts if not isinstance(x, StreamedArray)]
    if parts[0].dtype != np.float32:
        check_memory(source, 4 * sum(x.size for x in in_memory), "scaling its examples")
    return tuple(_scaled_array(x, scaling) for x in parts)


def _are_whole(array: Array) -> bool:
    """Return whether an array is uint8, or is in memory and has whole numbers."""
    return bool(array.dtype == np.uint8 or (not is_streamed(array) and (array == np.floor(array)).all()))


def _scaled_array(array: Array, scaling: str) -> Array:
    """Return stored values in a scaling, float32."""
    numbers = scaling_of(scaling)
    convert = _SCALE.get(scaling, numbers.apply)
    if not isinstance(array, StreamedArray):
        return np.asarray(convert(array.astype(np.float32, copy=False)))
    scaled = array.converted(lambda rows: convert(rows.astype(np.float32, copy=False)), np.float32)
    if len(numbers.means) == 1:
        scaled.state(Statistics(*map(float, convert(np.array(array.statistics(), np.float32)))))
    else:
        scaled.state_sample()
    return scaled


#: Functions of float32 values by name of a scaling. Their order of operations, and so their rounding, is that of all
#: records; `Scaling.apply` has another one.
_SCALE: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    UNSCALED: lambda x: x,
    UNIT: lambda x: x / np.float32(255),
    SIGNED: lambda x: x / np.float32(127.5) - np.float32(1),
}
