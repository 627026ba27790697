"""Every quantizer against TensorFlow's own kernels, forward and backward: 2 to 16 bits x symmetric x narrow x per
channel.

The NumPy reference and the graph's path per channel must be equal to the last bit. The graph's path per tensor is
carried by the 16-bit kernel, whose scale is in rare grids an ulp away from that of the grid it carries: there, a value
in the middle between two codes may fall to the other side.
"""

import numpy as np
import pytest
import quant_inputs
from kernel_oracle import ALL_SETTINGS, CHANNELS, Result, kernel_range, nudged_range

from qatviz.quant import affine

ULP = np.finfo(np.float32).eps
#: Fraction of values above 8 bits that may fall on the other side of a tie.
MAX_TIES = 1e-4
NOT_FINITE = [-np.inf, -1.0, 0.0, 1.0, np.inf, np.nan, -3.4e38, 3.4e38, 1e36]
ARRAYS = quant_inputs.arrays()
OPERATIONS = [
    ("quantize_tensor", False),
    ("quantize_tensor", True),
    ("quantize_conv2d", False),
    ("quantize_conv2d", True),
    ("quantize_depthwise_conv2d", False),
]
#: Arrays that are also tested on a range narrower than their own.
CLIPPED = ["uneven", "positive", "1e-20", "1e30", "channels far apart"]
OPERATION_ARRAYS = ["offset", "outlier", "negative constant", "zero", "channels far apart", "1e-30"]


def name_of(setting):
    flags = "-symmetric" * setting.symmetric + "-narrow" * setting.narrow_range + "-per-channel" * setting.per_channel
    return f"{setting.num_bits}-bits{flags}"


every_setting = pytest.mark.parametrize("setting", ALL_SETTINGS, ids=name_of)


def extent(x, setting):
    axis = 0 if setting.per_channel else None
    return x.min(axis=axis), x.max(axis=axis)


def cases(setting):
    """Yield name, values and range: of the values, of their middle part, and ranges tested on their edges."""
    for name, x in ARRAYS.items():
        low, high = extent(x, setting)
        yield name, x, low, high
        if name in CLIPPED:
            yield name + ", clipped", x, low * np.float32(0.6), high * np.float32(0.7)
    for low, high in quant_inputs.edge_ranges(setting):
        yield f"edges of {low}, {high}", quant_inputs.edge_points(low, high, setting), low, high


def reference(x, dy, low, high, setting):
    """Return NumPy's values, gradient and codes."""
    grid = affine.choose_grid(low, high, setting.num_bits, setting.symmetric, setting.narrow_range)
    codes = np.where(grid.scale > 0, affine.quantize(x, grid), 0)
    return Result(affine.fake_quant(x, grid), affine.fake_quant_gradient(dy, x, grid), codes)


def kernel(oracle, x, dy, low, high, setting):
    return oracle.kernel(x, dy, *kernel_range(low, high, setting), setting=setting)


def assert_equal(found, expected, name):
    for field in Result._fields:
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), f"{field} of {name}")


def ties(found, expected, x, low, high, setting, name):
    """Return the number of codes that differ, after checking that each differs by one and at a tie only."""
    low, high = kernel_range(low, high, setting)
    minimum, maximum, scale = (end.astype(np.float64) for end in nudged_range(low, high, setting))
    np.testing.assert_array_equal(found.gradient, expected.gradient, "gradient of " + name)
    other = found.codes != expected.codes
    difference = np.abs(found.values.astype(np.float64) - expected.values)
    width = np.maximum(maximum - minimum, np.finfo(np.float32).tiny)
    assert np.all(np.where(other, 0, difference) <= 2 * ULP * width), "values of " + name
    if np.any(other):
        steps = (np.clip(x.astype(np.float64), minimum, maximum) - minimum) / scale
        from_tie = np.abs(steps - np.floor(steps) - 0.5) * scale
        assert np.all((from_tie <= 4 * ULP * width)[other]), "codes of " + name
        assert np.all(np.abs(found.codes - expected.codes)[other] == 1), "codes of " + name
    return np.count_nonzero(other)


@every_setting
def test_reference_and_graph_equal_the_kernel(oracle, setting):
    for name, x, low, high in cases(setting):
        dy = quant_inputs.upstream(x)
        expected = kernel(oracle, x, dy, low, high, setting)
        assert_equal(reference(x, dy, low, high, setting), expected, "the reference on " + name)
        found = oracle.fake_quantize(x, dy, low, high, setting)
        if setting.per_channel:
            assert_equal(found, expected, "the graph on " + name)
        else:
            other = ties(found, expected, x, low, high, setting, name)
            assert other == 0 or setting.num_bits > 8, "codes of " + name


@pytest.mark.parametrize("power_of_two", [False, True])
@every_setting
def test_the_grid_in_the_graph_equals_the_reference(oracle, setting, power_of_two):
    ranges = [(low, high) for _, _, low, high in cases(setting)] + [
        (low, high) for low in NOT_FINITE for high in NOT_FINITE
    ]
    low, high = [np.concatenate([np.ravel(ends) for ends in side]).astype(np.float32) for side in zip(*ranges)]
    found = oracle.grids(low, high, setting, power_of_two)
    expected = affine.choose_grid(low, high, *setting[:3], power_of_two=power_of_two)
    for field in ("scale", "zero_point", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), field)


@pytest.mark.parametrize("operation, per_channel", OPERATIONS)
@pytest.mark.parametrize("setting", [s for s in ALL_SETTINGS if not s.per_channel], ids=name_of)
def test_operations_equal_the_kernel(oracle, setting, operation, per_channel):
    setting = setting._replace(per_channel=per_channel)
    for name in OPERATION_ARRAYS:
        x = ARRAYS[name]
        dy = quant_inputs.upstream(x)
        low, high = extent(x, setting)
        expected = kernel(oracle, x, dy, low, high, setting)
        values, gradient = oracle.operation(operation, x, dy, setting)
        grid = affine.choose_grid(low, high, *setting[:3])
        found = Result(values, gradient, np.where(grid.scale > 0, affine.quantize(values, grid), 0))
        if per_channel:
            assert_equal(found, expected, name)
        else:
            other = ties(found, expected, x, low, high, setting, name)
            assert other == 0 or setting.num_bits > 8, "codes of " + name


def test_ties_are_rare(oracle):
    """Random values on random ranges: at most one in 10,000 differs above 8 bits, and none up to 8 bits."""
    random = np.random.RandomState(22)
    differing, seen = {True: 0, False: 0}, {True: 0, False: 0}
    for setting in ALL_SETTINGS:
        if setting.per_channel:
            continue
        for _ in range(10):
            x = random.randn(1000, CHANNELS).astype(np.float32) * np.float32(10.0 ** random.uniform(-3, 3))
            low, high = (end * np.float32(random.uniform(0.3, 1.1)) for end in (x.min(), x.max()))
            expected = kernel(oracle, x, x, low, high, setting)
            found = oracle.fake_quantize(x, x, low, high, setting)
            differing[setting.num_bits > 8] += ties(found, expected, x, low, high, setting, "random values")
            seen[setting.num_bits > 8] += x.size
    print(
        f"codes that differ: {differing[False]} of {seen[False]} up to 8 bits, {differing[True]} of {seen[True]} above"
    )
    assert differing[False] == 0
    assert differing[True] <= MAX_TIES * seen[True]
