"""Optimizers with live hyperparameters, based on TensorFlow's fused update kernels.

The classes of ``tf.train`` support a live learning rate, but use Adam's betas as initial values of hidden variables,
and do not name their slots. Here every hyperparameter is a tensor and every slot a named array of the checkpoint.
"""

from types import MappingProxyType
from typing import Callable, Dict, Mapping, NamedTuple, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.settings import RunSettings
from qatviz.training.parameters import is_decayed
from qatviz.training.variables import StateVariable

Variables = Dict[str, StateVariable]
Tensors = Dict[str, tf.Tensor]
Update = Callable[[StateVariable, tf.Tensor, Variables, Tensors], tf.Operation]
Moments = Tuple[tf.Tensor, tf.Tensor]
Direction = Callable[[tf.Tensor, Moments, tf.Tensor, Tensors], Tuple[tf.Tensor, Moments]]


class Optimizer(NamedTuple):
    """Definition of an optimizer: its state, and its update of a variable.

    Attributes
    ----------
    slots : tuple of str
        Names of its arrays for each trainable variable, of the variable's shape, initially 0.
    scalars : dict of str to str
        Names of its scalar state, with the run settings of their initial values.
    update : callable
        ``update(variable, gradient, slots, hyper)`` returns the operation that updates one variable. ``slots`` are the
        variable's own; ``hyper`` are the run settings and the scalars by name, all float32 scalars.
    advance : callable
        ``advance(scalars, hyper)`` returns the next values of the scalars.
    direction : callable
        ``direction(gradient, moments, count, hyper)`` returns the direction of an update of several numbers that are
        trained apart from the parameters, such as scales, and the next moments. ``moments`` are two tensors like the
        gradient, initially 0; ``count`` is the number of updates of each number, with this one.
    is_normalized : bool
        The direction does not depend on the size of the gradients.
    """

    slots: Tuple[str, ...]
    scalars: Dict[str, str]
    update: Update
    advance: Callable[[Tensors, Tensors], Tensors]
    direction: Direction
    is_normalized: bool


def _sgd(variable: StateVariable, gradient: tf.Tensor, slots: Variables, hyper: Tensors) -> tf.Operation:
    return tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=hyper["learning_rate"], delta=gradient)


def _momentum(variable: StateVariable, gradient: tf.Tensor, slots: Variables, hyper: Tensors) -> tf.Operation:
    return tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle,
        accum=slots["momentum"].handle,
        lr=hyper["learning_rate"],
        grad=gradient,
        momentum=hyper["momentum"],
    )


def _adam(variable: StateVariable, gradient: tf.Tensor, slots: Variables, hyper: Tensors) -> tf.Operation:
    return tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=slots["m"].handle,
        v=slots["v"].handle,
        beta1_power=hyper["beta1_power"],
        beta2_power=hyper["beta2_power"],
        lr=hyper["learning_rate"],
        beta1=hyper["beta1"],
        beta2=hyper["beta2"],
        epsilon=hyper["epsilon"],
        grad=gradient,
    )


def _adam_advance(scalars: Tensors, hyper: Tensors) -> Tensors:
    return {power: scalars[power] * hyper[beta] for power, beta in _ADAM_POWERS.items()}


def _rmsprop(variable: StateVariable, gradient: tf.Tensor, slots: Variables, hyper: Tensors) -> tf.Operation:
    """Return the update without momentum, as tf.keras computes it.

    ``ResourceApplyRMSProp`` adds epsilon within the square root, and needs another slot for a momentum of 0.
    """
    mean_square = slots["rms"].read() * hyper["rho"] + tf.square(gradient) * (1.0 - hyper["rho"])
    step = gradient / (tf.sqrt(mean_square) + hyper["epsilon"])
    return tf.group(
        slots["rms"].assign(mean_square),
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=hyper["learning_rate"], delta=step),
    )


def _sgd_direction(
    gradient: tf.Tensor, moments: Moments, count: tf.Tensor, hyper: Tensors
) -> Tuple[tf.Tensor, Moments]:
    return gradient, moments


def _momentum_direction(
    gradient: tf.Tensor, moments: Moments, count: tf.Tensor, hyper: Tensors
) -> Tuple[tf.Tensor, Moments]:
    sum_ = moments[0] * hyper["momentum"] + gradient
    return sum_, (sum_, moments[1])


