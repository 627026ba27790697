"""Model and data of a new run, each of which decides on what is not stated about the other."""

import os
from dataclasses import replace
from typing import Any, Optional, Tuple

import numpy as np

from qatviz import data
from qatviz.data import Dataset
from qatviz.data.dataset import is_regression_by_network
from qatviz.data.heads import for_outputs, with_heads
from qatviz.data.inputs import for_inputs
from qatviz.errors import DataError, NetworkError, SettingError, about
from qatviz.heads import stated_tasks
from qatviz.network.graph import Network
from qatviz.number_format import percent_text
from qatviz.scaling import SCALINGS, UNIT, UNSCALED, joined_scalings, scaling_of
from qatviz.session.models import Model, file_model, object_model, without_sigmoid, zoo_model
from qatviz.session.request import NewRunRequest
from qatviz.session.run_heads import check_tasks
from qatviz.session.scaling_choice import best_scaling
from qatviz.task import CLASSIFICATION, REGRESSION


def load_model_and_data(
    request: NewRunRequest, model: Any = None, dataset: Optional[Dataset] = None
) -> Tuple[Model, Dataset]:
    """Return the model and the data of a request.

    The model decides on the task if it contradicts the inferred one, and on the scaling of the examples if that is not
    stated. Data with an unknown order of inputs or outputs gets that of the network.

    Parameters
    ----------
    request : NewRunRequest
    model : tf.keras.Model, optional
        Model of the current thread and default graph, which replaces that of the request.
    dataset : Dataset, optional
        Data set that replaces that of the request.

    Raises
    ------
    QatvizError
        If the model or the data can't be used, or they do not match.
    """
    chosen, loaded = _as_stated(request, model, dataset)
    is_read = dataset is None
    loaded = _in_tasks_of(chosen.network, loaded, request, is_read)
    for output, head in zip(chosen.network.outputs, loaded.heads):
        if head.task != REGRESSION:
            chosen = without_sigmoid(chosen, output)
    if loaded.inputs or len(chosen.network.inputs) > 1:
        with about("data"):
            loaded = for_inputs(loaded, chosen.network.inputs)
        return _with_scaled_inputs(chosen, loaded)
    return _with_scaled_input(chosen, loaded, request, is_read)


def _as_stated(request: NewRunRequest, model: Any, dataset: Optional[Dataset]) -> Tuple[Model, Dataset]:
    """Return model and data with what the request states; nothing of either depends on the other but unknown shapes."""
    if dataset is None:
        with about("data"):
            dataset = _read(request)
    else:
        if request.task not in (None, dataset.task):
            raise DataError(
                f"{dataset.source}: the task is {request.task!r}, but that of the data set is {dataset.task!r}: "
                "expected the same",
                "task",
            )
        for name in request.data_options.given():
            raise SettingError.of_field(name, "applies to data that is read from files, not to arrays: omit it")
        if request.scaling is not None:
            with about("scaling"):
                dataset = dataset.with_scaling(request.scaling)
    if model is not None:
        with about("model"):
            return object_model(model, dataset, request.from_scratch), dataset
    if request.model is None:
        with about("network"):
            if request.network is None:
                raise NetworkError("network is missing: expected a name, or a model")
            return zoo_model(request.network, dataset), dataset
    with about("model"):
        weights = request.model_weights and os.path.expanduser(request.model_weights)
        return file_model(
            os.path.expanduser(request.model), dataset, weights, request.allow_code, request.from_scratch
        ), dataset


def _read(request: NewRunRequest, **changes: Any) -> Dataset:
    """Return the data of a request, with changed fields, read from its source."""
    wanted = replace(request, **changes)
    if wanted.data is None:
        raise DataError("data is missing: expected a name, a path or arrays")
    return data.load(
        wanted.data,
        wanted.validation_fraction,
        0,
        wanted.task,
        wanted.scaling,
        options=wanted.data_options,
        tasks=stated_tasks(wanted.heads),
    )


