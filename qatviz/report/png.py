"""Pictures as PNG files (ISO/IEC 15948), in memory."""
# Apart from the SVG that shows them: it is a format of its own.

import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Colour types of grey and RGB.
_GREY, _RGB = 0, 2


def png(pixels: np.ndarray) -> bytes:
    """Return a PNG file of uint8 pixels, grey ``[height, width]`` or RGB ``[height, width, 3]``."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, _GREY if pixels.ndim == 2 else _RGB, 0, 0, 0)
    lines = np.ascontiguousarray(pixels).reshape(height, -1)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), lines], axis=1)  # filter type 0 of each line
    content = zlib.compress(unfiltered.tobytes(), 9)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
