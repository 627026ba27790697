"""Shapes against TensorFlow's own static shape inference; parameters and multiply-accumulates against counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qatviz.errors import NetworkError
from qatviz.network import (
    Add,
    AveragePool,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Permute,
    Reshape,
    Slice,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)

tf = pytest.importorskip("tensorflow")

# Warnings of TensorFlow 1.15 itself.
pytestmark = pytest.mark.filterwarnings("ignore:Using or importing the ABCs from 'collections':DeprecationWarning")

SIZES = st.integers(1, 12)
PAIRS = st.tuples(st.integers(1, 4), st.integers(1, 4))
PADDINGS = st.sampled_from(["SAME", "VALID"])
IMAGES = st.tuples(SIZES, SIZES, st.integers(1, 3))


def tensorflow_shape(build, *shapes):
    """Return the static shape of `build` for placeholders of these shapes, without the batch; None if it fails."""
    with tf.Graph().as_default():
        inputs = [tf.compat.v1.placeholder(tf.float32, (None, *shape)) for shape in shapes]
        try:
            return tuple(build(*inputs).shape.as_list()[1:])
        except ValueError:
            return None


def our_shape(layer, *shapes):
    """Return the shape that the layer infers; None if it refuses the input."""
    try:
        return layer.output_shape(shapes)
    except NetworkError:
        return None


def weights(layer, image):
    return tf.zeros(layer.parameter_shapes([image])["weights"])


@settings(max_examples=150, deadline=None)
@given(image=IMAGES, kernel=PAIRS, stride=PAIRS, dilation=PAIRS, padding=PADDINGS, dilated=st.booleans())
def test_conv2d(image, kernel, stride, dilation, padding, dilated):
    stride, dilation = ((1, 1), dilation) if dilated else (stride, (1, 1))
    layer = Conv2D("conv", "input", 5, kernel, stride, padding, dilation)
    expected = tensorflow_shape(
        lambda x: tf.nn.conv2d(x, weights(layer, image), strides=stride, padding=padding, dilations=dilation), image
    )
    assert our_shape(layer, image) == expected


@settings(max_examples=150, deadline=None)
@given(
    image=IMAGES,
    kernel=PAIRS,
    stride=st.integers(1, 4),
    dilation=PAIRS,
    padding=PADDINGS,
    dilated=st.booleans(),
    multiplier=st.integers(1, 3),
)
def test_depthwise_conv2d(image, kernel, stride, dilation, padding, dilated, multiplier):
    stride, dilation = (1, dilation) if dilated else (stride, (1, 1))
    layer = DepthwiseConv2D("conv", "input", kernel, stride, padding, dilation, multiplier)
    expected = tensorflow_shape(
        lambda x: tf.nn.depthwise_conv2d(x, weights(layer, image), (1, stride, stride, 1), padding, rate=dilation),
        image,
    )
    assert our_shape(layer, image) == expected


@settings(max_examples=150, deadline=None)
@given(
    image=IMAGES,
    window=PAIRS,
    stride=PAIRS,
    padding=PADDINGS,
    pools=st.sampled_from([(MaxPool, "max_pool2d"), (AveragePool, "avg_pool2d")]),
)
def test_pools(image, window, stride, padding, pools):
    kind, name = pools
    layer = kind("pool", "input", window, stride, padding)
    expected = tensorflow_shape(lambda x: getattr(tf.nn, name)(x, window, stride, padding), image)
    assert our_shape(layer, image) == expected


@settings(max_examples=60, deadline=None)
@given(image=IMAGES, border=st.tuples(*2 * [st.tuples(st.integers(0, 3), st.integers(0, 3))]))
def test_zero_pad_flatten_and_global_average_pool(image, border):
    assert our_shape(ZeroPad("pad", "input", border), image) == tensorflow_shape(
        lambda x: tf.pad(x, ((0, 0), *border, (0, 0))), image
    )
    assert our_shape(Flatten("flat", "input"), image) == tensorflow_shape(tf.compat.v1.layers.Flatten(), image)
    assert our_shape(GlobalAveragePool("gap", "input"), image) == tensorflow_shape(
        lambda x: tf.reduce_mean(x, (1, 2)), image
    )


@settings(max_examples=100, deadline=None)
@given(image=IMAGES, other=IMAGES, axis=st.integers(-3, 2))
def test_concat(image, other, axis):
    layer = Concat("concat", ("a", "b"), axis)
    batch_axis = axis if axis < 0 else axis + 1  # TensorFlow counts the batch
    expected = tensorflow_shape(lambda a, b: tf.concat([a, b], batch_axis), image, other)
    assert our_shape(layer, image, other) == expected
    matching = tuple(size if index == axis % 3 else image[index] for index, size in enumerate(other))
    expected = tensorflow_shape(lambda a, b: tf.concat([a, b], batch_axis), image, matching)
    assert our_shape(layer, image, matching) == expected is not None


@settings(max_examples=100, deadline=None)
@given(image=IMAGES, target=st.lists(st.integers(1, 12), min_size=1, max_size=3), wildcard=st.booleans())
def test_reshape_agrees_with_numpy(image, target, wildcard):
    target = (-1, *target) if wildcard else tuple(target)
    try:
        expected = np.empty(image).reshape(target).shape
    except ValueError:
        expected = None
    assert our_shape(Reshape("reshape", "input", target), image) == expected


@settings(max_examples=60, deadline=None)
@given(image=IMAGES, filters=st.integers(1, 3), multiplier=st.integers(1, 3), kernel=PAIRS, use_bias=st.booleans())
def test_macs_count_the_products_and_bias_the_channels_of_every_output(image, filters, multiplier, kernel, use_bias):
    taps = kernel[0] * kernel[1]
    conv = Conv2D("conv", "input", filters, kernel, use_bias=use_bias)
    depthwise = DepthwiseConv2D("conv", "input", kernel, depth_multiplier=multiplier, use_bias=use_bias)
    assert conv.macs([image]) == np.prod(conv.output_shape([image])) * taps * image[2]
    assert depthwise.macs([image]) == np.prod(depthwise.output_shape([image])) * taps
    assert Dense("dense", "input", filters, use_bias).macs([image[:1]]) == filters * image[0]
    for layer in (conv, depthwise):
        bias = layer.parameter_shapes([image]).get("bias")
        assert bias == (layer.output_shape([image])[-1:] if use_bias else None)
    assert Add("add", ("a", "b")).macs([image, image]) == 0


def test_tensorflow_cannot_train_the_refused_strides_and_dilations():
    """The rules on strides follow from TensorFlow's CPU kernels; if these change, the rules can be removed."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        image = tf.zeros((1, 9, 9, 2))
        dilated = tf.nn.conv2d(image, tf.zeros((3, 3, 2, 2)), strides=2, padding="SAME", dilations=2)
        with pytest.raises(tf.errors.InvalidArgumentError, match="dilation"):
            session.run(tf.gradients(dilated, image))
        with pytest.raises(ValueError, match="strides > 1 not supported"):
            tf.nn.convolution(image, tf.zeros((3, 3, 2, 2)), "SAME", strides=(2, 2), dilation_rate=(2, 2))
        uneven = tf.nn.depthwise_conv2d(image, tf.zeros((3, 3, 2, 1)), (1, 2, 1, 1), "SAME")
        with pytest.raises(tf.errors.InvalidArgumentError, match="equal length strides"):
            session.run(uneven)


