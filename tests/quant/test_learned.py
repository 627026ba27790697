"""Gradients of learned ranges equal those of the papers' equations in NumPy, for all grids and kinds of tensors."""

import functools
from dataclasses import replace

import learned_oracle as by_papers
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from small_runs import convnet

from qatviz.network.plan import quantization_plan
from qatviz.quant import affine, live_state
from qatviz.quant.learned import gradient_sums, learned_gradients, moved_ranges, trained_tensors
from qatviz.quant.live import LiveQuantizers
from qatviz.settings import LEARNED, LEARNED_CLIP, LEARNED_RANGE, WEIGHTS, RunSettings, quantizer_settings

BATCH = 5
PLAN = quantization_plan(convnet())
POSITIONS = live_state.layout(PLAN)
DECAY = 0.125


def values_of(random, tensor):
    """Return random values of a tensor that reach beyond its range, some of them on its ends."""
    shape = tensor.shape if tensor.kind == WEIGHTS else (BATCH, *tensor.shape)
    x = random.standard_normal(shape).astype(np.float32)
    return np.abs(x) if tensor.nonnegative else x


class LearningGraph:
    """Gradients and updates of learned ranges; all that they are computed from is fed."""

    def __init__(self, state, tensors):
        with tf.Graph().as_default() as graph:
            self.state = {name: tf.placeholder(value.dtype, value.shape) for name, value in state.items()}
            self.tensors = {name: tf.placeholder(tf.float32, value.shape) for name, value in tensors.items()}
            self.gradients = {name: tf.placeholder(tf.float32, value.shape) for name, value in tensors.items()}
            self.steps = tf.placeholder(tf.float32, [2, POSITIONS.num_learned])
            weights = {t.name: self.tensors[t.name] for t in PLAN.tensors if t.kind == WEIGHTS}
            quantizers = LiveQuantizers(PLAN, self.state, weights)
            outputs = [quantizers.quantizer(name)(x) * self.gradients[name] for name, x in self.tensors.items()]
            trained = trained_tensors(quantizers)
            loss = tf.add_n([tf.reduce_sum(output) for output in outputs])
            sums = gradient_sums(
                quantizers, dict(zip(trained, tf.gradients(loss, list(trained.values())))), self.state["learn"]
            )
            self.learned = learned_gradients(quantizers, self.state, sums, BATCH, tf.constant(DECAY))
            self.moved = moved_ranges(POSITIONS, self.state, self.learned, self.steps)
        config = tf.ConfigProto()
        config.graph_options.rewrite_options.disable_meta_optimizer = True  # which takes longer than all cases
        self.session = tf.Session(graph=graph, config=config)


@functools.lru_cache(1)
def learning_graph():
    """Return the graph of all cases: they have other values of the same shapes."""
    state = dict(
        live_state.settings_arrays(
            POSITIONS, [quantizer_settings(t.kind) for t in POSITIONS.leaders], RunSettings(), 0
        ),
        **live_state.initial_ranges(POSITIONS),
    )
    return LearningGraph(state, {tensor.name: values_of(np.random, tensor) for tensor in PLAN.tensors})


@pytest.fixture(autouse=True, scope="module")
def closed_in_the_end():
    yield
    if learning_graph.cache_info().currsize:
        learning_graph().session.close()
        learning_graph.cache_clear()


class Case:
    """One evaluation of the gradients, with all that they are computed from."""

    def __init__(self, seed=0, method=LEARNED, **grid):
        random = np.random.RandomState(seed)
        self.settings = []
        for leader in POSITIONS.leaders:
            is_weights = leader.kind == WEIGHTS
            own = {name: value for name, value in grid.items() if is_weights or name != "per_channel"}
            chosen = LEARNED if is_weights else method
            self.settings.append(replace(quantizer_settings(leader.kind, **own), range_method=chosen))
        self.state = dict(
            live_state.settings_arrays(POSITIONS, self.settings, RunSettings(), 0),
            **live_state.initial_ranges(POSITIONS),
        )
        for name in ("held_", "held_channel_", "range_"):
            size = self.state[name + "min"].size
            self.state[name + "min"] = np.float32(-random.uniform(0.5, 1.5, size))
            self.state[name + "max"] = np.float32(random.uniform(0.5, 1.5, size))
        for rank, group in enumerate(POSITIONS.activations):
            if POSITIONS.leaders[group].nonnegative:
                self.state["range_min"][rank] = 0
        self.x = {tensor.name: values_of(random, tensor) for tensor in PLAN.tensors}
        self.g = {name: random.standard_normal(x.shape).astype(np.float32) for name, x in self.x.items()}
        self.steps = np.float32(random.uniform(-0.1, 0.1, [2, POSITIONS.num_learned]))
        graph = learning_graph()
        feeds = {graph.state[name]: value for name, value in self.state.items()}
        feeds.update((graph.tensors[name], self.x[name]) for name in self.x)
        feeds.update((graph.gradients[name], self.g[name]) for name in self.g)
        feeds[graph.steps] = self.steps
        self.learned, self.moved = graph.session.run([graph.learned, graph.moved], feeds)

    def parts(self):
        """Yield, for each learned range, its position, settings, values, their gradients, and the grid in use."""
        for tensor in PLAN.tensors:
            group = POSITIONS.group_of[PLAN.index(tensor.name)]
            own = self.settings[group]
            place = POSITIONS.learned_at(group, own.per_channel)
            low, high = self.ends()
            channels = place.stop - place.start
            x, g = (array[tensor.name].reshape(-1, channels) for array in (self.x, self.g))
            for channel in range(channels):
                at = place.start + channel
                grid = affine.choose_grid(
                    low[at], high[at], own.num_bits, own.symmetric, own.narrow_range, own.power_of_two
                )
                yield at, tensor, own, x[:, channel], g[:, channel], grid

    def ends(self):
        return [
            np.concatenate([self.state[name + end] for name in ("held_", "held_channel_", "range_")])
            for end in ("min", "max")
        ]


