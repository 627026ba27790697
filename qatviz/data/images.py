"""Images of files as one array: their modes, sizes and transparency are converted. Pillow is imported on first use."""

import io
import warnings
from collections import Counter
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from typing import Counter as CounterType

import numpy as np

from qatviz.data.checks import check_memory, memory_limit, wrap_read_errors
from qatviz.data.class_folders import FileKind, skipped_notes
from qatviz.data.dataset import Note
from qatviz.data.file_tree import FileTree
from qatviz.data.streamed import Array, StreamedArray, statistics_of_pieces
from qatviz.data_options import CROP, PAD, RESIZE, SKIP, DataOptions
from qatviz.errors import DataError

#: Files of images.
IMAGES = FileKind(
    "image",
    "images",
    (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".gif"),
)
#: Names of the data options that apply to images.
IMAGE_OPTIONS = ("image_size", "fit", "background", "unusable")

# Pillow's names for these formats. Pillow detects the format from the content only, and would open others as well:
# PostScript would be run by another program.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
# Pillow's modes of grey images, those of 16 bits among them, and of other images, which become RGB.
_DEEP = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
_GREY = {"1", "L", "LA", *_DEEP}
_COLOR = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV"}
_WITH_ALPHA = {"LA", "RGBA", "PA"}
_CONVERTED = {"CMYK", "YCbCr", "HSV"}
#: A pixel of 16 bits is this multiple of the one of 8 bits: 65535 / 255.
_DEEP_FACTOR = 257
#: Bytes of one decoded pixel at most; an image is decoded as a whole.
_DECODED_BYTES = 4
#: Number of images whose values stand for those of all, if they are read when they are used.
_SAMPLE = 256
_FITTED = {RESIZE: "stretched to it", CROP: "scaled and cropped to it", PAD: "scaled and padded to it"}


class _Header(NamedTuple):
    """Properties of an image that are known before it is decoded; `size` is (height, width)."""

    mode: str
    size: Tuple[int, int]