def _adam_direction(
    gradient: tf.Tensor, moments: Moments, count: tf.Tensor, hyper: Tensors
) -> Tuple[tf.Tensor, Moments]:
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    first = moments[0] * beta1 + gradient * (1.0 - beta1)
    second = moments[1] * beta2 + tf.square(gradient) * (1.0 - beta2)
    # At a count of 0, nothing is trained, and the corrections are 0.
    corrected = [tf.div_no_nan(moment, 1.0 - tf.pow(beta, count)) for moment, beta in ((first, beta1), (second, beta2))]
    return corrected[0] / (tf.sqrt(corrected[1]) + hyper["epsilon"]), (first, second)


def _rmsprop_direction(
    gradient: tf.Tensor, moments: Moments, count: tf.Tensor, hyper: Tensors
) -> Tuple[tf.Tensor, Moments]:
    mean_square = moments[1] * hyper["rho"] + tf.square(gradient) * (1.0 - hyper["rho"])
    return gradient / (tf.sqrt(mean_square) + hyper["epsilon"]), (moments[0], mean_square)


def _no_scalars(scalars: Tensors, hyper: Tensors) -> Tensors:
    return {}


#: Adam's scalars, the betas to the power of the step, and the betas.
_ADAM_POWERS = {"beta1_power": "beta1", "beta2_power": "beta2"}
_ADAM = Optimizer(("m", "v"), _ADAM_POWERS, _adam, _adam_advance, _adam_direction, True)
#: Optimizers by the names of :data:`qatviz.settings.OPTIMIZERS`. AdamW only has another default of its weight decay.
OPTIMIZERS = {
    "adam": _ADAM,
    "adamw": _ADAM,
    "momentum": Optimizer(("momentum",), {}, _momentum, _no_scalars, _momentum_direction, False),
    "rmsprop": Optimizer(("rms",), {}, _rmsprop, _no_scalars, _rmsprop_direction, True),
    "sgd": Optimizer((), {}, _sgd, _no_scalars, _sgd_direction, False),
}
#: Kinds of updates of a training step; each costs only what it does.
PLAIN, REGULARIZED, KEEPING_ZEROS = "plain", "regularized", "keeping zeros"
#: Run settings that are off at 0 and require the regularized updates.
REGULARIZERS = ("weight_decay", "gradient_clip")
#: Run settings of all optimizers.
HYPERPARAMETERS = ("learning_rate", "momentum", "rho", "beta1", "beta2", "epsilon", *REGULARIZERS)


def slot_arrays(
    optimizer: Optimizer, trainable: Dict[str, np.ndarray], hyper: Dict[str, float]
) -> Dict[str, np.ndarray]:
    """Return the initial optimizer state: slots ``parameter|slot`` and scalars ``optimizer|name``, float32 arrays.

    Parameters
    ----------
    optimizer : Optimizer
    trainable : dict of str to np.ndarray
        Trainable parameters by name.
    hyper : dict of str to float
        Run settings by name.
    """
    arrays = {f"{name}|{slot}": np.zeros_like(value) for name, value in trainable.items() for slot in optimizer.slots}
    for scalar, setting in optimizer.scalars.items():
        arrays["optimizer|" + scalar] = np.array(hyper[setting], np.float32)
    return arrays


def kind_of_update(run: RunSettings) -> str:
    """Return the kind of updates that the settings of a run require."""
    is_regularized = any(getattr(run, name) for name in REGULARIZERS)
    return KEEPING_ZEROS if run.keep_zeros else REGULARIZED if is_regularized else PLAIN


def updates_by_kind(
    optimizer: Optimizer, variables: Variables, values: Tensors, gradients: Tensors, hyper: Tensors
) -> Dict[str, Dict[str, tf.Operation]]:
    """Return the update operations of each kind, by variable: see :func:`apply` and :func:`apply_regularized`.

    ``values`` are those of all variables before the training step, with "trained", which is described there.
    """
    plain = apply(optimizer, variables, gradients, hyper)
    return {**regularized_updates(optimizer, variables, values, gradients, hyper), PLAIN: plain}


