"""Distillation: training imitates the outputs of a teacher, a network in float, besides the labels.

The loss of an output with logits ``z``, teacher's logits ``t``, weight ``a`` and temperature ``T`` is

    L = (1 - a) * L(z, labels) + a * T**2 * CE(softmax(t / T), softmax(z / T)),
    dL/dz = (1 - a) * dL(z, labels)/dz + a * T * (softmax(z / T) - softmax(t / T)) / n

for ``n`` examples. ``T**2`` keeps the size of the gradient while ``T`` changes. Independent answers (several labels, or
a single logit) have a sigmoid in place of the softmax; for numbers to predict, the teacher's take the place of the
targets in the output's own loss, without a temperature.

Sources: Hinton, Vinyals and Dean 2015 (arXiv:1503.02531), section 2; Kim et al. 2019, "QKD" (arXiv:1911.12491).
"""

from functools import partial
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.low_bit_settings import MODEL_TEACHER
from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan, quantization_plan
from qatviz.protocol.run_spec import Teacher
from qatviz.settings import RunSettings
from qatviz.training.heads import GraphHeads
from qatviz.training.lowering.in_float import lower_in_float
from qatviz.training.variables import Loader, StateVariable

Tensors = Dict[str, tf.Tensor]

#: Prefix of the names of the teacher's parameters among the arrays of a state.
PREFIX = "teacher/"
#: Name of the array of the settings of distillation.
SETTINGS = "distillation"


def teacher_variables(network: Network) -> Dict[str, StateVariable]:
    """Return variables for a teacher's parameters by their names in a state; they use no memory until they are set."""
    return {
        PREFIX + name: StateVariable(PREFIX + name, np.float32, shape)
        for name, shape in network.all_parameter_shapes().items()
    }


def named_parameters(parameters: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Return the parameters of a teacher by their names in a state."""
    return {PREFIX + name: value for name, value in parameters.items()}


def settings_array(run: RunSettings) -> np.ndarray:
    """Return the array :data:`SETTINGS`: weight, temperature, and 1 if the teacher is a Keras model, float32 ``[3]``.

    The weight is 0 without a teacher.
    """
    weight = run.distillation_weight if run.has_teacher else 0.0
    return np.array([weight, run.distillation_temperature, run.teacher == MODEL_TEACHER], np.float32)


class Teachers:
    """Teachers in the graph: the network of the run with other weights, and a Keras model, if there is one.

    Parameters
    ----------
    network : Network
    plan : QuantizationPlan
    model : Teacher or None
        The Keras model.

    Attributes
    ----------
    own : dict of str to StateVariable
        :func:`teacher_variables` of the run's network.
    values : list of tf.Tensor
        The values of ``own``, in its order.
    """

    def __init__(self, network: Network, plan: QuantizationPlan, model: Optional[Teacher]):
        self._network, self._plan, self._model = network, plan, model
        self.own = teacher_variables(network)
        self._load = Loader(self.own, self.own)
        self.values = [variable.read() for variable in self.own.values()]
        self._of_model = {} if model is None else teacher_variables(model.network)
        self._load_model = Loader(self._of_model, self._of_model)

    def load(self, session: tf.Session, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the parameters of the teacher that is the run's network, from ``arrays`` by their names in a state."""
        self._load(session, {name: arrays[name] for name in self.own})

    def load_model(self, session: tf.Session) -> None:
        """Set the parameters of the Keras model, if there is one."""
        if self._model is not None:
            self._load_model(session, named_parameters(self._model.parameters))

    @property
    def variables(self) -> List[Dict[str, StateVariable]]:
        """Variables of the run's network, and of the Keras model if there is one."""
        return [self.own, self._of_model] if self._of_model else [self.own]

    def outputs(
        self, examples: tf.Tensor, is_model: tf.Tensor, values: Sequence[Callable[[], Tensors]] = ()
    ) -> Tuple[tf.Tensor, ...]:
        """Return the outputs for ``examples``, those of a Softmax as logits; ``is_model`` chooses the Keras model.

        Parameters
        ----------
        examples : tf.Tensor
            float32 ``[batch] + input shape``.
        is_model : tf.Tensor
            bool scalar.
        values : sequence of callable
            Each returns the values of one item of :attr:`variables` by name; by default, they are read in place.
        """
        values = values or [partial(_read, variables) for variables in self.variables]

        def own() -> Tuple[tf.Tensor, ...]:
            return _float_outputs(self._network, self._plan, examples, values[0])

        model = self._model
        if model is None:
            return own()
        chosen = tf.cond(
            is_model,
            lambda: _float_outputs(model.network, quantization_plan(model.network), examples, values[1]),
            own,
            strict=True,
        )
        return tuple(chosen)


def _read(variables: Dict[str, StateVariable]) -> Tensors:
    return {name: variable.read() for name, variable in variables.items()}


def _float_outputs(
    network: Network, plan: QuantizationPlan, examples: tf.Tensor, values: Callable[[], Tensors]
) -> Tuple[tf.Tensor, ...]:
    parameters = {name[len(PREFIX) :]: value for name, value in values().items()}
    return tuple(map(tf.identity, lower_in_float(network, plan, examples, parameters).outputs))


def distilled(
    loss: tf.Tensor,
    heads: GraphHeads,
    outputs: Sequence[tf.Tensor],
    teacher_outputs: Callable[[tf.Tensor], Sequence[tf.Tensor]],
    settings: tf.Tensor,
) -> tf.Tensor:
    """Return the loss of a batch with distillation, float32 scalar; the plain ``loss`` while the weight is 0.

    Parameters
    ----------
    loss : tf.Tensor
        Loss for the labels, float32 scalar.
    heads : GraphHeads
    outputs : sequence of tf.Tensor
        Outputs of the network that is trained.
    teacher_outputs : callable
        ``teacher_outputs(is_model)`` builds the teacher, which runs only while the weight is above 0, and returns its
        outputs; ``is_model`` (bool scalar) chooses the Keras model.
    settings : tf.Tensor
        :func:`settings_array` in the graph, float32 ``[3]``.
    """
    weight, temperature, is_model = tf.unstack(settings, num=3)

    def with_teacher() -> tf.Tensor:
        answers = [tf.stop_gradient(output) for output in teacher_outputs(is_model > 0.0)]
        return (1.0 - weight) * loss + weight * heads.imitation(outputs, answers, temperature)

    return tf.cond(weight > 0.0, with_teacher, lambda: tf.identity(loss))