@settings(max_examples=60, deadline=None)
@given(image=IMAGES, data=st.data())
def test_layers_that_move_elements(image, data):
    axes = data.draw(st.permutations(range(3)))
    assert our_shape(Permute("p", "input", axes), image) == tensorflow_shape(
        lambda x: tf.transpose(x, (0, *(axis + 1 for axis in axes))), image
    )
    size = data.draw(PAIRS)
    for kind, interpolation in ((UpsampleNearest, "nearest"), (UpsampleBilinear, "bilinear")):
        assert our_shape(kind("u", "input", size), image) == tensorflow_shape(
            tf.keras.layers.UpSampling2D(size, interpolation=interpolation), image
        )
    start = tuple(data.draw(st.integers(0, axis - 1)) for axis in image)
    stop = tuple(data.draw(st.integers(first + 1, axis)) for first, axis in zip(start, image))
    strides = tuple(data.draw(st.integers(1, 3)) for _ in image)
    assert our_shape(Slice("s", "input", start, stop, strides), image) == tensorflow_shape(
        lambda x: tf.strided_slice(x, (0, *start), (1, *stop), (1, *strides)), image
    )


@settings(max_examples=60, deadline=None)
@given(image=IMAGES, kernel=PAIRS, stride=PAIRS, padding=PADDINGS, data=st.data())
def test_transposed_convolutions(image, kernel, stride, padding, data):
    extra = data.draw(st.one_of(st.none(), st.tuples(*(st.integers(0, step - 1) for step in stride))))
    layer = Conv2DTranspose("c", "input", 5, kernel, stride, padding, extra)
    same = tf.keras.layers.Conv2DTranspose(5, kernel, stride, padding.lower(), output_padding=extra)
    ours = our_shape(layer, image)
    if ours is not None:
        assert ours == tuple(same.compute_output_shape((None, *image)).as_list()[1:])
        assert layer.parameter_shapes([image]) == {"weights": (*kernel, image[2], 5), "bias": (5,)}
        assert layer.macs([image]) == image[0] * image[1] * kernel[0] * kernel[1] * image[2] * 5
