"""Previews of data sets: some examples as pictures, and the number of examples of each class."""

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.data.data_input import DataInput, parts_of
from qatviz.data.dataset import Assumptions
from qatviz.data.targets import class_counts, columns_of
from qatviz.number_format import count, shape_text
from qatviz.presentation.augmented import SHOWN, AugmentedExamples
from qatviz.presentation.mask_pictures import beside_masks, mask_caption
from qatviz.scaling import UNSCALED, formula_text
from qatviz.task import CLASSIFICATION, MULTILABEL, REGRESSION, SEGMENTATION

#: Maximum number of shown examples.
N_SAMPLES = 32
#: Maximum width and height of a picture, px; a strip of features has at most twice as many columns.
LARGEST_SIDE = 64
#: Bins of the histogram of targets, and the rows (evenly spaced) from which the range of each feature is taken.
_BINS, _RANGE_ROWS = 24, 4096
GREY, RGB, ROWS = "grey", "rgb", "rows"


class TargetInfo(NamedTuple):
    """Targets of one output.

    Attributes
    ----------
    output : str
        Name of the output; empty if there is only one.
    task : str
    output_shape : tuple of int
        Number of classes or labels, or shape of an example's targets.
    assumed : qatviz.data.dataset.Assumptions
    """

    output: str
    task: str
    output_shape: Tuple[int, ...]
    assumed: Assumptions = Assumptions()

    def describe(self) -> str:
        """Return a text such as ``10 classes``."""
        if self.task == REGRESSION:
            return target_shape_text(self.output_shape)
        number = count(self.output_shape[-1], *(("label",) if self.task == MULTILABEL else ("class", "classes")))
        return f"masks of {shape_text(self.output_shape[:-1])} with {number}" if self.task == SEGMENTATION else number


class InputPreview(NamedTuple):
    """Pictures of the examples of one input: its name and shape; ``kind`` and ``samples`` are as in `DataInfo`."""

    name: str
    shape: Tuple[int, ...]
    kind: str
    samples: np.ndarray

    def describe(self) -> str:
        """Return its name and shape: ``left 28×28×1``."""
        return f"{self.name} {example_text(self.shape)}"