def regularized_updates(
    optimizer: Optimizer, variables: Variables, values: Tensors, gradients: Tensors, hyper: Tensors
) -> Dict[str, Dict[str, tf.Operation]]:
    """Return the update operations of each kind, as :func:`updates_by_kind`, but regularized ones as plain ones.

    Without decay and clipping, the two change variables alike.
    """
    regularized = apply_regularized(optimizer, variables, values, gradients, hyper, values["trained"])
    kept = keep_zeros(variables, values, regularized)
    return {PLAIN: regularized, REGULARIZED: regularized, KEEPING_ZEROS: kept}


def apply(
    optimizer: Optimizer,
    variables: Variables,
    gradients: Tensors,
    hyper: Tensors,
    after: Mapping[str, tf.Operation] = MappingProxyType({}),
) -> Dict[str, tf.Operation]:
    """Return the update operations of all trainable variables, and of the scalars as ``optimizer|name``.

    Each can run without the others: a step that leaves out the update of a variable does not train it, and changes
    none of its slots.

    Parameters
    ----------
    variables : dict of str to StateVariable
        All variables of the run by name, including slots and scalars.
    gradients : dict of str to tf.Tensor
        Gradients by the name of the variable.
    hyper : dict of str to tf.Tensor
        Scalars of :data:`HYPERPARAMETERS`.
    after : dict of str to tf.Operation
        Operations that run before the update of a variable, by its name.
    """
    scalars = {name: variables["optimizer|" + name].read() for name in optimizer.scalars}
    hyper = dict(hyper, **scalars)
    updates = {}
    for name, gradient in gradients.items():
        slots = {slot: variables[f"{name}|{slot}"] for slot in optimizer.slots}
        with tf.control_dependencies([after[name]] if name in after else []):
            updates[name] = optimizer.update(variables[name], gradient, slots, hyper)
    # The next values are computed from the values read above, so the assignments need no order.
    for name, value in optimizer.advance(scalars, hyper).items():
        updates["optimizer|" + name] = variables["optimizer|" + name].assign(value)
    return updates


def apply_regularized(
    optimizer: Optimizer,
    variables: Variables,
    values: Tensors,
    gradients: Tensors,
    hyper: Tensors,
    trained: tf.Tensor,
) -> Dict[str, tf.Operation]:
    """Return update operations as :func:`apply` does, preceded by weight decay and with clipped gradients.

    They are separate operations, so that a run without decay and clipping does not compute them. Gradients whose global
    norm exceeds ``gradient_clip`` are scaled to it (Pascanu et al. 2013); ``weight_decay * learning_rate * w`` is
    subtracted from weights before the update (Loshchilov and Hutter 2019), as in Keras.

    Parameters
    ----------
    values : dict of str to tf.Tensor
        Trainable variables before the training step, by name.
    trained : tf.Tensor
        bool ``[n]``: which of the variables, in the order of ``gradients``, are trained now. The gradients of others do
        not count in the norm.
    """
    limit = hyper["gradient_clip"]
    halves = tf.stack([tf.nn.l2_loss(gradient) for gradient in gradients.values()])
    norm = tf.sqrt(tf.reduce_sum(tf.where(trained, halves, tf.zeros_like(halves))) * 2.0)  # as tf.global_norm
    scale = tf.where_v2(limit > 0.0, limit / tf.maximum(norm, limit), 1.0)  # exactly 1 for smaller gradients
    gradients = {name: gradient * scale for name, gradient in gradients.items()}
    rate = hyper["learning_rate"] * hyper["weight_decay"]
    decays = {
        name: tf.raw_ops.ResourceApplyGradientDescent(var=variables[name].handle, alpha=rate, delta=values[name])
        for name in gradients
        if is_decayed(name)
    }
    return apply(optimizer, variables, gradients, hyper, decays)


def keep_zeros(variables: Variables, values: Tensors, updates: Mapping[str, tf.Operation]) -> Dict[str, tf.Operation]:
    """Return ``updates`` by variable that afterwards set weights of layers which are 0 in ``values`` to 0 again.

    The masks of the weights need no state, because a weight that is kept at 0 is 0 before the next step, too.
    """
    keeping = dict(updates)
    for name, update in updates.items():
        if "|" not in name and is_decayed(name):  # not a scalar of the optimizer
            with tf.control_dependencies([update]):
                kept = tf.where_v2(tf.equal(values[name], 0.0), 0.0, variables[name].read())
                keeping[name] = variables[name].assign(kept)
    return keeping
