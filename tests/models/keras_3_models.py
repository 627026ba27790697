"""Program that saves models of newer versions of Keras, with random weights and what this Keras predicts.

    python keras_3_models.py FOLDER NAME...

For each model, NAME.keras and NAME.h5 are saved, and NAME.npz with inputs "x" and the outputs "y" of the first ones.
The program runs in a newer Python than the tests; the folder of `keras_file_program.py` is on its path.
"""

import os
import sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", KERAS_BACKEND="tensorflow")

import keras
import numpy as np
from keras_file_program import layers_of, randomized

layers = keras.layers
SIZE, CLASSES = 64, 10
INPUTS, OUTPUTS = 48, 8
#: Standard deviation of logits over the inputs.
LOGITS = 2.0


def efficientnet_lc():
    """ST's EfficientNet of low complexity: 0.45 of the filters, ReLU6, and gates that are clipped to -4 to 4."""
    relu6 = keras.ops.relu6

    def normalized(net, activated=True):
        net = layers.BatchNormalization()(net)
        return layers.Activation("relu6")(net) if activated else net

    def rounded(filters):
        filters *= 0.45
        found = max(8, int(filters + 4) // 8 * 8)
        return found + 8 if found < 0.9 * filters else found

    image = layers.Input((SIZE, SIZE, 3))
    channels = rounded(32)
    net = normalized(layers.Conv2D(channels, 3, strides=2, padding="same")(image))
    stages = (
        (16, 1, 1, 3),
        (24, 2, 2, 3),
        (40, 2, 2, 5),
        (80, 3, 2, 3),
        (112, 3, 1, 5),
        (192, 4, 2, 5),
        (320, 1, 1, 3),
    )
    for stage, (filters, count, stride, kernel) in enumerate(stages):
        for place in range(count):
            before, wide = net, channels * (3 if stage else 1)
            if stage:
                net = normalized(layers.Conv2D(wide, 1, padding="same")(net))
            stride = 1 if place else stride
            net = normalized(layers.DepthwiseConv2D(kernel, strides=stride, padding="same")(net))
            gates = layers.Reshape((1, 1, wide))(layers.GlobalAveragePooling2D()(net))
            gates = relu6(layers.Conv2D(max(1, channels // 4), 1, padding="same")(gates))
            gates = keras.ops.clip(layers.Conv2D(wide, 1, padding="same")(gates), -4.0, 4.0)
            net = layers.multiply([net, layers.Activation("sigmoid")(gates)])
            net = normalized(layers.Conv2D(rounded(filters), 1, padding="same")(net), activated=False)
            if stride == 1 and channels == rounded(filters):
                net = layers.add([layers.Dropout(0.1, noise_shape=(None, 1, 1, 1))(net), before])
            channels = rounded(filters)
    net = normalized(layers.Conv2D(rounded(1280), 1, padding="same")(net))
    net = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(net))
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(net))


def transformer_encoder():
    """The encoder of the Transformer (Vaswani et al. 2017), with two blocks, and a classifier of its mean output."""
    net = sequence = layers.Input((16, 32))
    for _ in range(2):
        attended = layers.Dropout(0.1)(layers.MultiHeadAttention(num_heads=4, key_dim=8)(net, net))
        net = layers.LayerNormalization(epsilon=1e-6)(net + attended)
        hidden = layers.Dense(32)(layers.Dense(64, activation="relu")(net))
        net = layers.LayerNormalization(epsilon=1e-6)(net + layers.Dropout(0.1)(hidden))
    net = layers.GlobalAveragePooling1D()(net)
    return keras.Model(sequence, layers.Dense(CLASSES, activation="softmax")(net))


def augmented_groups():
    """A classifier as in Keras' guides: augmentation and resizing in the model, and normalized groups of channels."""
    image = layers.Input((SIZE, SIZE, 3))
    net = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(image))
    net = layers.Rescaling(1 / 127.5, offset=-1)(layers.Resizing(24, 20)(net))
    net = layers.Conv2D(16, 3, padding="same")(net)
    net = layers.Activation("mish")(layers.GroupNormalization(4)(net))
    net = layers.MaxPooling2D(2)(layers.PReLU()(layers.Conv2D(16, 3, padding="same")(net)))
    net = keras.ops.pad(keras.ops.reshape(net, (-1, 120, 16)), [[0, 0], [2, 0], [0, 0]])
    net = layers.Conv1D(16, 3, activation="relu")(layers.RMSNormalization()(net))
    net = keras.ops.squeeze(keras.ops.max(net, axis=1, keepdims=True), 1)
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(net))


