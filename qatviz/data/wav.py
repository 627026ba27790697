"""Sounds in WAV files, read without trusting their headers."""

import struct
from typing import IO, NamedTuple

import numpy as np

from qatviz.data.checks import check_memory, wrap_read_errors
from qatviz.errors import DataError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
#: Supported numbers of bytes of a sample, by format.
_WIDTHS = {_PCM: (1, 2, 3, 4), _FLOAT: (4, 8)}
_MOST_CHANNELS, _MOST_RATE = 64, 999_999
#: Largest number of bytes of the samples, and smallest stated number that means that it is not known.
_MOST_BYTES, _OPEN_SIZE = 2**28, 2**32 - 2**16
#: Largest number of chunks before the samples.
_MOST_CHUNKS = 1000


class Sound(NamedTuple):
    """Sound of one channel.

    Attributes
    ----------
    rate : int
        Samples per second.
    samples : np.ndarray
        int16 ``[n]``.
    """

    rate: int
    samples: np.ndarray


class _Form(NamedTuple):
    """Form of the samples: `kind` is a key of `_WIDTHS`, the rate is in samples per second."""

    kind: int
    channels: int
    rate: int
    width: int  # bytes of a sample


def read_wav(stream: IO[bytes], where: str) -> Sound:
    """Return the sound of a WAV file; several channels are averaged, other samples converted to 16 bits.

    Samples are PCM of 8, 16, 24 or 32 bits, or floating-point numbers from -1 to 1. `where` names the file in messages.

    Raises
    ------
    DataError
        If it is no such file, has no samples, or is cut off.
    """
    with wrap_read_errors(where, "a WAV file"):
        riff, _, wave = struct.unpack("<4sI4s", _exactly(stream, 12, where))
        if riff != b"RIFF" or wave != b"WAVE":
            raise DataError(f"{where}: found {riff!r} at its start; expected a WAV file (RIFF, WAVE)")
        form = None
        for _ in range(_MOST_CHUNKS):
            name, size = struct.unpack("<4sI", _exactly(stream, 8, where))
            if name == b"data":
                if form is None:
                    raise DataError(f"{where}: found samples before their format; expected a WAV file")
                return _sound(stream, size, form, where)
            content = _exactly(stream, size + size % 2, where)
            if name == b"fmt ":
                form = _form(content, where)
    raise DataError(f"{where}: found {_MOST_CHUNKS:,} chunks without samples; expected a WAV file")


def _exactly(stream: IO[bytes], size: int, where: str) -> bytes:
    """Return the next bytes of a stream; raise a `DataError` if it has fewer."""
    check_memory(where, size)
    content = stream.read(size)
    if len(content) < size:
        raise DataError(f"{where}: ends before its samples; expected a WAV file")
    return content


def _form(content: bytes, where: str) -> _Form:
    """Return the form of the samples from the content of the chunk "fmt "."""
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content)
    if kind == _EXTENSIBLE:
        (kind,) = struct.unpack_from("<H", content, 24)
    if kind not in _WIDTHS or bits % 8 or bits // 8 not in _WIDTHS[kind]:
        raise DataError(
            f"{where}: found samples of {bits} bits in the format {kind}; expected PCM of 8, 16, 24 or 32 bits or "
            "floating-point numbers"
        )
    if not (1 <= channels <= _MOST_CHANNELS and 1 <= rate <= _MOST_RATE):
        raise DataError(
            f"{where}: found {channels:,} channels and {rate:,} samples per second; expected 1 to {_MOST_CHANNELS} "
            f"channels, and 1 to {_MOST_RATE:,} samples per second"
        )
    return _Form(kind, channels, rate, bits // 8)


def _sound(stream: IO[bytes], size: int, form: _Form, where: str) -> Sound:
    """Return the sound of samples that begin at the position of the stream; ``size`` is their stated size in bytes."""
    # Programs that write to a pipe leave the size at its largest value: the samples then reach to the end of the file.
    is_open = size >= _OPEN_SIZE
    if not is_open and size > _MOST_BYTES:
        raise DataError(f"{where}: found {size:,} bytes of samples; expected at most {_MOST_BYTES:,}")
    content = stream.read(_MOST_BYTES if is_open else size)
    frame = form.width * form.channels
    if len(content) < size and not is_open:
        raise DataError(f"{where}: found {len(content):,} bytes of samples; expected {size:,}")
    content = content[: len(content) // frame * frame]
    channels = _as_int16(content, form, where).reshape(-1, form.channels)
    if not channels.size:
        raise DataError(f"{where}: found no samples; expected a sound")
    if form.channels == 1:
        return Sound(form.rate, channels[:, 0])
    return Sound(form.rate, np.rint(channels.mean(axis=1, dtype=np.float64)).astype(np.int16))


def _as_int16(content: bytes, form: _Form, where: str) -> np.ndarray:
    """Return the samples of all channels as they are stored, channel by channel at each time, int16 ``[n]``."""
    if form.kind == _FLOAT:
        values = np.frombuffer(content, f"<f{form.width}").astype(np.float64)
        if not np.isfinite(values).all():
            raise DataError(f"{where}: found samples that are not finite; expected numbers from -1 to 1")
        return np.rint(np.clip(values * 32768, -32768, 32767)).astype(np.int16)
    if form.width == 1:  # not negative, with silence at 128
        return (np.frombuffer(content, np.uint8).astype(np.int16) - 128) * np.int16(256)
    if form.width == 2:
        return np.frombuffer(content, "<i2").astype(np.int16)
    # The two highest bytes of each sample.
    raw = np.frombuffer(content, np.uint8).reshape(-1, form.width)
    return np.ascontiguousarray(raw[:, -2:]).view("<i2").reshape(-1).astype(np.int16)