GRIDS = [
    {"num_bits": 2},
    {"num_bits": 2, "symmetric": True, "narrow_range": True, "per_channel": True},
    {"num_bits": 3, "per_channel": True},
    {"num_bits": 4, "symmetric": True},
    {"num_bits": 8, "narrow_range": True},
]


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_lsq(grid):
    case = Case(**grid)
    for at, _, _, x, g, used in case.parts():
        assert_close(case.learned.values[0, at], used.scale)
        assert_close(case.learned.gradients[:, at], [by_papers.lsq(x, g, used) * by_papers.balance(x.size, used), 0])
        assert not case.learned.is_log[at]


@pytest.mark.parametrize("grid", GRIDS)
def test_tqt_with_a_power_of_two_scale(grid):
    case = Case(power_of_two=True, **grid)
    for at, _, _, x, g, used in case.parts():
        assert used.scale / 2 < case.learned.values[0, at] <= used.scale * (1 + 1e-6), "the threshold is not rounded"
        assert_close(case.learned.gradients[:, at], [by_papers.tqt(x, g, used), 0])
        assert case.learned.is_log[at]


@pytest.mark.parametrize("grid", GRIDS)
def test_lsq_plus(grid):
    case = Case(method=LEARNED_RANGE, **grid)
    for at, tensor, own, x, g, used in case.parts():
        if tensor.kind == WEIGHTS or own.symmetric:
            expected = [by_papers.lsq(x, g, used), 0]
        else:
            expected = by_papers.lsq_plus(x, g, used)
        assert_close(case.learned.gradients[:, at], np.array(expected) * by_papers.balance(x.size, used))


@pytest.mark.parametrize("grid", GRIDS)
def test_pact(grid):
    case = Case(method=LEARNED_CLIP, **grid)
    low, high = case.ends()
    for at, tensor, _, x, g, used in case.parts():
        if tensor.kind != WEIGHTS:
            expected = np.array(by_papers.pact(x, g, used)) + DECAY * np.array([high[at], low[at]])
            assert_close(case.learned.gradients[:, at], expected)


@pytest.mark.parametrize("power_of_two", [False, True])
def test_an_update_of_the_scale_multiplies_both_ends(power_of_two):
    case = Case(num_bits=4, per_channel=True, power_of_two=power_of_two)
    old = case.ends()
    case.state.update(case.moved)
    low, high = case.ends()
    is_on = case.state["learn"].any(axis=0)
    assert is_on.sum() == len(list(case.parts())), "the range of the tensor as a whole is not in use"
    scale = case.learned.values[0]
    new = scale * 2 ** -case.steps[0] if power_of_two else scale - case.steps[0]
    factor = np.clip(new / np.where(is_on, scale, 1), 0.5, 2)
    for before, after in zip(old, (low, high)):
        np.testing.assert_allclose(after[is_on], (before * factor)[is_on], rtol=1e-5)
        np.testing.assert_array_equal(after[~is_on], before[~is_on])


def test_an_update_of_a_range_moves_the_offset_and_keeps_zero_in_it():
    case = Case(method=LEARNED_RANGE, num_bits=4)
    parts = list(case.parts())
    case.state.update(case.moved)
    low, high = case.ends()
    for at, tensor, _, _, _, used in parts:
        if tensor.kind != WEIGHTS:
            lower = min(case.learned.values[1, at] - case.steps[1, at], 0)
            scale = np.clip(case.learned.values[0, at] - case.steps[0, at], used.scale / 2, used.scale * 2)
            assert_close([low[at], high[at]], [lower, lower + 15 * scale])


def test_an_update_of_a_clip_moves_its_ends():
    case = Case(method=LEARNED_CLIP, num_bits=4)
    before = case.ends()[1]
    case.state.update(case.moved)
    low, high = case.ends()
    for at, tensor, *_ in case.parts():
        if tensor.kind != WEIGHTS:
            assert_close(low[at], min(case.learned.values[1, at] - case.steps[1, at], 0))
            assert_close(high[at], np.clip(before[at] - case.steps[0, at], before[at] / 2, before[at] * 2))


def test_nothing_is_learned_by_quantizers_that_are_off_or_while_ranges_are_frozen():
    settings = [
        replace(quantizer_settings(leader.kind), range_method=LEARNED, enabled=False) for leader in POSITIONS.leaders
    ]
    assert not live_state.settings_arrays(POSITIONS, settings, RunSettings(), 0)["learn"].any()
    settings = [replace(own, enabled=True, quant_delay=5) for own in settings]
    arrays = [live_state.settings_arrays(POSITIONS, settings, RunSettings(), step)["learn"] for step in (4, 5)]
    assert [array.any() for array in arrays] == [False, True]
    frozen = RunSettings(freeze_ranges=True)
    assert not live_state.settings_arrays(POSITIONS, settings, frozen, 5)["learn"].any()
