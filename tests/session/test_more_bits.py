"""More bits: each number is that of an evaluation, and the suggested tensors are those that bring the most."""

import numpy as np
import pytest
import tensorflow as tf
from small_runs import spec

import qatviz
from qatviz.export.progress import Progress
from qatviz.metric import ACCURACY, MODES, RMSE
from qatviz.protocol.events import Evaluated
from qatviz.session.more_bits import MORE_BITS, most_useful, try_more_bits


def tried(scores, now, in_float, metric=RMSE):
    """Return the results where ``scores`` gives the metric by the tensors that have more bits, and these in order."""
    book, asked = spec().book, []

    def result(score):
        return Evaluated(5, dict(zip(MODES, (in_float, 0.0, 0.0, score))), 40, 0.0, metric.name)

    def evaluate(wanted, progress):
        progress.at("evaluating", 0.5)
        names = [t.name for t in book.plan.tensors if wanted.of(t.name).num_bits == MORE_BITS]
        asked.append(frozenset(names))
        return result(scores(set(names)))

    fractions = []
    rows = try_more_bits(evaluate, book, result(now), Progress(lambda what, fraction: fractions.append(fraction)))
    assert fractions == sorted(fractions) and fractions[0] >= 0 and fractions[-1] <= 1
    return rows, asked


def test_all_tensors_are_tried_alone_and_the_best_together():
    """Of costs of 1, 2, 4, … the largest are removed until a tenth is left."""
    names = [tensor.name for tensor in spec().book.plan.tensors]
    costs = {name: 2.0**index for index, name in enumerate(names)}
    total = sum(costs.values())
    rows, asked = tried(lambda more: 1 + total - sum(costs[name] for name in more), 1 + total, 1.0)
    assert [row.tensors for row in rows] == [(name,) for name in reversed(names)]
    assert [row.alone for row in rows] == [1 + total - costs[name] for name in reversed(names)]
    together = [row for row in rows if row.together is not None]
    assert together[-1].together - 1 <= 0.1 * total < together[-2].together - 1
    assert asked[-1] == {row.tensors[0] for row in together} and together == list(rows[: len(together)])
    # The largest cost is more than half of all.
    assert most_useful(rows, RMSE, 1 + total) == rows[:1]


def test_tensors_that_help_only_together_are_found():
    names = {tensor.name for tensor in spec().book.plan.tensors[:2]}
    rows, _ = tried(lambda more: 0.9 if names <= more else 0.8, 0.8, 0.9, ACCURACY)
    chosen = most_useful(rows, ACCURACY, 0.8)
    assert names <= {row.tensors[0] for row in chosen} and chosen[-1].together == 0.9


@pytest.mark.parametrize("metric, in_float", [(RMSE, 0.5), (ACCURACY, 0.99)])
def test_nothing_is_suggested_that_does_not_help(metric, in_float):
    rows, _ = tried(lambda more: 0.7, 0.7, in_float, metric)
    assert len(rows) == len(spec().book.plan.tensors) and most_useful(rows, metric, 0.7) == ()


LARGEST, SMALLER, EXAMPLES = 50.0, 20.0, 1500


@pytest.fixture(scope="module")
def exact():
    """A regression whose only quantization errors are those of input and output.

    ``y = 50 x0 + 20 x1`` is represented exactly, with all weights on an 8-bit grid: 20 units are x0, 8 are x1.
    """
    x = np.random.RandomState(16).rand(EXAMPLES, 6).astype(np.float32)
    y = LARGEST * x[:, 0] + SMALLER * x[:, 1]
    with tf.Graph().as_default(), tf.compat.v1.Session():
        layers = tf.keras.layers
        model = tf.keras.Sequential([layers.Dense(32, activation="relu", input_shape=(6,)), layers.Dense(1)])
        first, second = np.zeros((6, 32)), np.zeros((32, 1))
        first[0, :20] = first[1, 20:28] = 1.0
        second[:28] = LARGEST / 20
        model.set_weights([first, np.zeros(32), second, np.zeros(1)])
        trained = qatviz.train(model, (x, y), quiet=True, steps=5, batch_size=500, learning_rate=0.0)
        return x, y, trained, trained.evaluate(more_bits=True)


def rounded(x, low, high, num_bits=8):
    scale = (high - low) / (2**num_bits - 1)
    return low + scale * np.floor((x - low) / scale + 0.5)


def test_the_error_of_a_regression_at_8_bits_has_a_floor(exact):
    """Input and output on 8 bits have an RMSE of 0.1 even with exact weights; hidden values add to it."""
    x, y, trained, _ = exact
    x = rounded(x.astype(float), 0, x.max())
    output = rounded(LARGEST * x[:, 0] + SMALLER * x[:, 1], 0, y.max())
    floor = np.sqrt(np.mean((output - y) ** 2))
    assert floor == pytest.approx(0.1, abs=0.006)
    assert trained.scores["float"] < 1e-4 and trained.scores["weights_only"] < 1e-4
    assert floor * 0.9 < trained.scores["quantized"] < floor * 1.15


def test_more_bits_for_the_output_remove_its_rounding(exact):
    x, y, _, found = exact
    x = rounded(x.astype(float), 0, x.max())
    without_output = np.sqrt(np.mean((LARGEST * x[:, 0] + SMALLER * x[:, 1] - y) ** 2))
    best = found.more_bits[0]
    assert best.alone == pytest.approx(without_output, rel=0.2)
    chosen = most_useful(found.more_bits, found.metric, found.scores["quantized"])
    assert chosen[-1].together < 0.075 and len(chosen) < len(found.more_bits)
