"""Operations that take results of float sums to the side of a tie that the exact sums are on.

The same as :mod:`qatviz.training.lowering.exact`, which says why, with constants in the place of what is live there.
"""

from typing import Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.export.fake_quant.model import ExactSums

#: How far from a code, in steps, a value may lie that is to be rounded to it: a thousandth before the tie.
_REACH = np.float32(0.499)


def settled_sum(total: tf.Tensor, sums: ExactSums) -> tf.Tensor:
    """A sum of products, or a mean: a whole number of units by channel."""
    return _settled(total, _position(total, sums.units, sums.factors), sums.steps)


def settled_addition(total: tf.Tensor, parts: Sequence[tf.Tensor], sums: ExactSums) -> tf.Tensor:
    """A sum of ``parts``, each a whole number of a unit of its own."""
    position = tf.add_n([_position(part, unit, factor) for part, unit, factor in zip(parts, sums.units, sums.factors)])
    return _settled(total, position, sums.steps)


def _position(x: tf.Tensor, units: np.ndarray, factors: np.ndarray) -> tf.Tensor:
    """float64: the exact value of ``x`` in steps."""
    whole = tf.floor(x * np.float32(1.0 / units) + np.float32(0.5))
    return tf.cast(whole, tf.float64) * tf.constant(factors)


def _settled(x: tf.Tensor, position: tf.Tensor, steps: np.float32) -> tf.Tensor:
    value = tf.cast(tf.floor(position + 0.5), tf.float32) * steps
    reach = _REACH * steps
    return tf.maximum(tf.minimum(x, value + reach), value - reach)
