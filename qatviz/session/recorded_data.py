"""Data of a recorded run, loaded again."""

from typing import Any, Mapping, Optional

from qatviz import data
from qatviz.data import Dataset
from qatviz.data.registry import applicable_options
from qatviz.data_options import SPLIT, DataOptions
from qatviz.scaling import UNIT
from qatviz.session.request import DEFAULT_DATA, DEFAULT_VALIDATION_FRACTION


def recorded_data(description: Mapping[str, Any], source: Optional[str] = None) -> Dataset:
    """Return the data set of a recorded run; `RunSpec.from_description` compares its fingerprint.

    Parameters
    ----------
    description : dict
        Description of the run.
    source : str, optional
        Current path of the data, if it is not the recorded one.
    """
    source = source or str(description.get("data", DEFAULT_DATA))
    fraction = description.get("validation_fraction", DEFAULT_VALIDATION_FRACTION)
    task, fingerprint = description.get("task"), description.get("data_fingerprint")
    scaling = description.get("scaling")
    tasks = {row["output"]: row["task"] for row in description.get("heads", ())}
    options = DataOptions.of(description.get("data_options", {}))
    dataset = data.load(source, fraction, task=task, scaling=scaling, options=options, tasks=tasks)
    is_other = scaling is None and dataset.fingerprint != fingerprint
    if is_other and dataset.assumed.integers and _could_be_pixels(dataset):
        # Until version 0.2, all integers were treated as pixels, and the scaling was not recorded.
        before = dataset.with_scaling(UNIT)
        if before.fingerprint == fingerprint:
            return before
    if dataset.fingerprint != fingerprint and "held_out" in applicable_options(source) and not options.given():
        # Until version 0.2, validation parts were not used.
        before = data.load(source, fraction, task=task, scaling=scaling, options=DataOptions(held_out=SPLIT))
        return before if before.fingerprint == fingerprint else dataset
    return dataset


def _could_be_pixels(dataset: Dataset) -> bool:
    return all(x.min() >= 0 and x.max() <= 255 for x in (dataset.x_train, dataset.x_test))
