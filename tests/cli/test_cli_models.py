"""`qatviz train --model`: Keras models from files and scripts, their weights and related options."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from cli_calls import call, error_of, write_data

from qatviz.protocol.run_spec import RunSpec
from qatviz.telemetry.record.run_record import RunRecord

SCRIPT = """
import tensorflow as tf

def small():
    layers = tf.keras.layers
    return tf.keras.Sequential([layers.Flatten(input_shape=(6, 6, 1)), layers.Dense(8, activation="relu", name="own"),
                                layers.Dense(4, name="last")])

def broken():
    raise RuntimeError("no such luck")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with data and a model (batch norm without gamma, open input) as .h5, .json and script."""
    folder = tmp_path_factory.mktemp("models")
    write_data(folder / "small.npz")
    layers = tf.keras.layers
    with tf.Graph().as_default(), tf.Session().as_default():
        model = tf.keras.Sequential(
            [
                layers.Conv2D(4, 3, input_shape=(6, 6, 1), name="eyes"),
                layers.BatchNormalization(scale=False, name="norm"),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(4, activation="softmax", name="verdict"),
            ]
        )
        model.save(str(folder / "whole.h5"))
        model.save_weights(str(folder / "weights.h5"))
        (folder / "layers.json").write_text(model.to_json())
        np.savez(str(folder / "values.npz"), kernel=model.get_layer("eyes").get_weights()[0])
        tf.keras.Sequential(
            [layers.Lambda(lambda x: x * 2, input_shape=(6, 6, 1)), layers.Flatten(), layers.Dense(4)]
        ).save(str(folder / "code.h5"))
        open_ended = tf.keras.Sequential(
            [
                layers.Conv2D(4, 3, input_shape=(None, None, 1), name="eyes"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(4),
            ]
        )
        open_ended.save(str(folder / "open.h5"))
    (folder / "script.py").write_text(SCRIPT)
    return folder


def train(folder, *arguments, out=None, quiet=True):
    kept = ["--out", folder / out] if out else []
    return call(
        "train",
        "--data",
        folder / "small.npz",
        "--batch-size",
        8,
        "--evaluation-interval",
        0,
        *arguments,
        *kept,
        "--json",
        *(["--quiet"] if quiet else []),
    )


def spec_of(folder, out):
    from qatviz import data

    description = RunRecord.read(folder / out).description
    return RunSpec.from_description(description, data.load(description["data"]))


def arrays_at_start(folder, out):
    reader = RunRecord.read(folder / out)
    return reader.load_checkpoint(reader.list_checkpoints()[0].name)[0]


@pytest.mark.parametrize(
    "files", [["--model", "whole.h5"], ["--model", "layers.json", "--model-weights", "weights.h5"]]
)
def test_training_starts_from_the_weights_of_the_file(files, folder):
    out = "run-" + files[1]
    answer = train(folder, *[folder / word if "." in word else word for word in files], "--steps", 0, out=out)
    assert answer.code == 0, answer.err
    with np.load(str(folder / "values.npz")) as values:
        np.testing.assert_array_equal(arrays_at_start(folder, out)["eyes.weights"], values["kernel"])
    assert {tensor["name"] for tensor in answer.json["tensors"]} >= {"eyes.weights", "verdict.weights"}


def test_from_scratch_ignores_the_weights_of_the_file(folder):
    assert train(folder, "--model", folder / "whole.h5", "--from-scratch", "--steps", 0, out="scratch").code == 0
    with np.load(str(folder / "values.npz")) as values:
        assert not np.array_equal(arrays_at_start(folder, "scratch")["eyes.weights"], values["kernel"])
    assert RunRecord.read(folder / "scratch").initial_parameters() is None
    assert spec_of(folder, "scratch").keras.arrays["eyes.weights"] == (("eyes",), "kernel")


def test_an_architecture_alone_starts_with_seeded_weights_and_a_note(folder):
    answer = train(folder, "--model", folder / "layers.json", "--steps", 0, quiet=False)
    assert answer.code == 0 and "training starts with random ones" in answer.err


def test_parameters_that_the_model_lacks_are_not_trained(folder):
    assert train(folder, "--model", folder / "whole.h5", "--steps", 12, "--learning-rate", 0.01, out="fixed").code == 0
    arrays = arrays_at_start(folder, "fixed")
    assert spec_of(folder, "fixed").fixed == {"norm.gamma"}
    assert (arrays["norm.gamma"] == 1).all() and (arrays["norm.beta"] != 0).all()
    assert "norm.gamma|m" not in arrays and "norm.beta|m" in arrays


def test_a_run_without_checkpoints_starts_again_with_the_same_weights(folder):
    options = ["--model", folder / "whole.h5", "--steps", 10]
    whole = train(folder, *options, out="cut")
    for path in (folder / "cut" / "checkpoints").iterdir():
        path.unlink()
    again = call("train", "--resume", folder / "cut", "--json", "--quiet")
    assert again.code == 0 and again.json["loss"] == whole.json["loss"]


def test_quantization_of_an_imported_model_is_delayed(folder):
    answer = train(folder, "--model", folder / "whole.h5", "--steps", 6, "--quant-delay", 4, out="later")
    assert answer.code == 0
    book = spec_of(folder, "later").book
    assert {settings.quant_delay for settings in book.quantizers} == {4}
    kinds = [row["kind"] for row in RunRecord.read(folder / "later").events()]
    assert "SettingsActivated" in kinds


def test_an_open_input_gets_the_shape_of_the_examples(folder):
    answer = train(folder, "--model", folder / "open.h5", "--steps", 1)
    assert answer.code == 0, answer.err


def test_a_script_is_run_only_if_allowed(folder):
    spec = f"{folder / 'script.py'}:small"
    refused = error_of("train", "--model", spec, "--data", folder / "small.npz")
    assert "Python code, which would run with your permissions" in refused
    answer = train(folder, "--model", spec, "--allow-code", "--steps", 1)
    assert answer.code == 0 and "own.weights" in {tensor["name"] for tensor in answer.json["tensors"]}


@pytest.mark.parametrize(
    "model, told",
    [
        ("script.py:broken", "broken failed: RuntimeError: no such luck"),
        ("script.py:smal", "function 'smal' does not exist; found: "),
        ("script.py", "script.py:FUNCTION, where the function returns the model"),
        ("missing.py:small", "no such file"),
        ("missing.h5", "No such file"),
        ("small.npz", "zip archive"),
    ],
)
def test_files_and_scripts_without_a_model_are_refused(model, told, folder):
    assert told in error_of("train", "--model", folder / model, "--allow-code", "--data", folder / "small.npz")


def test_code_in_a_file_is_not_run_unless_allowed(folder):
    refused = error_of("train", "--model", folder / "code.h5", "--data", folder / "small.npz")
    assert "contains Python code" in refused and "lambda" in refused


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--network", "mlp", "--model", "x.h5"], "--network and --model: expected one of them"),
        (["--from-scratch"], "--from-scratch applies only to your own models"),
        (["--allow-code"], "--allow-code applies only to your own models"),
        (["--model-weights", "x.h5"], "--model-weights applies only to your own models"),
        (["--model", "x.py:f", "--model-weights", "x.h5", "--allow-code"], "includes its weights"),
        (["--quant-delay", -1], "--quant-delay is -1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments, told, folder):
    assert told in error_of("train", "--data", folder / "small.npz", *arguments)


def test_a_resumed_run_keeps_its_model(folder):
    for option in (["--model", "x.h5"], ["--quant-delay", 5]):
        assert "can't change in a continued run" in error_of("train", "--resume", folder, *option)


def test_an_imported_run_is_exported_with_its_origin(folder):
    assert train(folder, "--model", folder / "whole.h5", "--steps", 4, out="shipped").code == 0
    answer = call("export", folder / "shipped", "--format", "keras", "--out", folder / "back.h5", "--json")
    assert answer.code == 0, answer.err
    trained = arrays_at_start(folder, "shipped")
    with tf.Graph().as_default(), tf.Session().as_default():
        back = tf.keras.models.load_model(str(folder / "back.h5"), compile=False)
        assert [layer.name for layer in back.layers][:2] == ["eyes", "norm"]
        np.testing.assert_array_equal(back.get_layer("eyes").get_weights()[0], trained["eyes.weights"])
