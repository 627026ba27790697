"""Features of sounds: TensorFlow's front ends for speech on microcontrollers. TensorFlow is imported on first use.

The front end "micro" is that of TensorFlow Lite Micro's micro_speech, computed in integers by the same code as on the
device, TensorFlow's ``audio_microfrontend``: windows of 30 ms every 20 ms, 40 channels from 125 to 7,500 Hz, noise
reduction, gain control and logarithm. Its numbers, from 0 to some 670, are multiplied by 10 / 256, as in micro_speech.
"""

from contextlib import contextmanager
from typing import Any, Callable, Iterator, Tuple

import numpy as np

from qatviz.data_options import MFCC, MICRO, WAVEFORM
from qatviz.errors import require_tensorflow

#: Length of a window and distance between the starts of two windows, in milliseconds, and features of a window.
WINDOW_MS, STEP_MS, CHANNELS = 30, 20, 40
#: Factor of the numbers of the front end "micro".
MICRO_FACTOR = 10.0 / 256.0
#: Smallest rate, in samples per second, for which the channels of the front ends are below half of it.
LEAST_RATE = 15001
#: Descriptions of the features, after "sounds are fed as".
DESCRIPTIONS = {
    MICRO: f"micro_speech's front end in integers: {CHANNELS} channels, windows of {WINDOW_MS} ms every {STEP_MS} ms, "
    "its numbers times 10/256",
    MFCC: f"{CHANNELS} mel-frequency cepstral coefficients, windows of {WINDOW_MS} ms every {STEP_MS} ms",
    WAVEFORM: "samples from -1 to 1",
}

#: Function from a sound to its features, see `feature_extractor`.
Compute = Callable[[np.ndarray], np.ndarray]


def feature_shape(kind: str, samples: int, rate: int) -> Tuple[int, ...]:
    """Return the shape of the features of a sound: ``(windows, CHANNELS, 1)``, or ``(samples, 1)`` of a waveform.

    The parameters are those of :func:`feature_extractor`.
    """
    if kind == WAVEFORM:
        return samples, 1
    window, step = rate * WINDOW_MS // 1000, rate * STEP_MS // 1000
    return max(0, 1 + (samples - window) // step), CHANNELS, 1


@contextmanager
def feature_extractor(kind: str, samples: int, rate: int) -> Iterator[Compute]:
    """Yield the function from a sound (int16 ``[samples]``) to its features, float32 of `feature_shape`.

    Parameters
    ----------
    kind : str
        MICRO, MFCC or WAVEFORM.
    samples : int
        Number of samples of each sound, at least those of a window.
    rate : int
        Samples per second, at least LEAST_RATE unless the features are a waveform.
    """
    if kind == WAVEFORM:
        yield lambda sound: (sound.astype(np.float32) / np.float32(32768))[:, np.newaxis]
        return
    require_tensorflow(f"computing the features {kind!r} of sounds")
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default() as graph:
        sound = tf.placeholder(tf.int16, [samples])
        features = _micro(tf, sound, rate) if kind == MICRO else _mfcc(tf, sound, rate)
        features = tf.reshape(features, feature_shape(kind, samples, rate))
    with tf.Session(graph=graph) as session:
        yield session.make_callable(features, [sound])


def _micro(tf: Any, sound: Any, rate: int) -> Any:
    """Return the features "micro" of a sound (int16 tensor ``[samples]``), float32 ``[windows, CHANNELS]``."""
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

    numbers = audio_microfrontend_op.audio_microfrontend(
        sound,
        sample_rate=rate,
        window_size=WINDOW_MS,
        window_step=STEP_MS,
        num_channels=CHANNELS,
        out_scale=1,
        out_type=tf.float32,
    )
    return numbers * np.float32(MICRO_FACTOR)


def _mfcc(tf: Any, sound: Any, rate: int) -> Any:
    """Return the features "mfcc" of a sound (int16 tensor ``[samples]``), float32 ``[1, windows, CHANNELS]``."""
    waveform = tf.cast(sound, tf.float32)[:, tf.newaxis] / 32768.0
    spectrogram = tf.raw_ops.AudioSpectrogram(
        input=waveform, window_size=rate * WINDOW_MS // 1000, stride=rate * STEP_MS // 1000, magnitude_squared=True
    )
    return tf.raw_ops.Mfcc(spectrogram=spectrogram, sample_rate=rate, dct_coefficient_count=CHANNELS)
