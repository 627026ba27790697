"""Folders of sounds: WAV files against the standard library's writer, features against TensorFlow's front ends."""

import io
import shutil
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

from qatviz.data import describe, load
from qatviz.data.wav import read_wav
from qatviz.data_options import DataOptions
from qatviz.errors import QatvizError

RATE, N = 16000, 16


def tone(index, seconds=1.0, rate=RATE):
    """Return a noisy tone whose pitch tells its class, int16."""
    random = np.random.RandomState(index)
    time = np.arange(int(seconds * rate)) / rate
    return np.int16(8000 * np.sin(2 * np.pi * (500 + 900 * (index % 2)) * time) + random.randint(-900, 900, len(time)))


def written(path, samples, rate=RATE, channels=1, width=2):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples)


@pytest.fixture
def folder(tmp_path):
    for index in range(N):
        written(tmp_path / "sounds" / ("yes", "no")[index % 2] / f"{index}.wav", tone(index).tobytes())
    return tmp_path / "sounds"


def _header(kind, channels, bits, rate=RATE, extensible=0):
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    return fmt + (struct.pack("<HHIH14s", 22, bits, 0, extensible, b"\0" * 14) if extensible else b"")


def _file(fmt, data, declared=None):
    body = b"WAVE" + b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    body += b"data" + struct.pack("<I", len(data) if declared is None else declared) + data
    return io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body)


VALUES = np.int16([0, 1, -1, 256, -256, 32767, -32768, 12345])


@pytest.mark.parametrize(
    "content, expected",
    [
        (_file(_header(1, 1, 16), VALUES.tobytes()), VALUES),
        (_file(_header(1, 1, 16), VALUES.tobytes(), 2**32 - 1), VALUES),
        (_file(_header(1, 1, 32), (VALUES.astype("<i4") << 16).tobytes()), VALUES),
        (_file(_header(1, 1, 24), b"".join(b"\x7f" + value.tobytes() for value in VALUES)), VALUES),
        (_file(_header(0xFFFE, 1, 16, extensible=1), VALUES.tobytes()), VALUES),
        (_file(_header(3, 1, 32), (VALUES / 32768).astype("<f4").tobytes()), VALUES),
        (_file(_header(3, 1, 64), np.float64([1.5, -2]).tobytes()), [32767, -32768]),
        (_file(_header(1, 1, 8), bytes([0, 128, 255])), [-32768, 0, 32512]),
        (_file(_header(1, 2, 16), np.int16([100, 200, -3, -5]).tobytes()), [150, -4]),
    ],
    ids=["16 bits", "unknown size", "32 bits", "24 bits", "extensible", "float", "double", "8 bits", "stereo"],
)
def test_all_usual_samples_become_those_of_16_bits(content, expected):
    sound = read_wav(content, "a.wav")
    assert sound.rate == RATE and sound.samples.dtype == np.int16
    np.testing.assert_array_equal(sound.samples, expected)


@pytest.mark.parametrize(
    "content, said",
    [
        (io.BytesIO(b"RIFX" + bytes(40)), "expected a WAV file"),
        (io.BytesIO(b"RIFF"), "WAV file"),
        (_file(_header(1, 1, 12), bytes(8)), "found samples of 12 bits"),
        (_file(_header(17, 1, 16), bytes(8)), "in the format 17"),
        (_file(_header(1, 0, 16), bytes(8)), "found 0 channels"),
        (_file(_header(1, 1, 16), bytes(8), 10), "found 8 bytes of samples; expected 10"),
        (_file(_header(1, 1, 16), b""), "found no samples"),
        (_file(_header(1, 1, 16), b"", 2**30), "expected at most"),
        (_file(_header(3, 1, 32), np.float32([np.nan]).tobytes()), "not finite"),
        (_file(b"\1\0", bytes(8)), "cannot be read as a WAV file"),
    ],
)
def test_other_files_are_refused_by_their_names(content, said):
    with pytest.raises(QatvizError, match="a.wav: .*" + said):
        read_wav(content, "a.wav")


def test_the_front_end_of_micro_speech_is_tensorflows(folder):
    dataset = load(folder, options=DataOptions(held_out="split"))
    assert dataset.input_shape == (49, 40, 1) and dataset.class_names == ("no", "yes")
    assert any("micro_speech's front end" in note for note in describe(dataset)["notes"])
    assert dataset.x_train.max() > 3 and "pixels" not in str(describe(dataset)), "what the numbers are is known"
    found = sorted(map(np.ndarray.tobytes, [*dataset.x_train, *dataset.x_test]))
    with tf.Graph().as_default(), tf.Session() as session:
        # The arguments of micro_speech's training: tensorflow/examples/speech_commands/input_data.py, "micro".
        numbers = [
            audio_microfrontend_op.audio_microfrontend(
                tf.constant(tone(index)),
                sample_rate=RATE,
                window_size=30,
                window_step=20,
                num_channels=40,
                out_scale=1,
                out_type=tf.float32,
            )
            for index in range(N)
        ]
        expected = session.run([number * (10.0 / 256.0) for number in numbers])
    assert sorted(each.tobytes() for each in expected) == found