class DataInfo(NamedTuple):
    """Summary and examples of a data set, shown before a run begins.

    Attributes
    ----------
    name, task : str
    input_shape : tuple of int
        Shape of one example.
    output_shape : tuple of int
        Shape of the network's output: ``(n,)`` for n classes or labels, that of an example's targets for a regression.
    train_examples, test_examples : int
    values : str
        Text on the stored values and their scaling.
    kind : str
        "grey" and "rgb": pictures, beside which there are their masks; "rows": rows of features.
    samples : np.ndarray
        uint8: pictures ``[n, height, width]`` or ``[n, height, width, 3]``; rows ``[n, columns]``, where 0 is the
        smallest and 255 the largest value of that feature.
    captions : tuple of str
        Class, labels, target, or classes of the mask of each sample.
    groups : tuple of str
        Names of the classes or labels, or intervals of the (first) target.
    edges : tuple of float
        Ends of these intervals; empty for classes and labels.
    train_counts, test_counts : np.ndarray
        int64: number of examples in each group; for masks, of pixels.
    notes : tuple of str
        Notes on the data set, and simplifications of the preview.
    assumed : qatviz.data.dataset.Assumptions
    scaling : str
        Scaling of the examples, stated or inferred: a name of :data:`qatviz.scaling.SCALINGS`.
    mistakes : tuple of str
        Likely mistakes in the data set.
    options : tuple of str
        Names of the options in :class:`qatviz.data_options.DataOptions` that apply to the data.
    choices : mapping of str to tuple of str
        Possible values of options that name parts of the data, by the option's name.
    inputs : tuple of InputPreview
        Pictures of several inputs, of which `kind` and `samples` are those of the first; empty for data with one.
    augmentable : AugmentedExamples or None
        Examples whose augmentation can be shown; None for several inputs.
    heads : tuple of TargetInfo
        Targets of several outputs, of which the first are shown; empty for one output.
    """

    name: str
    task: str
    input_shape: Tuple[int, ...]
    output_shape: Tuple[int, ...]
    train_examples: int
    test_examples: int
    values: str
    kind: str
    samples: np.ndarray
    captions: Tuple[str, ...]
    groups: Tuple[str, ...]
    edges: Tuple[float, ...]
    train_counts: np.ndarray
    test_counts: np.ndarray
    notes: Tuple[str, ...] = ()
    assumed: Assumptions = Assumptions()
    scaling: str = UNSCALED
    mistakes: Tuple[str, ...] = ()
    options: Tuple[str, ...] = ()
    choices: Mapping[str, Tuple[str, ...]] = {}
    inputs: Tuple[InputPreview, ...] = ()
    augmentable: Optional[AugmentedExamples] = None
    heads: Tuple[TargetInfo, ...] = ()

    @property
    def all_heads(self) -> Tuple[TargetInfo, ...]:
        """The targets of each output."""
        return self.heads or (TargetInfo("", self.task, self.output_shape, self.assumed),)

    @property
    def is_regression(self) -> bool:
        return self.task == REGRESSION

    @property
    def outputs(self) -> int:
        """Length of the last axis of the output: the number of classes, labels or targets."""
        return self.output_shape[-1]

    @property
    def example_shapes(self) -> Union[Tuple[int, ...], Mapping[str, Tuple[int, ...]]]:
        """Shape of one example, or of several inputs by name."""
        return dict(self.named_shapes) or self.input_shape

    @property
    def named_shapes(self) -> Tuple[Tuple[str, Tuple[int, ...]], ...]:
        """Names and shapes of several inputs; empty for data with one."""
        return tuple((each.name, each.shape) for each in self.inputs)

    def with_pictures_of(self, index: int) -> "DataInfo":
        """Return the same with the pictures of one of several inputs as `kind` and `samples`."""
        shown = self.inputs[index]
        return self._replace(kind=shown.kind, samples=shown.samples)

    def describe(self) -> str:
        """Return a line such as ``28×28×1, 10 classes, 4,000 training + 1,000 test examples``."""
        parts = [f"{head.output}: {head.describe()}" if head.output else head.describe() for head in self.all_heads]
        outputs = ", ".join(parts)
        examples = f"{self.train_examples:,} training + {self.test_examples:,} test examples"
        return f"{inputs_text(self.named_shapes, self.input_shape)}, {outputs}, {examples}"


def example_text(shape: Sequence[int]) -> str:
    """Return the shape of one example as text: ``28×28×1``, ``13 features``."""
    if len(shape) == 1:
        return count(shape[0], "feature")
    return shape_text(shape)


def inputs_text(inputs: Sequence[Tuple[str, Sequence[int]]], shape: Sequence[int]) -> str:
    """Return the shape of one example as text, of several inputs with their names: ``left 28×28×1 + age 1 feature``."""
    if len(inputs) < 2:
        return example_text(shape)
    return " + ".join(f"{name} {example_text(own)}" for name, own in inputs)


def target_shape_text(shape: Sequence[int]) -> str:
    """Return the shape of one example's targets as text: ``2 targets``, ``targets of 28×28×1``."""
    return count(shape[0], "target") if len(shape) == 1 else f"targets of {shape_text(shape)}"


def target_text(value: float) -> str:
    """Return a target of a regression as text."""
    return f"{value:.4g}"


