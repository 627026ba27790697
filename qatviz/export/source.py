"""Input of an export: a state of a run, and held-out examples for the proof."""

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from qatviz.data import Dataset
from qatviz.errors import ExportError
from qatviz.export.integers.frozen_state import Arrays
from qatviz.metric import Metric, metric_of
from qatviz.network.graph import Network
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.protocol.settings_book import SettingsBook

#: Largest and smallest number of held-out examples that a file is run on by default, and the largest number of
#: multiplications. (TFLite's interpreter does some 150 million a second.)
_MAX_EXAMPLES, _MIN_EXAMPLES, _MAX_MACS = 1000, 16, 10**9
#: Largest number of multiplications for the scores of the evaluation graph: some 10 s of them.
_MAX_SCORED_MACS = 3 * 10**10


class WholePart:
    """Held-out part of a data set, as fed to the network: its first ``count`` examples, which are all if affordable.

    Attributes
    ----------
    count : int
        Number of examples in the batches.
    held_out : int
        Number of examples in the whole held-out part.
    labels : np.ndarray
        Targets ``[count]`` or ``[count, outputs]``.
    further : tuple of np.ndarray
        Targets of further outputs of the network.
    metrics : tuple of Metric
        Metric of the scores of each output.
    """

    def __init__(self, dataset: Dataset, count: int, metrics: Tuple[Metric, ...]):
        self._dataset, self.held_out, self.metrics = dataset, len(dataset.x_test), metrics
        self.count = min(count, self.held_out)
        self.labels, *further = (head.y_test[: self.count] for head in dataset.heads)
        self.further = tuple(further)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield float32 examples ``[n] + input shape``, at most ``size`` at a time."""
        for start in range(0, self.count, size):
            yield scaled(self._dataset, slice(start, min(start + size, self.count)))


class HeldOut(NamedTuple):
    """Held-out examples to run an export on.

    Attributes
    ----------
    images : np.ndarray
        float32 ``[n] + input shape``, as fed to the network.
    labels : np.ndarray
        Their targets ``[n]`` or ``[n, outputs]``.
    whole : WholePart or None
        Held-out part for the scores of the evaluation graph, of which they are the first.
    further : tuple of np.ndarray
        Targets of further outputs of the network.
    metrics : tuple of Metric
        Metric of each output; by default those of the kinds of targets.
    """

    images: np.ndarray
    labels: np.ndarray
    whole: Optional[WholePart] = None
    further: Tuple[np.ndarray, ...] = ()
    metrics: Tuple[Metric, ...] = ()


def scaled(dataset: Dataset, part: slice) -> np.ndarray:
    """Return a part of the held-out examples as fed to the network, float32 ``[n] + input shape``."""
    return dataset.as_fed(dataset.x_test[part])


@dataclass(frozen=True, eq=False)
class ExportSource:
    """A state of a run.

    Attributes
    ----------
    network : Network
    book : SettingsBook
        The settings in that state.
    arrays : dict of str to np.ndarray
        Parameters, statistics and ranges, as in a checkpoint; never changed.
    dataset : Dataset
        The proof uses its held-out part.
    step : int, optional
        Number of training steps done; without it, delays of quantization count as over.
    metadata : dict
        JSON-able; stored in exports whose format has a place for it.
    keras : KerasOrigin, optional
        Origin of a network that was imported from Keras.
    examples : int, optional
        Number of held-out examples to run the export on, from 1, or all if there are fewer; by default 1,000, or fewer
        if the network is large.
    metrics : tuple of Metric
        Metric of the run for each output, for the proof; by default those of the tasks.

    Raises
    ------
    ExportError
        If ``examples`` is below 1.
    """

    network: Network
    book: SettingsBook
    arrays: Arrays
    dataset: Dataset
    step: Optional[int] = None
    metadata: Dict[str, Any] = field(default_factory=dict)
    keras: Optional[KerasOrigin] = None
    examples: Optional[int] = None
    metrics: Tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        if self.examples is not None and self.examples < 1:
            raise ExportError(f"examples is {self.examples}: expected a whole number of at least 1")

    def held_out(self) -> HeldOut:
        """Return the examples to run the export on, and the held-out part that they are from."""
        count = self.examples or min(_MAX_EXAMPLES, max(_MIN_EXAMPLES, _MAX_MACS // max(self.network.macs, 1)))
        metrics = self.metrics or tuple(metric_of(head.task) for head in self.dataset.heads)
        whole = WholePart(self.dataset, max(count, _MAX_SCORED_MACS // max(self.network.macs, 1)), metrics)
        targets, *further = (head.y_test[:count] for head in self.dataset.heads)
        return HeldOut(scaled(self.dataset, slice(count)), targets, whole, tuple(further), metrics)
