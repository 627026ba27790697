"""Models of new runs: a network of the zoo, or a Keras model of a file or in memory."""

from dataclasses import replace
from typing import Any, NamedTuple, Optional, Sequence, Tuple

from qatviz.data import Dataset
from qatviz.network import zoo
from qatviz.network.activations import Activation
from qatviz.network.forward_folding import fold_forward, forward_folds, norm_notes
from qatviz.network.graph import Network
from qatviz.network.keras_import import (
    ImportedModel,
    KerasOrigin,
    import_model,
    in_known_shape,
    load_model,
)
from qatviz.number_format import names_text
from qatviz.protocol.run_state import Arrays
from qatviz.session.request import FOLD_FORWARD_OPTION


class Model(NamedTuple):
    """A network to be trained.

    Attributes
    ----------
    network : Network
    parameters : dict of str to np.ndarray or None
        Initial parameters; None: seeded ones.
    keras : KerasOrigin or None
        The model that it was imported from.
    notes : tuple of str
        Differences from the imported model, one sentence each.
    scaled_inputs : tuple of str
        Names of the inputs that the model scales itself.
    logit_outputs : tuple of str
        Outputs at whose end a sigmoid was left to the loss, which is binary cross-entropy then, if none is stated.
    """

    network: Network
    parameters: Optional[Arrays] = None
    keras: Optional[KerasOrigin] = None
    notes: Sequence[str] = ()
    scaled_inputs: Tuple[str, ...] = ()
    logit_outputs: Tuple[str, ...] = ()

    @property
    def is_logit(self) -> Tuple[bool, ...]:
        """Whether each output is among the :attr:`logit_outputs`."""
        return tuple(name in self.logit_outputs for name in self.network.outputs)

    def with_note(self, note: str) -> "Model":
        """Return the model with a further difference from the imported one."""
        return self._replace(notes=(*self.notes, note))


def zoo_model(name: str, dataset: Dataset) -> Model:
    """Return a network of the zoo for a data set; `NetworkError` if it is unknown or does not support the examples."""
    return Model(zoo.build(name, dataset.input_shape, dataset.num_outputs))


def file_model(
    path: str,
    dataset: Dataset,
    weights_path: Optional[str] = None,
    allow_code: bool = False,
    from_scratch: bool = False,
) -> Model:
    """Return the Keras model of a file, or of ``path.py:function``.

    Parameters
    ----------
    dataset : Dataset
        Its examples determine the input shape if the model has unknown axes.
    weights_path, allow_code
        As in :func:`qatviz.network.keras_import.load_model`.
    from_scratch : bool
        If True, training starts with seeded weights instead of the model's.

    Raises
    ------
    CodeRefused
        If it contains code, or is code, and ``allow_code`` is False.
    NetworkError
    """
    shapes = dataset.example_shapes
    imported, _ = in_known_shape(lambda shape: load_model(path, weights_path, allow_code, shape), shapes)
    return _as_model(imported, from_scratch)


def object_model(model: Any, dataset: Dataset, from_scratch: bool = False) -> Model:
    """Import a tf.keras model; call it in the thread and default graph in which the model was created."""
    return _as_model(in_known_shape(lambda shape: import_model(model, shape), dataset.example_shapes)[0], from_scratch)


def _as_model(imported: ImportedModel, from_scratch: bool) -> Model:
    """Return an imported model, with its own weights unless there are none or ``from_scratch``."""
    parameters = None if from_scratch or not imported.parameters else imported.parameters
    if parameters is None:  # random weights are trained
        imported = imported._replace(origin=replace(imported.origin, frozen=frozenset()))
    notes = list(imported.notes)
    if not imported.parameters and not from_scratch:
        notes.append("the model has no weights: training starts with random ones")
    return Model(imported.network, parameters, imported.origin, tuple(notes), imported.scaled_inputs)


def without_sigmoid(model: Model, output: str) -> Model:
    """Return a classifier without a sigmoid at the end: the loss takes logits, whose signs are the decisions."""
    network = model.network
    last = network.layer(output)
    if not (isinstance(last, Activation) and last.function == "sigmoid" and not network.consumers(output)):
        return model
    source = last.inputs[0]
    if source in network.input_names or source in network.outputs:
        return model
    layers = tuple(layer for layer in network.layers if layer is not last)
    outputs = tuple(source if name == output else name for name in network.outputs)
    note = f"the sigmoid {last.name!r} at the end is left to the loss: outputs are logits"
    return model.with_note(note)._replace(
        network=replace(network, layers=layers, outputs=outputs), logit_outputs=(*model.logit_outputs, source)
    )


def folded_forward(model: Model) -> Model:
    """Return a model whose batch norms are folded into the layers behind them, where it is possible.

    Its original Keras model has other layers, so an export to Keras builds a new one.
    """
    found = fold_forward(model.network, model.parameters)
    if not found.folded:
        return model.with_note(
            f"{FOLD_FORWARD_OPTION} has no effect: no batch norm can be folded into a layer behind it"
        )
    texts = names_text([f"{norm!r} into {target!r}" for norm, target in found.folded])
    note = f"batch norms are folded into layers behind them, and are not trained: {texts}"
    origin = model.keras
    if origin is not None:
        network = found.network
        names = {f"{layer.name}.{name}" for layer in network.layers for name in network.parameter_shapes(layer.name)}
        origin = KerasOrigin(
            None, {name: array for name, array in origin.arrays.items() if name in names}, frozen=origin.frozen & names
        )
    return model.with_note(note)._replace(network=found.network, parameters=found.parameters, keras=origin)


def with_norm_notes(model: Model) -> Model:
    """Return the model with notes on its batch norms that are not folded, and on the option that folds them."""
    for note in norm_notes(model.network):
        model = model.with_note(note)
    names = [repr(fold.batch_norm.name) for fold in forward_folds(model.network)]
    if not names:
        return model
    return model.with_note(f"{FOLD_FORWARD_OPTION} would fold batch norms into layers behind them: {names_text(names)}")
