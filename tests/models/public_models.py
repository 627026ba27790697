"""Models that people train, rebuilt from their public definitions in tf.keras, some on smaller images.

The weights are random. Models that only newer versions of Keras have are in `keras_3_models.py`.
"""

from typing import Callable, NamedTuple, Tuple

import tensorflow.compat.v1 as tf

layers = tf.keras.layers


class Model(NamedTuple):
    """A model, and the data that it is trained on.

    `high` is the upper end of its inputs, which begin at 0. `targets` is a number of classes, or the shape of targets
    for a regression; a list has those of several outputs. `head` scales the last kernel: with random weights,
    activations can grow from layer to layer. `identical` is the least fraction of identical codes in onnxruntime.
    """

    build: Callable[[], tf.keras.Model]
    targets: object
    high: float = 1.0
    head: float = 1.0
    identical: float = 0.999


def _sequential(input_shape: Tuple[int, ...], *parts):
    return tf.keras.Sequential([layers.InputLayer(input_shape), *parts])


def quickstart():
    """TensorFlow's quickstart for beginners; its tutorial on Fashion MNIST is the same without dropout."""
    return _sequential(
        (28, 28), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.2), layers.Dense(10)
    )


def fashion():
    return _sequential((28, 28), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(10))


def tfmot_example():
    """The example of quantization-aware training in TensorFlow's Model Optimization Toolkit."""
    return _sequential(
        (28, 28),
        layers.Reshape((28, 28, 1)),
        layers.Conv2D(12, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(10),
    )


def mlperf_fc4():
    """MLPerf Tiny's fully connected network for keywords."""
    hidden = []
    for _ in range(3):
        hidden += [layers.Dense(256, activation="relu"), layers.Dropout(0.2), layers.BatchNormalization()]
    return _sequential((49, 10), layers.Flatten(), *hidden, layers.Dense(12, activation="softmax"))


def mlperf_streaming_wakeword():
    """MLPerf Tiny's temporal network, whose configuration has 1 where Keras has True."""
    net = image = layers.Input((30, 1, 40))
    for filters, size in ((128, 3), (64, 5), (64, 10), (32, 15)):
        net = layers.DepthwiseConv2D((size, 1), use_bias=False)(net)
        net = layers.BatchNormalization(scale=1)(layers.Conv2D(filters, 1, use_bias=0)(net))
        net = layers.Dropout(0.2)(layers.Activation("relu")(net))
    return tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(net)))


def ds_cnn_with_gates():
    """MLPerf Tiny's DS-CNN for keywords, with a squeeze-and-excite gate after each of its blocks."""
    net = image = layers.Input((49, 10, 1))
    net = layers.Conv2D(64, (10, 4), strides=2, padding="same")(net)
    net = layers.Dropout(0.2)(layers.Activation("relu")(layers.BatchNormalization()(net)))
    for _ in range(4):
        net = layers.Activation("relu")(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(net)))
        net = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(64, 1, padding="same")(net)))
        gates = layers.Dense(16, activation="relu")(layers.GlobalAveragePooling2D()(net))
        gates = layers.Reshape((1, 1, 64))(layers.Dense(64, activation="sigmoid")(gates))
        net = layers.Multiply()([net, gates])
    net = layers.GlobalAveragePooling2D()(layers.Dropout(0.4)(net))
    return tf.keras.Model(image, layers.Dense(12, activation="softmax")(net))


def transfer_tutorial():
    """TensorFlow's tutorial on transfer learning: MobileNetV2 with its input's scaling, and a single logit."""
    image = layers.Input((96, 96, 3))
    base = tf.keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, include_top=False, weights=None)
    net = layers.GlobalAveragePooling2D()(base(image / 127.5 - 1.0, training=False))
    return tf.keras.Model(image, layers.Dense(1)(layers.Dropout(0.2)(net)))


def cats_and_dogs():
    """Keras' example of image classification from scratch: a small Xception with one logit for two classes."""
    image = layers.Input((64, 64, 3))
    net = layers.Conv2D(128, 3, strides=2, padding="same")(image * (1 / 255))
    before = net = layers.Activation("relu")(layers.BatchNormalization()(net))
    for filters in (256, 512, 728):
        for _ in range(2):
            net = layers.SeparableConv2D(filters, 3, padding="same")(layers.Activation("relu")(net))
            net = layers.BatchNormalization()(net)
        net = layers.MaxPooling2D(3, strides=2, padding="same")(net)
        before = net = layers.add([net, layers.Conv2D(filters, 1, strides=2, padding="same")(before)])
    net = layers.BatchNormalization()(layers.SeparableConv2D(1024, 3, padding="same")(net))
    net = layers.GlobalAveragePooling2D()(layers.Activation("relu")(net))
    return tf.keras.Model(image, layers.Dense(1)(layers.Dropout(0.25)(net)))