class ImageReader:
    """Reader of the images of a tree as one array, which counts what it converts and skips.

    Parameters
    ----------
    tree : FileTree
    options : DataOptions
        `IMAGE_OPTIONS` of them are used.
    """

    def __init__(self, tree: FileTree, options: DataOptions):
        self._tree, self._options = tree, options
        self._skips = options.unusable == SKIP
        self._damaged: List[str] = []
        self._counts: CounterType[str] = Counter()
        self._streamed: List[Note] = []

    def read(self, parts: Sequence[Sequence[str]]) -> List[Tuple[Array, np.ndarray]]:
        """Read the images of each part of a data set, which are converted to one shape and dtype.

        If an image is in colour, all become RGB; otherwise they are grey. uint8, or float32 pixels from 0 to 255 if an
        image has 16 bits. Images of 8 bits in a directory that do not fit in memory are read when they are used.

        Parameters
        ----------
        parts : sequence of sequence of str
            Paths in the tree.

        Returns
        -------
        list of (ndarray or StreamedArray, ndarray)
            For each part, images of shape [N, height, width, 1 or 3], and the indices of their paths in it: all of
            them, unless damaged files are skipped.

        Raises
        ------
        DataError
            If a file is damaged and is not skipped, if an image has other modes, or images differ in size without a
            size to convert them to; the field is ``image_size`` then.
        """
        with warnings.catch_warnings():
            # Pillow warns of unusual metadata, which is not used, and of large images, whose size is checked.
            warnings.simplefilter("ignore")
            headers = [[self._header(path) for path in part] for part in parts]
            shape, dtype = self._form(parts, headers)
            readable = sum(header is not None for found in headers for header in found)
            n_bytes = readable * int(np.prod(shape)) * dtype.itemsize
            if n_bytes > memory_limit() and self._tree.is_lasting and dtype == np.uint8:
                return [self._streamed_part(part, found, shape, dtype) for part, found in zip(parts, headers)]
            what = f"loading {readable} images of {shape[0]}x{shape[1]} pixels"
            check_memory(self._tree.root, n_bytes, what)
            return [self._read_part(part, found, shape, dtype) for part, found in zip(parts, headers)]

    def notes(self) -> List[Note]:
        """Return notes on what was skipped and converted."""
        return [*self._skipped_and_converted(), *self._streamed]

    def _skipped_and_converted(self) -> List[Note]:
        found = self._counts
        texts = {
            "fitted": (f"of other sizes than {self._options.image_size}", _FITTED[self._options.fit]),
            "transparent": ("that are transparent", f"with {self._options.background} behind them"),
            "converted": ("in CMYK, YCbCr or HSV", "converted to RGB without their colour profiles"),
            "deep": ("of 16 bits", "whose pixels are x / 257, with fractions"),
            "reduced": ("of 16 bits in each colour", "of which Pillow reads 8"),
            "animated": ("with several frames", "of which the first is read"),
        }
        notes = [
            Note(f"images {what}: {found[key]:,} of {found['images']:,}, {effect}")
            for key, (what, effect) in texts.items()
            if found[key]
        ]
        return skipped_notes("damaged files", self._damaged, is_mistake=True) + notes

    def _header(self, path: str) -> Optional[_Header]:
        """Return the header of an image; None if it is damaged and skipped."""
        try:
            with self._open(path) as image:
                where = self._tree.where(path)
                if image.mode not in _GREY | _COLOR:
                    raise DataError(
                        f"{where}: found an image with Pillow's mode {image.mode!r}; expected grey or colours of 8 or "
                        "16 bits"
                    )
                width, height = image.size
                check_memory(where, _DECODED_BYTES * width * height, f"decoding {height}x{width} pixels")
                return _Header(image.mode, (height, width))
        except DataError:
            if not self._skips:
                raise
            self._damaged.append(self._tree.where(path))
            return None

    def _form(
        self, parts: Sequence[Sequence[str]], headers: Sequence[Sequence[Optional[_Header]]]
    ) -> Tuple[Tuple[int, int, int], np.dtype]:
        """Return (height, width, channels) and dtype from the headers of all images, before memory is allocated."""
        pairs = (pair for part, found in zip(parts, headers) for pair in zip(part, found))
        readable = [(path, header) for path, header in pairs if header is not None]
        if not readable:
            raise self._no_image()
        modes = {header.mode for _, header in readable}
        size = self._options.size or self._common_size(readable)
        uses_background = any(
            header.mode in _WITH_ALPHA or (self._options.fit == PAD and header.size != size) for _, header in readable
        )
        is_grey = modes <= _GREY and not (uses_background and len(set(self._options.background_color)) > 1)
        shape = (*size, 1 if is_grey else 3)
        dtype = np.dtype(np.float32 if modes & _DEEP else np.uint8)
        return shape, dtype

    def _common_size(self, readable: Sequence[Tuple[str, _Header]]) -> Tuple[int, int]:
        """Return the size of all images; raise a `DataError` if they have several."""
        sizes = Counter(header.size for _, header in readable)
        first, size = readable[0][0], readable[0][1].size
        for path, header in readable:
            if header.size != size:
                usual = "x".join(map(str, sizes.most_common(1)[0][0]))
                raise DataError(
                    "{} has {}x{} pixels, but {} has {}x{}; expected images of the same size (height x width), or an "
                    "image size to which all are converted, such as {} ({})".format(
                        self._tree.where(path),
                        *header.size,
                        self._tree.where(first),
                        *size,
                        usual,
                        f"{len(sizes):,} sizes found, this one most often",
                    ),
                    "image_size",
                )
        return size

    def _read_part(
        self,
        paths: Sequence[str],
        headers: Sequence[Optional[_Header]],
        shape: Tuple[int, int, int],
        dtype: np.dtype,
    ) -> Tuple[np.ndarray, np.ndarray]:
        images = np.empty((sum(header is not None for header in headers), *shape), dtype)
        kept: List[int] = []
        for index, (path, header) in enumerate(zip(paths, headers)):
            if header is None:
                continue
            try:
                images[len(kept)] = self.pixels_of(path, shape, dtype)
            except DataError:
                if not self._skips:
                    raise
                self._damaged.append(self._tree.where(path))
            else:
                kept.append(index)
        if not kept:
            raise self._no_image()
        self._counts["images"] += len(kept)
        return images[: len(kept)], np.array(kept, np.int64)

    def _streamed_part(
        self,
        paths: Sequence[str],
        headers: Sequence[Optional[_Header]],
        shape: Tuple[int, int, int],
        dtype: np.dtype,
    ) -> Tuple[Array, np.ndarray]:
        """Return the images of a part as an array that reads them when they are used."""
        kept = [index for index, header in enumerate(headers) if header is not None]
        images = _ImageFiles([paths[index] for index in kept], shape, dtype, self.pixels_of)
        # A pass over all images would take minutes.
        sample = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(np.int64))
        images.state(statistics_of_pieces(images[rows] for rows in np.array_split(sample, _SAMPLE // 8) if rows.size))
        self._counts.clear()  # they are those of the sample
        self._streamed = [
            Note(
                "images are read when they are used, as together they are larger than memory; their range and mean are "
                f"those of {_SAMPLE:,} of them"
            )
        ]
        return images, np.array(kept, np.int64)

    def pixels_of(self, path: str, shape: Tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
        """Return the pixels of the image at a path in the tree; `DataError` if it can't be read."""
        with self._open(path) as image:
            return self._pixels(image, shape, dtype, self._tree.where(path))

    def _no_image(self) -> DataError:
        return DataError(f"{self._tree.root}: found no image that can be read")

    def _pixels(self, image: Any, shape: Tuple[int, int, int], dtype: np.dtype, where: str) -> np.ndarray:
        """Return the pixels of an image in the form of the data set."""
        found = {
            "converted": image.mode in _CONVERTED,
            "deep": image.mode in _DEEP,
            # Pillow's name for the stored form of pixels, such as "RGB;16B".
            "reduced": image.mode not in _DEEP and ";16" in str(image.tile),
            "animated": image.format == "GIF" and image.is_animated,
            "fitted": image.size != shape[1::-1],
        }
        channels = shape[2]
        if image.mode in _DEEP:
            if "transparency" in image.info:
                raise DataError(f"{where}: found transparent pixels of 16 bits; expected an opaque image")
            image = _from_deep(image, where)
        elif image.mode in _WITH_ALPHA or "transparency" in image.info:
            image = image.convert("RGBA")
            if image.getextrema()[3][0] < 255:
                found["transparent"] = True
                behind = _pillow().new("RGBA", image.size, (*self._options.background_color, 255))
                image = _pillow().alpha_composite(behind, image)
        if image.mode != "F":
            image = image.convert("L" if channels == 1 else "RGB")
        if found["fitted"]:
            image = self._fitted(image, (shape[1], shape[0]))
        self._counts.update(key for key, is_found in found.items() if is_found)
        pixels = np.asarray(image, dtype)
        return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels

    def _fitted(self, image: Any, size: Tuple[int, int]) -> Any:
        """Return an image of another size, (width, height)."""
        from PIL import ImageOps

        bilinear = _pillow().BILINEAR
        if self._options.fit == CROP:
            return ImageOps.fit(image, size, bilinear)
        if self._options.fit == RESIZE:
            return image.resize(size, bilinear)
        scale = min(size[0] / image.size[0], size[1] / image.size[1])
        inner = tuple(min(max(round(side * scale), 1), limit) for side, limit in zip(image.size, size))
        red, green, blue = self._options.background_color
        # Where the background is not grey, the images are in colour.
        padded = _pillow().new(image.mode, size, (red, green, blue) if image.mode == "RGB" else red)
        padded.paste(image.resize(inner, bilinear), tuple((outer - part) // 2 for outer, part in zip(size, inner)))
        return padded

    @contextmanager
    def _open(self, path: str) -> Iterator[Any]:
        """Open an image; exceptions from opening or decoding it within the context become a `DataError`."""
        image_module = _pillow()
        where = self._tree.where(path)
        with self._tree.open(path) as stream, wrap_read_errors(where, "an image"):
            try:
                with image_module.open(stream, formats=_FORMATS) as image:
                    yield image
            except image_module.DecompressionBombError as error:
                raise DataError(f"{where}: {error}") from error


class _ImageFiles(StreamedArray):
    """Images of files, decoded when they are used, ``[N, height, width, channels]``."""

    def __init__(
        self,
        paths: Sequence[str],
        shape: Tuple[int, int, int],
        dtype: np.dtype,
        pixels_of: Callable[[str, Tuple[int, int, int], np.dtype], np.ndarray],
    ):
        super().__init__((len(paths), *shape), dtype)
        self._paths, self._pixels_of = paths, pixels_of

    def read(self, rows: np.ndarray) -> np.ndarray:
        shape = self.shape[1], self.shape[2], self.shape[3]
        result = np.empty((len(rows), *shape), self.dtype)
        for index, row in enumerate(rows):
            result[index] = self._pixels_of(self._paths[row], shape, self.dtype)
        return result


def decoded(content: bytes, shape: Sequence[int], where: str) -> np.ndarray:
    """Return the pixels of an image file in memory, uint8 of ``shape`` (height, width, 1 or 3).

    Raises
    ------
    DataError
        If it is damaged, or has another size.
    """
    image_module = _pillow()
    with wrap_read_errors(where, "an image"), image_module.open(io.BytesIO(content), formats=_FORMATS) as image:
        if image.size != (shape[1], shape[0]):
            raise DataError(f"{where}: found {image.size[1]}x{image.size[0]} pixels; expected {shape[0]}x{shape[1]}")
        pixels = np.asarray(image.convert("L" if shape[2] == 1 else "RGB"), np.uint8)
    return pixels.reshape(tuple(shape))


def _from_deep(image: Any, where: str) -> Any:
    """Return a grey image of 16 bits as one of floating-point pixels from 0 to 255."""
    values = np.asarray(image).astype(np.float32)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(
            f"{where}: found pixels from {values.min():g} to {values.max():g}; expected 8 or 16 bits, from 0 to 65535"
        )
    return _pillow().fromarray(values / np.float32(_DEEP_FACTOR), "F")


def _pillow() -> Any:
    """Import Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("folders of images require Pillow, which is not installed: pip install Pillow") from error
    return Image
