"""Program that saves models of newer versions of Keras, with random weights and what this Keras predicts.

    python keras_3_models.py FOLDER

For each model, NAME.keras is saved, and NAME.npz with inputs "x" and outputs "y". The program runs in a newer Python
than the tests; the folder of `keras_file_program.py` is on its path.
"""

import os
import sys

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="", KERAS_BACKEND="tensorflow")

import keras
import numpy as np
from keras_file_program import randomized

layers = keras.layers
SIZE, CLASSES = 64, 10


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


def application(name, **settings):
    """Return a function that builds a model of keras.applications."""
    build = getattr(keras.applications, name)
    return lambda: build(weights=None, input_shape=(SIZE, SIZE, 3), classes=CLASSES, **settings)


MODELS = {
    "efficientnet_b0": application("EfficientNetB0"),
    "efficientnet_lc": efficientnet_lc,
    "mobilenet_v3_small": application("MobileNetV3Small"),
    "mobilenet_v3_minimalistic": application("MobileNetV3Small", minimalistic=True),
}


def main(folder):
    """Save all models."""
    for name, build in MODELS.items():
        model = randomized(build())
        x = np.random.RandomState(1).uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)
        model.save(os.path.join(folder, name + ".keras"))
        np.savez(os.path.join(folder, name + ".npz"), x=x, y=model.predict(x, verbose=0))


if __name__ == "__main__":
    main(sys.argv[1])
