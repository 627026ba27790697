"""Pictures as PNG files (ISO/IEC 15948), in memory."""
# Apart from the SVG that shows them: it is a format of its own.

import struct
import zlib
from typing import Optional

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Colour types of grey, RGB, and indices of a palette.
_GREY, _RGB, _INDEXED = 0, 2, 3


def png(pixels: np.ndarray, colors: Optional[np.ndarray] = None) -> bytes:
    """Return a PNG file of uint8 pixels, grey or indices ``[height, width]``, or RGB ``[height, width, 3]``.

    ``colors`` has the colour of each index: uint8 ``[n, 4]``, RGBA, at most 256.
    """
    height, width = pixels.shape[:2]
    kind = _INDEXED if colors is not None else _GREY if pixels.ndim == 2 else _RGB
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    table = b"" if colors is None else _palette(colors)
    lines = np.ascontiguousarray(pixels).reshape(height, -1)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), lines], axis=1)  # filter type 0 of each line
    content = zlib.compress(unfiltered.tobytes(), 9)
    return _SIGNATURE + _chunk(b"IHDR", header) + table + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _palette(colors: np.ndarray) -> bytes:
    """Return the chunks of a palette; a table of opacities only if it has others than 255."""
    table = _chunk(b"PLTE", colors[:, :3].tobytes())
    return table if (colors[:, 3] == 255).all() else table + _chunk(b"tRNS", colors[:, 3].tobytes())


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