@pytest.mark.parametrize("features, shape", [("mfcc", (49, 40, 1)), ("waveform", (RATE, 1, 1))])
def test_other_features_have_their_shapes(features, shape, folder):
    dataset = load(folder, options=DataOptions(sound_features=features))
    assert dataset.input_shape == shape
    if features == "waveform":
        assert sorted(each.tobytes() for each in [*dataset.x_train, *dataset.x_test]) == sorted(
            (tone(index).astype(np.float32) / 32768).tobytes() for index in range(N)
        )


def test_lengths_are_brought_to_the_usual_or_the_wanted_one(folder):
    written(folder / "yes" / "long.wav", tone(2, 1.5).tobytes())
    written(folder / "yes" / "short.wav", tone(4, 0.5).tobytes())
    dataset = load(folder, options=DataOptions(sound_features="waveform"))
    assert dataset.input_shape == (RATE, 1, 1)
    text = " ".join(describe(dataset)["notes"])
    assert "sounds longer than 1 s: 1 of 18, cut" in text and "shorter than 1 s: 1 of 18, followed by silence" in text
    assert load(folder, options=DataOptions(sound_features="waveform", sound_seconds="0.25")).input_shape == (
        4000,
        1,
        1,
    )
    with pytest.raises(QatvizError, match="expected at least 30 ms"):
        load(folder, options=DataOptions(sound_seconds="0.01"))


def test_speech_commands_lists_are_held_out_and_its_noise_is_no_class(folder):
    written(folder / "_background_noise_" / "noise.wav", tone(0, 3).tobytes())
    (folder / "testing_list.txt").write_text("yes/0.wav\nno/1.wav\n")
    (folder / "validation_list.txt").write_text("yes/2.wav\nno/3.wav\nyes/4.wav\n")
    for held_out, number in (("auto", 2), ("validation", 3), ("test", 2)):
        dataset = load(folder, options=DataOptions(held_out=held_out))
        assert (len(dataset.x_train), len(dataset.x_test)) == (N - number, number)
    assert dataset.class_names == ("no", "yes")
    assert any("_background_noise_" in note and "1 sound" in note for note in describe(dataset)["notes"])


def test_a_part_without_a_list_or_files_for_training_is_refused(folder):
    for held_out in ("test", "validation"):
        with pytest.raises(QatvizError, match=f"found no {held_out} part to hold out") as error:
            load(folder, options=DataOptions(held_out=held_out))
        assert error.value.field == "held_out"
    (folder / "testing_list.txt").write_text(
        "".join(f"{path.parent.name}/{path.name}\n" for path in folder.rglob("*.wav"))
    )
    with pytest.raises(QatvizError, match=f"testing_list.txt: names all of the {N} sounds"):
        load(folder)
    (folder / "testing_list.txt").write_text("other/0.wav\n")
    with pytest.raises(QatvizError, match=f"testing_list.txt: names none of the {N} sounds"):
        load(folder, options=DataOptions(held_out="test"))
    assert len(load(folder).x_test) == round(0.2 * N)


def test_rates_that_differ_or_are_too_low_are_refused(folder, tmp_path):
    written(folder / "no" / "other.wav", tone(1, rate=8000).tobytes(), 8000)
    with pytest.raises(
        QatvizError, match=r"(other|\d+)\.wav: found .* samples per second, but .* expected the same rate"
    ):
        load(folder)
    for index in range(4):
        written(tmp_path / "low" / str(index % 2) / f"{index}.wav", tone(index, rate=8000).tobytes(), 8000)
    with pytest.raises(QatvizError, match="found 8,000 samples per second; expected at least") as error:
        load(tmp_path / "low")
    assert error.value.field == "sound_features"
    assert load(tmp_path / "low", options=DataOptions(sound_features="waveform")).input_shape == (8000, 1, 1)


def test_damaged_files_are_refused_or_skipped_and_counted(folder):
    (folder / "no" / "damaged.wav").write_bytes(b"RIFF")
    with pytest.raises(QatvizError, match=r"damaged\.wav"):
        load(folder)
    dataset = load(folder, options=DataOptions(unusable="skip"))
    assert len(dataset.x_train) + len(dataset.x_test) == N
    assert any("skipped damaged files: 1" in note for note in describe(dataset)["mistakes"])


def test_a_zip_archive_gives_the_same_features(folder):
    archive = shutil.make_archive(str(folder), "zip", str(folder))
    one, other = load(folder), load(archive)
    assert one.fingerprint == other.fingerprint
