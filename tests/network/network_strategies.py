"""Hypothesis strategies for networks: random directed acyclic graphs that obey every rule."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from qatviz.network import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Network,
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Slice,
    Softmax,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)

RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Settings for tests that draw networks: a slow machine is not a failure."""

_UPSAMPLINGS = (UpsampleNearest, UpsampleBilinear)
_PADDINGS = st.sampled_from(["SAME", "VALID"])


class _Draft:
    """Layers added so far, the shapes of their outputs, and the outputs without consumers or without further ones."""

    def __init__(self, input_shape):
        self.layers = []
        self.shapes = {"input": input_shape}
        self.unread = set()
        self.closed = set()

    def add(self, kind, inputs, **settings):
        layer = kind(f"n{len(self.layers)}", tuple(inputs), **settings)
        self.layers.append(layer)
        self.shapes[layer.name] = layer.output_shape([self.shapes[name] for name in inputs])
        self.unread.difference_update(inputs)
        self.unread.add(layer.name)
        return layer.name

    def open(self, rank=None):
        return [
            name
            for name, shape in self.shapes.items()
            if name not in self.closed and (rank is None or len(shape) == rank)
        ]


def _add_random_layer(draw, draft):
    source = draw(st.sampled_from(draft.open()))
    shape = draft.shapes[source]
    kinds = [ReLU, ReLU6, Dropout, Flatten, Reshape, Concat, Add, Permute]
    kinds += (
        [Conv2D, DepthwiseConv2D, MaxPool, AveragePool, GlobalAveragePool, ZeroPad, Slice, *_UPSAMPLINGS]
        if len(shape) == 3
        else []
    )
    kinds += [Dense] if len(shape) == 1 else []
    kind = draw(st.sampled_from(kinds))
    if kind in (Add, Concat):
        peers = [name for name in draft.open() if draft.shapes[name] == shape]
        others = draw(st.lists(st.sampled_from(peers), min_size=1, max_size=2))
        draft.add(kind, [source, *others])
        return
    if kind is Reshape:
        draft.add(kind, [source], target_shape=draw(st.permutations(shape)))
        return
    if kind is Slice:  # those that Keras has layers for
        start = (*(draw(st.integers(0, min(1, size - 1))) for size in shape[:2]), 0)
        draft.add(kind, [source], start=start, stop=shape)
        return
    if kind is Permute:
        draft.add(kind, [source], axes=tuple(draw(st.permutations(range(len(shape))))))
        return
    settings = {}
    if kind in (MaxPool, AveragePool):
        settings = {
            "pool_size": (min(2, shape[0]), min(2, shape[1])),
            "strides": draw(st.sampled_from([None, 1, 2])),
            "padding": draw(_PADDINGS),
        }
    elif kind in (Conv2D, DepthwiseConv2D):
        padding = draw(_PADDINGS)
        size = draw(st.integers(1, 3))
        settings = {
            "kernel_size": size if padding == "SAME" else (min(size, shape[0]), min(size, shape[1])),
            "padding": padding,
            "strides": draw(st.integers(1, 2)),
            "use_bias": draw(st.booleans()),
        }
        settings["filters" if kind is Conv2D else "depth_multiplier"] = draw(st.integers(1, 2))
    elif kind is Conv2DTranspose:
        settings = {"filters": 2, "kernel_size": draw(st.integers(1, 3)), "strides": draw(st.integers(1, 2))}
    elif kind in _UPSAMPLINGS:
        settings = {"size": draw(st.sampled_from([(1, 2), (2, 1)]))}
    elif kind is Dense:
        settings = {"units": draw(st.integers(1, 4)), "use_bias": draw(st.booleans())}
    added = draft.add(kind, [source], **settings)
    if kind in (Conv2D, Conv2DTranspose, DepthwiseConv2D, Dense) and draw(st.booleans()):
        draft.closed.add(added)
        draft.add(BatchNorm, [added], momentum=draw(st.sampled_from([0.9, 0.99])))


@st.composite
def networks(draw, max_layers=14):
    """Draw a network with all kinds of layers, shared inputs, residuals and concats, its layers in random order."""
    draft = _Draft(draw(st.sampled_from([(6, 5, 2), (4, 4, 1), (7,)])))
    for _ in range(draw(st.integers(1, max_layers))):
        _add_random_layer(draw, draft)
    ends = [name for name in draft.shapes if name in draft.unread]
    flat = [name if len(draft.shapes[name]) == 1 else draft.add(Flatten, [name]) for name in ends]
    last = draft.add(Concat, flat) if len(flat) > 1 else flat[0]
    last = draft.add(Dense, [last], units=3)
    if draw(st.booleans()):
        draft.add(Softmax, [last])
    layers = draw(st.permutations(draft.layers))
    return Network("random", draft.shapes["input"], tuple(layers))