def imdb_dense():
    """The classifier of film reviews in Deep Learning with Python: a sigmoid at the end."""
    return _sequential(
        (10_000,),
        layers.Dense(16, activation="relu"),
        layers.Dense(16, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    )


def imdb_cnn():
    """Keras' example imdb_cnn, after its embedding."""
    return _sequential(
        (400, 50),
        layers.Dropout(0.2),
        layers.Conv1D(250, 3, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(250),
        layers.Dropout(0.2),
        layers.Activation("relu"),
        layers.Dense(1),
        layers.Activation("sigmoid"),
    )


def edge_impulse_1d():
    """Edge Impulse's blocks of 1-D convolutions, on 50 frames of 13 cepstral coefficients in a row."""
    blocks = []
    for filters in (8, 16):
        blocks.append(layers.Conv1D(filters, 3, padding="same", activation="relu"))
        blocks += [layers.MaxPooling1D(2, 2, padding="same"), layers.Dropout(0.25)]
    return _sequential(
        (650,), layers.Reshape((50, 13)), *blocks, layers.Flatten(), layers.Dense(4, activation="softmax")
    )


def rows_lstm():
    """TensorFlow's guide to recurrent networks: an LSTM that reads the rows of a digit, without cuDNN's kernels."""
    return _sequential((28, 28), layers.LSTM(64), layers.BatchNormalization(), layers.Dense(10))


def both_ways():
    """The Bidirectional layers in TensorFlow's guide to recurrent networks."""
    return _sequential(
        (5, 10),
        layers.Bidirectional(layers.LSTM(64, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(32)),
        layers.Dense(10),
    )


def forecast():
    """TensorFlow's tutorial on time series: an LSTM that predicts each of the next 24 hours, with a GRU behind it."""
    return _sequential(
        (24, 19),
        layers.LSTM(32, return_sequences=True),
        layers.GRU(16, reset_after=True, recurrent_activation="sigmoid"),
        layers.Dense(1),
    )


def recursive_residual():
    """A recursive network (DRCN, on 16×16 pixels): the same convolution five times, whose outputs are combined."""
    same = {"padding": "same", "activation": "relu"}
    image = layers.Input((16, 16, 1))
    net = layers.Conv2D(16, 3, **same)(layers.Conv2D(16, 3, **same)(image))
    inference, out = layers.Conv2D(16, 3, name="inference", **same), layers.Conv2D(1, 3, padding="same", name="out")
    results = []
    for _ in range(5):
        net = inference(net)
        results.append(layers.Add()([out(net), image]))
    return tf.keras.Model(image, layers.Conv2D(1, 1)(layers.Concatenate()(results)))


def denoising_autoencoder():
    """Keras' example mnist_denoising_autoencoder."""
    same = {"padding": "same"}
    net = image = layers.Input((28, 28, 1))
    for filters in (32, 64):
        net = layers.Conv2D(filters, 3, strides=2, activation="relu", **same)(net)
    latent = layers.Dense(16, name="latent_vector")(layers.Flatten()(net))
    net = layers.Reshape((7, 7, 64))(layers.Dense(7 * 7 * 64)(latent))
    for filters in (64, 32):
        net = layers.Conv2DTranspose(filters, 3, strides=2, activation="relu", **same)(net)
    net = layers.Conv2DTranspose(1, 3, **same)(net)
    return tf.keras.Model(image, layers.Activation("sigmoid")(net))


def unet(side=128, normalized=False):
    """The U-Net for images of this side that is upsampled to the nearest pixel, of an eighth of the filters.

    `normalized` adds batch norm to all convolutions but the last: without it, the two channels of the one before often
    are 0 everywhere after some steps, and stay so.
    """

    def convolution(filters, size, x):
        x = layers.Conv2D(filters, size, padding="same", use_bias=not normalized)(x)
        return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x) if normalized else x)

    def twice(filters, x):
        return convolution(filters, 3, convolution(filters, 3, x))

    image = layers.Input((side, side, 1))
    levels, net = [], image
    for filters in (8, 16, 32, 64):
        levels.append(twice(filters, net))
        net = layers.MaxPooling2D(2)(levels[-1])
    net = layers.Dropout(0.5)(twice(128, net))
    for level, filters in zip(levels[::-1], (64, 32, 16, 8)):
        up = convolution(filters, 2, layers.UpSampling2D(2)(net))
        net = twice(filters, layers.concatenate([level, up], axis=3))
    return tf.keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(convolution(2, 3, net)))


def tiny_yolo():
    """Tiny YOLO (version 2) on 96×96 pixels, of a quarter of the filters: its head has boxes for each cell."""
    net = image = layers.Input((96, 96, 3))
    for filters in (4, 8, 16, 32, 64, 128, 256, 256):
        net = layers.Conv2D(filters, 3, padding="same", use_bias=False)(net)
        net = layers.LeakyReLU(0.1)(layers.BatchNormalization()(net))
        if filters < 128:
            net = layers.MaxPooling2D(2)(net)
        elif filters == 128:
            net = layers.MaxPooling2D(2, strides=1, padding="same")(net)
    return tf.keras.Model(image, layers.Conv2D(5 * (5 + 20), 1)(net))