def application(name, size=SIZE, **settings):
    """Return a function that builds a model of keras.applications."""
    build = getattr(keras.applications, name)
    return lambda: build(weights=None, input_shape=(size, size, 3), classes=CLASSES, **settings)


#: Functions that build the models, and the largest value of their inputs.
MODELS = {
    "augmented_groups": (augmented_groups, 255.0),
    "densenet121": (application("DenseNet121"), 1.0),
    "efficientnet_b0": (application("EfficientNetB0"), 255.0),
    "efficientnet_lc": (efficientnet_lc, 255.0),
    "efficientnet_v2_b0": (application("EfficientNetV2B0"), 255.0),
    "inception_v3": (application("InceptionV3", 75), 1.0),
    "mobilenet_v2": (application("MobileNetV2"), 1.0),
    "mobilenet_v3_large": (application("MobileNetV3Large"), 255.0),
    "mobilenet_v3_minimalistic": (application("MobileNetV3Small", minimalistic=True), 255.0),
    "mobilenet_v3_small": (application("MobileNetV3Small"), 255.0),
    "nasnet_mobile": (application("NASNetMobile"), 1.0),
    "resnet50": (application("ResNet50"), 1.0),
    "resnet50_v2": (application("ResNet50V2"), 1.0),
    "transformer_encoder": (transformer_encoder, 1.0),
    "xception": (application("Xception", 75), 1.0),
}


def inputs_for(shape, high):
    """Return sequences of normal values, or noisy images of four by four colours.

    Noise alone is the same everywhere for a network that averages it.
    """
    random = np.random.RandomState(1)
    if len(shape) == 2:
        return random.standard_normal((INPUTS, *shape)).astype(np.float32)
    size = shape[0]
    colors = random.uniform(0, high, (INPUTS, 4, 4, 3)).repeat(-(-size // 4), axis=1).repeat(-(-size // 4), axis=2)
    noise = random.uniform(0, high, (INPUTS, size, size, 3))
    return (0.8 * colors[:, :size, :size] + 0.2 * noise).astype(np.float32)


def responsive(model, x):
    """Set random weights with which the outputs depend on the inputs; return the model.

    With random statistics of batch norm, deep networks compute nearly the same for all inputs, which hides errors.
    """
    randomized(model)
    norms = [layer for layer in layers_of(model) if isinstance(layer, layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(x, training=True)
    for layer, momentum in zip(norms, momenta):
        layer.momentum = momentum
    last = [layer for layer in layers_of(model) if layer.weights][-1]
    kernel, *bias = last.get_weights()
    logits = np.log(np.maximum(model.predict(x, verbose=0), 1e-30))
    logits -= logits.mean(axis=1, keepdims=True)
    factor = LOGITS / logits.std(axis=0).mean()
    last.set_weights([kernel * factor, *[values * factor - factor * logits.mean(axis=0) for values in bias]])
    return model


def predicted_in_double_precision(build, weights, x):
    """Return the outputs in float64, free of float32's rounding, of the model that `build` returns."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        model = build()
        model.set_weights(weights)
        return model.predict(x.astype(np.float64), verbose=0)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def main(folder, *names):
    """Save these models."""
    for name in names:
        build, high = MODELS[name]
        model = build()
        x = inputs_for(model.input_shape[1:], high)
        responsive(model, x)
        for end in (".keras", ".h5"):
            model.save(os.path.join(folder, name + end))
        y = predicted_in_double_precision(build, model.get_weights(), x[:OUTPUTS])
        np.savez(os.path.join(folder, name + ".npz"), x=x, y=y)


if __name__ == "__main__":
    main(*sys.argv[1:])