def data_info(
    dataset: Any,
    value_range: Optional[Tuple[float, float]] = None,
    notes: Sequence[str] = (),
    mistakes: Sequence[str] = (),
) -> DataInfo:
    """Return the preview of ``dataset``, which keeps only the samples of its arrays.

    Parameters
    ----------
    dataset : qatviz.data.Dataset
    value_range : (float, float), optional
        Smallest and largest value of the training examples, if already known.
    notes : sequence of str
        First notes of the result.
    mistakes : sequence of str
        Likely mistakes in the data set.
    """
    x, y, task = dataset.x_train, dataset.y_train, dataset.task
    low, high = value_range if value_range is not None else (float(x.min()), float(x.max()))
    chosen = _chosen_examples(dataset)
    if task == REGRESSION:
        edges, counts = _target_counts(columns_of(y), columns_of(dataset.y_test))
        groups = tuple(f"{target_text(low)} to {target_text(high)}" for low, high in zip(edges[:-1], edges[1:]))
    else:
        edges, groups = (), tuple(dataset.class_names)
        counts = [class_counts(labels, dataset.num_classes) for labels in (y, dataset.y_test)]
    inputs, shown = _input_previews(dataset.inputs, x, chosen)
    if inputs:
        _, _, kind, samples = inputs[0]
    else:
        kind, samples, shown = thumbnails(x[chosen], low, high) if x.ndim == 4 else _strips(_some_rows(x), x[chosen])
    if task == SEGMENTATION and kind != ROWS and not inputs:
        kind, samples = RGB, beside_masks(samples, y[chosen], dataset.num_classes)
    return DataInfo(
        dataset.name,
        task,
        tuple(map(int, x.shape[1:])),
        tuple(map(int, dataset.output_shape)),
        len(x),
        len(dataset.x_test),
        _values(dataset, low, high),
        kind,
        samples,
        tuple(_caption(target, task, dataset.class_names) for target in y[chosen]),
        groups,
        edges,
        counts[0],
        counts[1],
        tuple(notes) + shown,
        dataset.assumed,
        dataset.scaling,
        tuple(mistakes),
        inputs=inputs,
        augmentable=None if dataset.inputs else augmentable(dataset),
        heads=tuple(
            TargetInfo(head.output, head.task, tuple(map(int, head.output_shape)), head.assumed)
            for head in (dataset.heads if dataset.further else ())
        ),
    )


def _chosen_examples(dataset: Any) -> np.ndarray:
    """Return the indices of the training examples in a preview."""
    labels = dataset.y_train
    if dataset.task == MULTILABEL:
        return np.arange(min(N_SAMPLES, len(labels)))
    return of_every_class(labels, N_SAMPLES) if dataset.task == CLASSIFICATION else _spread(len(labels))


