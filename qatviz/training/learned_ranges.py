"""Updates of learned ranges in a training step, by the optimizer of the run."""

# A separate module: optimizers.py knows no quantizers, and quant/learned.py no optimizers.

from typing import Dict, Tuple

import tensorflow.compat.v1 as tf

from qatviz.quant.learned import GradientSums, learned_gradients, moved_ranges
from qatviz.quant.live import LiveQuantizers
from qatviz.quant.live_state import LEARNED_STATE
from qatviz.training.optimizers import Optimizer, Tensors


def learned_updates(
    quantizers: LiveQuantizers,
    state: Dict[str, tf.Tensor],
    sums: GradientSums,
    batch_size: int,
    optimizer: Optimizer,
    hyper: Tensors,
) -> Tuple[Dict[str, tf.Tensor], tf.Tensor]:
    """Return the arrays of held ranges, ranges of activations and optimizer state after a training step.

    The learning rate is ``learning_rate * scale_learning_rate``; weight decay and gradient clipping do not apply. An
    optimizer whose updates do not depend on the size of the gradients, such as Adam, would change a scale of 0.002 by
    as much as one of 2. Its updates are therefore multiplied by the scale, as those of a logarithm are (Jain et al.
    2020, section 3.3). Held ranges that are not learned keep their values; ranges of activations that are not learned
    are those of :meth:`.LiveQuantizers.range_updates`.

    Parameters
    ----------
    quantizers : LiveQuantizers
        Quantizers of the forward pass.
    state : dict of str to tf.Tensor
        Arrays of :mod:`qatviz.quant.live_state`.
    sums : GradientSums
        Sums over all examples of the batch.
    batch_size : int
        Number of examples in the batch.
    optimizer : Optimizer
    hyper : dict of str to tf.Tensor
        Run settings by name, float32 scalars.

    Returns
    -------
    tuple of dict of str to tf.Tensor and of tf.Tensor
        The arrays by name, and the gradients of scales (or upper ends), float32 ``[K]``; NaN where none is learned.
    """
    learned = learned_gradients(quantizers, state, sums, batch_size, hyper["clip_decay"])
    is_learned = tf.reduce_any(state["learn"], axis=0)
    old = tf.unstack(state["learned_moments"])
    count = state["learned_count"] + tf.cast(is_learned, tf.float32)
    direction, moments = optimizer.direction(learned.gradients, (old[0], old[1]), count, hyper)
    if optimizer.is_normalized:
        direction *= learned.units
    rate = hyper["learning_rate"] * hyper["scale_learning_rate"]
    new = moved_ranges(quantizers.positions, state, learned, rate * direction)
    kept = [tf.where(tf.stack([is_learned] * 2), moment, before) for moment, before in zip(moments, old)]
    updates = dict(zip(LEARNED_STATE, (tf.stack(kept), count)), **new)
    # Activations whose ranges are not learned follow their batches.
    averages = quantizers.range_updates()
    learns = is_learned[-len(quantizers.positions.activations) :]
    for name in ("range_min", "range_max"):
        updates[name] = tf.where(learns, updates[name], averages[name])
    return updates, tf.where(is_learned, learned.gradients[0], tf.fill(tf.shape(is_learned), float("nan")))
