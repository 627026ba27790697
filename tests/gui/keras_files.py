"""Writes model files with tf.keras into a directory: run as a program, as the window's tests do without TensorFlow."""

import os
import sys

SCRIPT = """
import tensorflow as tf

def make():
    open({marker!r}, "w").close()
    layers = tf.keras.layers
    return tf.keras.Sequential([layers.Conv2D(3, 3, activation="relu", input_shape=(28, 28, 1), name="conv"),
                                layers.Flatten(), layers.Dense(10, name="logits")], name="scripted")

def fail():
    raise ValueError("not today")

def wait():
    import time
    open({marker!r}, "w").close()
    time.sleep(1000)

def leave():
    import os
    os._exit(7)
"""


def main(folder):
    """Write MobileNetV2, a small model in all forms, one with code, one of open size, and a script."""
    import tensorflow.compat.v1 as tf

    layers = tf.keras.layers
    marker = os.path.join(folder, "code was run")

    def fresh(build, name, **options):
        tf.keras.backend.clear_session()
        model = build(**options)
        model.save(os.path.join(folder, name + ".h5"), include_optimizer=False)
        return model

    def with_code(x):
        open(marker, "w").close()
        return __import__("tensorflow").nn.relu6(x)

    fresh(tf.keras.applications.MobileNetV2, "mobilenet_v2", input_shape=(96, 96, 3), weights=None, classes=10)
    model = fresh(
        lambda: tf.keras.Sequential(
            [
                layers.Conv2D(4, 3, activation="relu", input_shape=(28, 28, 1), name="conv.1"),
                layers.Flatten(name="flatten"),
                layers.Dense(10, name="logits"),
            ],
            name="small",
        ),
        "small",
    )
    with open(os.path.join(folder, "small.json"), "w") as file:
        file.write(model.to_json())
    model.save_weights(os.path.join(folder, "small_weights.h5"))
    fresh(
        lambda: tf.keras.Sequential(
            [
                layers.Conv2D(4, 3, input_shape=(None, None, 1), name="conv"),
                layers.GlobalAveragePooling2D(name="pool"),
                layers.Dense(10, name="logits"),
            ],
            name="open",
        ),
        "open",
    )
    fresh(
        lambda: tf.keras.Sequential(
            [
                layers.Conv2D(4, 3, input_shape=(28, 28, 1), name="conv"),
                layers.Lambda(with_code, name="risky"),
                layers.GlobalAveragePooling2D(name="pool"),
                layers.Dense(10, name="logits"),
            ],
            name="coded",
        ),
        "coded",
    )
    with open(os.path.join(folder, "models.py"), "w") as file:
        file.write(SCRIPT.format(marker=marker))
    os.remove(marker)


if __name__ == "__main__":
    main(sys.argv[1])