def _in_tasks_of(network: Network, dataset: Dataset, request: NewRunRequest, is_read: bool) -> Dataset:
    """Return the data with the tasks that the outputs of a network decide on: numbers may be targets, not classes.

    ``is_read`` is True for data that was read for the request.
    """
    shapes = network.output_shapes
    if dataset.further:
        with about("data"):
            dataset = for_outputs(dataset, network.output_names, shapes)
            check_tasks(request.heads, dataset)
        return with_heads(
            [
                head.as_regression() if _are_numbers(head, shape[-1]) else head
                for head, shape in zip(dataset.heads, shapes)
            ]
        )
    if not _are_numbers(dataset, network.num_outputs):
        # Classes without examples can be missing among the labels, as in a part of a data set.
        return dataset.with_numbered_classes(network.num_outputs) if len(network.output_shape) == 1 else dataset
    if not is_read:
        return dataset.as_regression()
    found = _read(request, task=REGRESSION)  # split as when the run is resumed, whose task is known
    return replace(found, assumed=found.assumed._replace(by_network=True))


def _are_numbers(dataset: Dataset, outputs: int) -> bool:
    return is_regression_by_network(dataset.task, dataset.assumed, dataset.num_classes, outputs)


def _with_scaled_inputs(model: Model, dataset: Dataset) -> Tuple[Model, Dataset]:
    """Return model and data of several inputs; those that the model scales itself, and ids, are fed as they are."""
    unscaled = (*model.scaled_inputs, *model.network.id_counts)
    if not (unscaled and dataset.assumed.scaling):
        return model, dataset
    dataset = dataset.with_scaling(joined_scalings(dict.fromkeys(unscaled, UNSCALED)))
    if model.scaled_inputs:
        named = ", ".join(map(repr, model.scaled_inputs))
        model = model.with_note(f"scales {named} itself, so their values are fed as they are")
    return model, dataset


def _with_scaled_input(model: Model, dataset: Dataset, request: NewRunRequest, is_read: bool) -> Tuple[Model, Dataset]:
    """Return model and data of one input in the scaling that the model requires, or in which it is most accurate."""
    if not dataset.assumed.scaling:
        return model, dataset
    if not (model.scaled_inputs or model.network.id_counts):
        is_trained = model.parameters is not None and dataset.x_train.dtype == np.uint8
        return _in_best_scaling(model, dataset) if is_trained else (model, dataset)
    if model.scaled_inputs and dataset.scaling == UNIT:
        model = model.with_note(
            f"scales its input itself, so pixels are fed as they are; {UNIT!r} as the scaling decides otherwise"
        )
    if dataset.assumed.float_pixels and is_read:  # scaled when it was read
        dataset = replace(_read(request, task=dataset.task, scaling=UNSCALED), assumed=dataset.assumed)
    return model, dataset.with_scaling(UNSCALED)


def _in_best_scaling(model: Model, dataset: Dataset) -> Tuple[Model, Dataset]:
    """Return a trained classifier, and images of bytes in the scaling for which it is most accurate."""
    network = model.network
    fitted = dataset.with_input_shape(network.input_shape)
    is_classifier = dataset.task == CLASSIFICATION and len(network.output_shape) == 1
    classes = (dataset.num_classes, 1) if dataset.num_classes == 2 else (dataset.num_classes,)
    is_fitting = fitted.input_shape == tuple(network.input_shape) and network.num_outputs in classes
    if not (is_classifier and is_fitting and model.parameters is not None) or dataset.streamed:
        return model, dataset
    choice = best_scaling(network, model.parameters, dataset)
    if choice is None or choice.scaling == UNIT:
        return model, dataset
    best, usual = (percent_text(choice.accuracies[name]) for name in (choice.scaling, UNIT))
    note = (
        f"is most accurate with pixels as {scaling_of(choice.scaling).formula}, so they are fed like that: {best} of "
        f"{choice.examples} held-out examples are right, {usual} with {SCALINGS[UNIT].formula}; the scaling {UNIT!r} "
        "decides otherwise"
    )
    return model.with_note(note), dataset.with_scaling(choice.scaling)
