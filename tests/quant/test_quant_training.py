"""The public functions train: a small network with each learns from a teacher, down to 2 bits, and one whose rounding
has no straight-through gradient does not.

The teacher's weights are ternary, so that even 2 bits can express them.
"""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from qatviz.quant import quantize_conv2d, quantize_dense, quantize_depthwise_conv2d

STEPS, LEARNING_RATE = 150, 0.02
#: The loss after training is below the first fraction of the initial loss; that of the broken recipe stays above the
#: second. Reached are at most 0.03 and at least 0.58: last digits of sums decide about neither.
LEARNT, NOT_LEARNT = 0.15, 0.3
BITS = [2, 4, 8]
RANDOM = np.random.RandomState(80)
IMAGES = RANDOM.randn(16, 6, 6, 2).astype(np.float32)
VECTORS = RANDOM.randn(128, 8).astype(np.float32)
#: Centres of four classes, two standard deviations and more apart.
CENTRES = 3 * np.float32([[1, 1], [1, -1], [-1, 1], [-1, -1]])
LABELS = RANDOM.randint(0, 4, 128)
POINTS = (CENTRES[LABELS] + RANDOM.randn(128, 2)).astype(np.float32)


def ternary(*shape):
    """Return the teacher's weights, every third one 0."""
    values = np.resize(np.float32([0.5, -0.5, 0]), int(np.prod(shape)))
    return RANDOM.permutation(values).reshape(shape)


def without_straight_through(weights, num_bits):
    """Return weights quantized incorrectly: ``tf.round`` has no gradient, so none reaches the weights."""
    scale = tf.stop_gradient(tf.reduce_max(tf.abs(weights))) / (2 ** (num_bits - 1) - 1)
    return tf.round(weights / scale) * scale


def variable(*shape):
    return tf.Variable(RANDOM.uniform(-0.4, 0.4, shape).astype(np.float32))


def squared_error(output, target):
    return tf.reduce_mean(tf.squared_difference(output, target))


def dense(num_bits, weights_quantizer=None):
    output = quantize_dense(VECTORS, variable(8, 3), variable(3), num_bits, 8, weights_quantizer=weights_quantizer)
    return squared_error(output, VECTORS @ TEACHER_DENSE)


def broken_dense(num_bits):
    return dense(num_bits, lambda weights: without_straight_through(weights, num_bits))


def classifier(num_bits):
    """Build two layers whose outputs have as few bits as the weights, but at least 4."""
    activation_bits = max(num_bits, 4)
    hidden = quantize_dense(POINTS, variable(2, 32), variable(32), num_bits, activation_bits, activation=tf.nn.relu)
    logits = quantize_dense(hidden, variable(32, 4), variable(4), num_bits, activation_bits)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=LABELS, logits=logits))


def conv2d(num_bits, **options):
    output = quantize_conv2d(IMAGES, variable(3, 3, 2, 3), 1, "SAME", num_bits, **options)
    return squared_error(output, tf.nn.conv2d(IMAGES, TEACHER_CONV, 1, "SAME"))


def conv2d_per_channel(num_bits):
    return conv2d(num_bits, per_channel=True)


def broken_conv2d(num_bits):
    return conv2d(num_bits, quantizer=lambda filters: without_straight_through(filters, num_bits) + variable(3))


def depthwise(num_bits):
    output = quantize_depthwise_conv2d(IMAGES, variable(3, 3, 2, 2), 1, "SAME", num_bits)
    return squared_error(output, tf.nn.depthwise_conv2d(IMAGES, TEACHER_DEPTHWISE, [1, 1, 1, 1], "SAME"))


TEACHER_DENSE, TEACHER_CONV, TEACHER_DEPTHWISE = ternary(8, 3), ternary(3, 3, 2, 3), ternary(3, 3, 2, 2)
MODELS = [dense, classifier, conv2d, conv2d_per_channel, depthwise]
BROKEN = [broken_dense, broken_conv2d]


@pytest.fixture(scope="module")
def loss_fractions():
    """Return the loss after training relative to the first one, by (model, bits); all are trained together."""
    with tf.Graph().as_default(), tf.Session() as session:
        losses = {(model, bits): model(bits) for model in MODELS + BROKEN for bits in BITS}
        # Models share no variables, so the gradient of the sum is that of each loss; Adam treats variables separately.
        train = tf.train.AdamOptimizer(LEARNING_RATE).minimize(tf.add_n(list(losses.values())))
        session.run(tf.global_variables_initializer())
        before = session.run(losses)
        for _ in range(STEPS):
            session.run(train)
        after = session.run(losses)
    return {key: after[key] / before[key] for key in losses}


@pytest.mark.parametrize("num_bits", BITS)
@pytest.mark.parametrize("model", MODELS)
def test_every_recipe_learns(loss_fractions, model, num_bits):
    assert loss_fractions[model, num_bits] < LEARNT


@pytest.mark.parametrize("num_bits", BITS)
@pytest.mark.parametrize("model", BROKEN)
def test_recipes_without_a_straight_through_gradient_do_not_learn(loss_fractions, model, num_bits):
    assert loss_fractions[model, num_bits] > NOT_LEARNT
