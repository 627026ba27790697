"""Record the runs of tests/golden/records: ``python tests/golden/record_runs.py DIRECTORY``.

The stored runs were recorded by qatviz 0.1.0 and are not to be recorded again: the tests check that later versions read
records of that version. If the format of records changes, add runs in the new format beside these.

`shapes` is a classifier imported from Keras. It was stopped at step 40 of 60, before a scheduled change of settings.
`pairs` is a regression with asymmetric quantizers. Its process was killed at step 33 of 45, after changes of settings
that are in no checkpoint.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

#: Records contain the absolute paths of their data, so the runs are recorded in a folder of fixed name.
WORKPLACE = Path("/tmp/qatviz-golden")
PATIENCE_S = 120.0

SHAPES_SCHEDULE = ("10:conv1.weights.num_bits=4", "50:*.activations.ema_decay=0.9,run.learning_rate=0.002")
PAIRS_SCHEDULE = ("6:dense1.weights.num_bits=5", "40:run.learning_rate=0.001")


def write_shapes(path: Path) -> None:
    """Write 96 + 64 images of 8x8x2 (bytes) with a bar, a cross or a spot of another brightness."""
    random = np.random.RandomState(10)
    images, labels = random.randint(0, 120, (160, 8, 8, 2)), np.arange(160) % 3
    for image, label in zip(images, labels):
        row, column = random.randint(1, 7, 2)
        if label == 0:
            image[row, :, 0] += 110
        elif label == 1:
            image[row, :, 1] += 70
            image[:, column, 1] += 60
        else:
            image[row - 1 : row + 2, column - 1 : column + 2] += 130
    images, labels = images.clip(0, 255).astype(np.uint8), labels.astype(np.uint8)
    np.savez_compressed(
        str(path),
        x_train=images[:96],
        y_train=labels[:96],
        x_test=images[96:],
        y_test=labels[96:],
        class_names=np.array(["bar", "cross", "spot"]),
    )


def write_pairs(path: Path) -> None:
    """Write 80 + 40 small images of floats with two numbers to predict of each."""
    random = np.random.RandomState(11)
    images = (random.randint(-40, 90, (120, 5, 5, 1)) / 32).astype(np.float32)
    numbers = np.stack([images[:, :3].mean(axis=(1, 2, 3)) * 2, np.abs(images[:, 2:]).max(axis=(1, 2, 3)) - 1], axis=1)
    numbers = numbers.astype(np.float32)
    np.savez_compressed(
        str(path),
        x_train=images[:80],
        y_train=numbers[:80],
        x_test=images[80:],
        y_test=numbers[80:],
        task=np.array("regression"),
    )


def shapes_model():
    """Return a functional Keras model with one of nearly everything."""
    import tensorflow.compat.v1 as tf

    layers = tf.keras.layers
    image = tf.keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False, name="conv1")(image)
    x = layers.BatchNormalization(momentum=0.8, name="conv1_bn")(x)
    x = short = layers.ReLU(name="conv1_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(momentum=0.8, name="depthwise_bn")(x)
    x = layers.ReLU(6.0, name="depthwise_relu")(x)
    x = layers.Conv2D(6, 1, name="pointwise")(x)
    x = layers.Add(name="residual")([x, short])
    side = layers.Conv2D(4, 2, padding="same", activation="relu", name="side")(short)
    x = layers.Concatenate(name="together")([x, side])
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(8, activation="relu", name="dense1")(x)
    return tf.keras.Model(image, layers.Dense(3, activation="softmax", name="logits")(x), name="shapes")


def pairs_model():
    """Return a Sequential Keras model that predicts two numbers."""
    import tensorflow.compat.v1 as tf

    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Conv2D(4, 3, activation="relu", input_shape=(5, 5, 1), name="conv1"),
            layers.MaxPool2D(2, strides=1, name="pool"),
            layers.Flatten(name="flat"),
            layers.Dense(6, activation="relu", name="dense1"),
            layers.Dense(2, name="numbers"),
        ],
        name="pairs",
    )


class Driver:
    """A run that is paused except while it trains to a given step."""

    def __init__(self, run):
        self.run, self._seen = run, []
        run.pause()
        run.start()
        self._until(lambda: self._paused_at(run.step))

    def go_to(self, step: int) -> None:
        """Train until ``step`` steps are done."""
        self._seen.clear()
        self.run.single_step(step - self.run.step)
        self._until(lambda: self._paused_at(step))

    def send(self, command) -> None:
        """Send a command and wait until it has been applied."""
        sequence = self.run.send(command)
        self._until(lambda: any(getattr(item, "sequence", None) == sequence for item in self._seen))
        (answer,) = (item for item in self._seen if getattr(item, "sequence", None) == sequence)
        assert not hasattr(answer, "message"), answer

    def until_told(self, kind: str) -> None:
        """Wait for an event."""
        self._until(lambda: any(type(item).__name__ == kind for item in self._seen))

    def _paused_at(self, step: int) -> bool:
        return any(type(item).__name__ == "Paused" and item.step == step for item in self._seen)

    def _until(self, is_there) -> None:
        end = time.monotonic() + PATIENCE_S
        while not is_there():
            assert time.monotonic() < end and self.run.state != "failed", self._seen[-3:]
            self.run.wait_for_news(0.2)
            self._seen.extend(self.run.drain())


def _new_run(name: str, **fields):
    """Return a run, not started, that records to the folder of its name."""
    from qatviz.session.prepare import prepare
    from qatviz.session.request import NewRunRequest
    from qatviz.settings import RunSettings

    run = RunSettings(snapshot_interval=3600.0, checkpoint_interval=86400.0, **fields.pop("run"))
    data, out = str(WORKPLACE / (name + ".npz")), str(WORKPLACE / name)
    return prepare(NewRunRequest(network=None, data=data, out=out, run=run, **fields)).run


def record_shapes() -> None:
    """Record the run that is stopped."""
    from qatviz.protocol import commands as c
    from qatviz.session.changes import parse_change

    driver = Driver(
        _new_run(
            "shapes",
            model=str(WORKPLACE / "shapes.h5"),
            changes=tuple(map(parse_change, SHAPES_SCHEDULE)),
            steps=60,
            batch_size=16,
            seed=5,
            quant_delay=3,
            run={"learning_rate": 5e-3, "evaluation_interval": 15},
        )
    )
    driver.go_to(8)
    driver.send(c.TakeSnapshot())
    driver.go_to(12)
    driver.send(c.ChangeSettings((("depthwise.weights.num_bits", 3), ("side.weights.num_bits", 3))))
    driver.go_to(16)
    driver.send(c.Undo())
    driver.go_to(18)
    driver.send(c.SaveCheckpoint("good"))
    driver.send(c.ChangeSettings((("*.activations.num_bits", 12), ("*.activations.symmetric", True))))
    driver.go_to(21)
    driver.send(c.SaveCheckpoint("wide"))
    driver.send(
        c.ChangeSettings(
            (
                ("*.weights.per_channel", True),
                ("*.activations.num_bits", 6),
                ("*.activations.symmetric", False),
                ("run.learning_rate", 0.02),
            )
        )
    )
    driver.go_to(25)
    driver.send(c.SaveCheckpoint("channels"))
    driver.send(c.RestoreCheckpoint("good"))
    driver.go_to(24)
    driver.send(c.ChangeSettings((("dense1.weights.num_bits", 4), ("pointwise.weights.range_method", "percentile"))))
    driver.go_to(33)
    driver.send(c.Evaluate())
    driver.until_told("Evaluated")
    driver.send(c.InspectTensor("conv1.weights"))
    driver.go_to(40)
    driver.run.request_stop()
    assert driver.run.wait(PATIENCE_S)


def record_pairs() -> None:
    """Record the run that is killed. Ends the process."""
    from qatviz.protocol import commands as c
    from qatviz.session.changes import parse_change

    driver = Driver(
        _new_run(
            "pairs",
            model=str(WORKPLACE / "pairs.json"),
            changes=tuple(map(parse_change, PAIRS_SCHEDULE)),
            steps=45,
            batch_size=10,
            seed=6,
            preset="uint8-affine",
            optimizer="momentum",
            run={"learning_rate": 1e-2, "evaluation_interval": 10},
        )
    )
    driver.go_to(12)
    driver.send(c.TakeSnapshot())
    driver.send(c.ApplyPreset("ternary"))
    driver.go_to(15)
    driver.send(c.Undo())
    driver.send(c.ChangeSettings((("conv1.activations.num_bits", 7),)))
    driver.go_to(22)
    driver.send(c.SaveCheckpoint("halfway"))
    driver.go_to(28)
    driver.send(c.ChangeSettings((("dense1.activations.symmetric", True), ("numbers.weights.range_method", "mse"))))
    driver.go_to(33)
    time.sleep(3.0)  # the record commits within a second
    # As if the process had been killed before the checkpoint of the last change was written.
    for path in (WORKPLACE / "pairs" / "checkpoints").glob("before-00000028*"):
        path.unlink()
    os._exit(0)


def main(target: Path) -> None:
    """Record both runs, and write their archives and data to ``target``."""
    if WORKPLACE.exists():
        shutil.rmtree(str(WORKPLACE))
    WORKPLACE.mkdir()
    write_shapes(WORKPLACE / "shapes.npz")
    write_pairs(WORKPLACE / "pairs.npz")
    model = shapes_model()
    _randomize(model)
    model.save(str(WORKPLACE / "shapes.h5"), include_optimizer=False)
    (WORKPLACE / "pairs.json").write_text(pairs_model().to_json())
    for name in ("shapes", "pairs"):
        subprocess.check_call([sys.executable, __file__, "--only", name])
        if name == "shapes":  # its report has an export with its proof
            subprocess.check_call(
                [
                    sys.executable,
                    "-m",
                    "qatviz",
                    "export",
                    str(WORKPLACE / name),
                    "--verify",
                    "64",
                    "--out",
                    str(WORKPLACE / "exports" / "shapes.tflite"),
                ]
            )
        # The lock and SQLite's shared memory belong to the process that has ended.
        for left in (WORKPLACE / name / "run.lock", WORKPLACE / name / "run.sqlite-shm"):
            if left.exists():
                left.unlink()
        shutil.make_archive(str(target / name), "zip", str(WORKPLACE), name)
        shutil.copyfile(str(WORKPLACE / (name + ".npz")), str(target / (name + ".npz")))


def _randomize(model) -> None:
    """Give the model weights that do not depend on TensorFlow's random numbers."""
    random = np.random.RandomState(12)
    values = []
    for variable, value in zip(model.weights, model.get_weights()):
        if "gamma" in variable.name or "variance" in variable.name:
            values.append(random.uniform(0.6, 1.4, value.shape))
        elif "kernel" in variable.name:
            values.append(random.standard_normal(value.shape) * np.sqrt(2.0 / (value.size / value.shape[-1])))
        else:
            values.append(random.standard_normal(value.shape) * 0.1)
    model.set_weights(values)


if __name__ == "__main__":
    if sys.argv[1] == "--only":
        {"shapes": record_shapes, "pairs": record_pairs}[sys.argv[2]]()
    else:
        main(Path(sys.argv[1]))
