"""What a new run begins with: a network of the zoo or a Keras model, its parameters, its settings."""

import os
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence

from qatviz.data import Dataset
from qatviz.errors import NetworkError
from qatviz.network import zoo
from qatviz.network.checks import Shape
from qatviz.network.graph import Network
from qatviz.network.keras_import import (
    ImportedModel,
    KerasOrigin,
    import_model,
    load_model_file,
    load_model_script,
    parse_script_spec,
)
from qatviz.network.keras_import.convert import OpenInputShape
from qatviz.network.plan import quantization_plan
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import Arrays
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import KINDS, RunSettings
from qatviz.telemetry.record.run_record import RunRecord


class Model(NamedTuple):
    """What is to be trained.

    Attributes
    ----------
    network : Network
    parameters : dict of str to np.ndarray or None
        To begin with; None: seeded ones.
    keras : KerasOrigin or None
        Of an imported model.
    notes : tuple of str
        What the user should know of the import, a sentence each.
    """

    network: Network
    parameters: Optional[Arrays] = None
    keras: Optional[KerasOrigin] = None
    notes: Sequence[str] = ()


def zoo_model(name: str, dataset: Dataset) -> Model:
    """A network of the zoo for a data set; `NetworkError` if there is none, or it can't take such examples."""
    return Model(zoo.build(name, dataset.input_shape, dataset.num_outputs))


def file_model(
    path: str,
    dataset: Dataset,
    weights_path: Optional[str] = None,
    allow_code: bool = False,
    from_scratch: bool = False,
) -> Model:
    """The Keras model of a file, or of ``path.py:function``.

    Parameters
    ----------
    dataset : Dataset
        Where the model leaves its input's shape open, it is that of the examples.
    weights_path, allow_code
        As of :func:`qatviz.network.keras_import.load_model_file`.
    from_scratch : bool
        Leave the model's weights out, and begin with seeded ones.

    Raises
    ------
    CodeRefused
        If it holds code, or is code, and ``allow_code`` is False.
    NetworkError
    """
    script = parse_script_spec(os.fspath(path))

    def load(shape: Optional[Shape]) -> ImportedModel:
        if script is not None:
            return load_model_script(script, allow_code, shape)
        return load_model_file(path, weights_path, allow_code, shape)

    if script is not None and weights_path is not None:
        raise NetworkError(
            f"model weights {weights_path!r}: a script's model has weights of its own; allowed: weights beside a "
            "JSON file"
        )
    return _begun(_of_shape(load, dataset), from_scratch)


def object_model(model: Any, dataset: Dataset, from_scratch: bool = False) -> Model:
    """A tf.keras model; to be called in the thread, and under the default graph, where it was made."""
    return _begun(_of_shape(lambda shape: import_model(model, shape), dataset), from_scratch)


def new_spec(
    model: Model,
    dataset: Dataset,
    data_spec: str,
    preset: str = DEFAULT_PRESET,
    weights: Optional[Dict[str, Any]] = None,
    activations: Optional[Dict[str, Any]] = None,
    run: RunSettings = RunSettings(),
    quant_delay: int = 0,
    **fields: Any,
) -> RunSpec:
    """A run that has not begun.

    Parameters
    ----------
    weights, activations : dict of str to object
        Settings of all weights and of all activations in place of the preset's.
    quant_delay : int
        Steps that are trained in float before quantization begins: fine-tuning from a trained model's weights.
    **fields
        Of :class:`qatviz.protocol.run_spec.RunSpec`.

    Raises
    ------
    QatvizError
        If something is not allowed, or does not fit.
    """
    overrides = dict(zip(KINDS, (dict(weights or {}), dict(activations or {}))))
    if quant_delay:
        for given in overrides.values():
            given.setdefault("quant_delay", quant_delay)
    book = SettingsBook.from_preset(quantization_plan(model.network), preset, *overrides.values(), run)
    return RunSpec(model.network, dataset, data_spec, book, parameters=model.parameters, keras=model.keras, **fields)


def new_record(spec: RunSpec, directory: str, **about: Any) -> RunRecord:
    """The record of a run that has not begun; ``about`` is kept in its description."""
    return RunRecord.create(directory, dict(spec.description(), **about), parameters=spec.parameters)


def _of_shape(load: Callable[[Optional[Shape]], ImportedModel], dataset: Dataset) -> ImportedModel:
    """Imported, with the examples' shape where the model leaves its own open."""
    try:
        return load(None)
    except OpenInputShape:
        return load(tuple(dataset.input_shape))


def _begun(imported: ImportedModel, from_scratch: bool) -> Model:
    parameters = None if from_scratch or not imported.parameters else imported.parameters
    notes = list(imported.notes)
    if not imported.parameters and not from_scratch:
        notes.append("there are no weights with it: training begins with seeded ones")
    return Model(imported.network, parameters, imported.origin, tuple(notes))