def augmentable(dataset: Any) -> AugmentedExamples:
    """Return examples of a data set as fed to the network, of which augmentation can be shown."""
    chosen = _spread(len(dataset.x_train))[:: max(1, min(N_SAMPLES, len(dataset.x_train)) // SHOWN)][:SHOWN]
    is_mask = dataset.task == SEGMENTATION
    examples, masks = dataset.as_fed(dataset.x_train[chosen]), dataset.y_train[chosen] if is_mask else None
    return AugmentedExamples(examples, masks, dataset.num_classes)


def _spread(number: int) -> np.ndarray:
    """Return indices of some examples, at equal distances."""
    return np.linspace(0, number - 1, min(N_SAMPLES, number)).astype(np.int64)


def _caption(target: Any, task: str, names: Sequence[str]) -> str:
    """Return the class, the first labels, the first numbers, or the classes of the mask of an example."""
    if task == CLASSIFICATION:
        return str(names[target])
    if task == SEGMENTATION:
        return mask_caption(target, names)
    if task == MULTILABEL:
        present = [names[index] for index in np.flatnonzero(target)]
        return ", ".join(present[:3]) + (", …" if present[3:] else "") or "none"
    return ", ".join(map(target_text, target[:3])) if target.ndim == 1 else f"mean {target_text(target.mean())}"


def of_every_class(labels: np.ndarray, n: int) -> np.ndarray:
    """Return indices of up to ``n`` examples: the first of each class, then the second of each class, ..."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(order)])
    turn = np.arange(len(order)) - np.repeat(starts, sizes)
    by_turn = np.lexsort((ordered, turn))[:n]
    return order[by_turn]


def _values(dataset: Any, low: float, high: float) -> str:
    """Return a text on the stored values and their scaling."""
    formula = formula_text(dataset.scaling)
    if dataset.inputs:
        return f"fed as {formula}"
    if dataset.x_train.dtype == np.uint8:
        return f"uint8 from {low:.0f} to {high:.0f}, fed as {formula}"
    if dataset.scaling == UNSCALED:
        return f"float32 from {low:.4g} to {high:.4g}, fed as they are"
    return f"pixels, fed as {formula}: from {low:.4g} to {high:.4g}"


def thumbnails(images: np.ndarray, low: float, high: float) -> Tuple[str, np.ndarray, Tuple[str, ...]]:
    """Return the kind, the pictures and notes of images ``[n, height, width, channels]`` with values in a range.

    Pixels of uint8 are shown as they are.
    """
    channels = images.shape[3]
    notes: Tuple[str, ...] = ()
    if channels not in (1, 3):
        notes = (f"the pictures show the first{'' if channels < 3 else ' three'} of {channels} channels",)
    pixels = _reduced(images[..., : 1 if channels < 3 else 3].astype(np.float64))
    if images.dtype != np.uint8:
        pixels = (pixels - low) * (255.0 / (high - low if high > low else 1.0))
    samples = np.floor(np.clip(pixels, 0, 255) + 0.5).astype(np.uint8)
    return (RGB, samples, notes) if samples.shape[3] == 3 else (GREY, np.ascontiguousarray(samples[..., 0]), notes)


def _reduced(images: np.ndarray) -> np.ndarray:
    """Return the images averaged over blocks of pixels, so that no side exceeds :data:`LARGEST_SIDE`."""
    n, height, width, channels = images.shape
    rows, columns = -(-height // LARGEST_SIDE), -(-width // LARGEST_SIDE)
    factor = max(rows, columns)
    if factor == 1:
        return images
    rows, columns = min(factor, height), min(factor, width)
    images = images[:, : height // rows * rows, : width // columns * columns]
    blocks = images.reshape(n, images.shape[1] // rows, rows, images.shape[2] // columns, columns, channels)
    return blocks.mean(axis=(2, 4))


def _input_previews(
    inputs: Sequence[DataInput], x: Any, chosen: np.ndarray
) -> Tuple[Tuple[InputPreview, ...], Tuple[str, ...]]:
    """Return the pictures of several inputs, and notes on them by name of the input; none for one input."""
    found: List[InputPreview] = []
    notes: List[str] = []
    if inputs:
        some, picked = (parts_of(inputs, rows) for rows in (_some_rows(x), x[chosen]))
        for each, of_some, own in zip(inputs, some, picked):
            is_image = own.ndim == 4
            kind, samples, shown = (
                thumbnails(own, float(of_some.min()), float(of_some.max())) if is_image else _strips(of_some, own)
            )
            found.append(InputPreview(each.name, each.shape, kind, samples))
            notes += [f"{each.name}: {note}" for note in shown]
    return tuple(found), tuple(notes)


def _some_rows(rows: Any) -> np.ndarray:
    """Return evenly spaced rows, from which the range of each feature is taken."""
    return rows[:: -(-len(rows) // _RANGE_ROWS)]


def _strips(some: np.ndarray, picked: np.ndarray) -> Tuple[str, np.ndarray, Tuple[str, ...]]:
    picked = picked.astype(np.float64)
    low = np.minimum(some.min(axis=0), picked.min(axis=0))
    span = np.maximum(some.max(axis=0), picked.max(axis=0)).astype(np.float64) - low
    scaled = (picked - low) * (255.0 / np.where(span > 0, span, 1.0))
    width = -(-scaled.shape[1] // (2 * LARGEST_SIDE))
    note: Tuple[str, ...] = ()
    if width > 1:
        scaled = scaled[:, : scaled.shape[1] // width * width].reshape(len(scaled), -1, width).mean(axis=2)
        note = (f"each column of the picture is the mean of {width} features",)
    return ROWS, np.floor(scaled + 0.5).astype(np.uint8), note


def _target_counts(train: np.ndarray, test: np.ndarray) -> Tuple[Tuple[float, ...], List[np.ndarray]]:
    """Return the ends of intervals of the first target, and the number of training and test examples in each."""
    firsts = [np.asarray(part, np.float64).reshape(len(part), -1)[:, 0] for part in (train, test)]
    low, high = min(part.min() for part in firsts), max(part.max() for part in firsts)
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    return tuple(edges.tolist()), [np.histogram(part, edges)[0].astype(np.int64) for part in firsts]