def tiny_yolo_3():
    """Tiny YOLO (version 3) on 96×96 pixels, of a quarter of the filters: heads for large and for small objects."""

    def normalized(net, filters, size=3):
        net = layers.Conv2D(filters, size, padding="same", use_bias=False)(net)
        return layers.LeakyReLU(0.1)(layers.BatchNormalization()(net))

    net = image = layers.Input((96, 96, 3))
    for filters in (4, 8, 16, 32):
        net = layers.MaxPooling2D(2)(normalized(net, filters))
    fine = normalized(net, 64)
    net = layers.MaxPooling2D(2, strides=1, padding="same")(normalized(layers.MaxPooling2D(2)(fine), 128))
    net = normalized(normalized(net, 256), 64, 1)
    large = layers.Conv2D(3 * (5 + 20), 1, name="large")(normalized(net, 128))
    net = layers.concatenate([layers.UpSampling2D(2)(normalized(net, 32, 1)), fine])
    small = layers.Conv2D(3 * (5 + 20), 1, name="small")(normalized(net, 64))
    return tf.keras.Model(image, [large, small])


def acgan_discriminator():
    """Discriminator of Keras' example mnist_acgan: whether a digit is real, and which one it is."""
    net = image = layers.Input((28, 28, 1))
    for filters, stride in ((32, 2), (64, 1), (128, 2), (256, 1)):
        net = layers.LeakyReLU(0.2)(layers.Conv2D(filters, 3, padding="same", strides=stride)(net))
        net = layers.Dropout(0.3)(net)
    features = layers.Flatten()(net)
    fake = layers.Dense(1, activation="sigmoid", name="generation")(features)
    digit = layers.Dense(10, activation="softmax", name="auxiliary")(features)
    return tf.keras.Model(image, [fake, digit])


def fd_mobilenet():
    """FD-MobileNet, which is downsampled fast, on 96×96 pixels and with a quarter of the filters, as in ST's zoo."""

    def convolved(net, filters, size, stride=1):
        net = layers.ZeroPadding2D(((0, 1), (0, 1)))(net) if stride == 2 else net
        padding = "valid" if stride == 2 else "same"
        net = layers.Conv2D(filters, size, strides=stride, padding=padding, use_bias=False)(net)
        return layers.ReLU(6.0)(layers.BatchNormalization()(net))

    net = image = layers.Input((96, 96, 3))
    net = convolved(net, 8, 3, 2)
    for filters, stride in ((16, 2), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *4 * ((128, 1),), (256, 1)):
        net = layers.ZeroPadding2D(((0, 1), (0, 1)))(net) if stride == 2 else net
        padding = "valid" if stride == 2 else "same"
        net = layers.DepthwiseConv2D(3, strides=stride, padding=padding, use_bias=False)(net)
        net = convolved(layers.ReLU(6.0)(layers.BatchNormalization()(net)), filters, 1)
    net = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(net))
    return tf.keras.Model(image, layers.Dense(5, activation="softmax")(net))


MODELS = {
    "quickstart": Model(quickstart, 10),
    "fashion": Model(fashion, 10),
    "tfmot_example": Model(tfmot_example, 10),
    "mlperf_fc4": Model(mlperf_fc4, 12),
    "mlperf_streaming_wakeword": Model(mlperf_streaming_wakeword, 3),
    "ds_cnn_with_gates": Model(ds_cnn_with_gates, 12),
    "transfer_tutorial": Model(transfer_tutorial, 2, high=255.0),
    "cats_and_dogs": Model(cats_and_dogs, 2, high=255.0),
    "imdb_dense": Model(imdb_dense, 2),
    "imdb_cnn": Model(imdb_cnn, 2),
    "edge_impulse_1d": Model(edge_impulse_1d, 4),
    "rows_lstm": Model(rows_lstm, 10),
    # onnxruntime adds codes in float32, where one sum in 50,000 meets a tie; the recurrence spreads it.
    "both_ways": Model(both_ways, 10, identical=0.9),
    "forecast": Model(forecast, (1,)),
    "recursive_residual": Model(recursive_residual, (16, 16, 1)),
    "denoising_autoencoder": Model(denoising_autoencoder, (28, 28, 1)),
    "unet": Model(unet, (128, 128, 1)),
    "tiny_yolo": Model(tiny_yolo, (3, 3, 125)),
    "tiny_yolo_3": Model(tiny_yolo_3, [(3, 3, 75), (6, 6, 75)]),
    "acgan_discriminator": Model(acgan_discriminator, [2, 10]),
    "fd_mobilenet": Model(fd_mobilenet, 5),
}
"""Models by name."""
