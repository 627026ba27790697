"""Images of files as one array: their modes, sizes, orientation and transparency are converted.

Pillow is imported on first use.
"""

import io
import warnings
from collections import Counter
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.atomic_files import atomic_file
from qatviz.data.checks import check_memory, memory_limit, wrap_read_errors
from qatviz.data.class_folders import FileKind
from qatviz.data.dataset import Assumptions, Note
from qatviz.data.file_tree import FileTree
from qatviz.data.streamed import READ_WITH_SAMPLE, Array, StreamedArray
from qatviz.data.tree_reader import TreeReader
from qatviz.data_options import CROP, PAD, RESIZE, DataOptions
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
_DEEP_GREY = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
_GREY = {"1", "L", "LA", *_DEEP_GREY}
_COLOR = {"RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV"}
_WITH_ALPHA = {"LA", "RGBA", "PA"}
_CONVERTED = {"CMYK", "YCbCr", "HSV"}
#: Pillow reads the higher byte of each colour of 16 bits in a PNG file, in these raw modes. In the raw modes to which
#: they are mapped, those of the other byte order, it reads the lower byte.
_DEEP_COLOR = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
#: A pixel of 16 bits is this multiple of the one of 8 bits: 65535 / 255.
_DEEP_FACTOR = 257
#: Tags of TIFF.
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101
#: EXIF tag of the orientation, and the names of Pillow's methods that turn an image of each orientation upright.
_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
#: Orientations in which height and width are exchanged.
_SIDEWAYS = (5, 6, 7, 8)
#: Advice if images do not fit in memory.
_ADVICE = "; images in a folder that is not an archive may be larger"
#: Bytes of one decoded pixel at most; an image is decoded as a whole.
_DECODED_BYTES = 4
_FITTED = {RESIZE: "stretched to it", CROP: "scaled and cropped to it", PAD: "scaled and padded to it"}


class _Header(NamedTuple):
    """Properties of an image that are known before it is decoded.

    Attributes
    ----------
    mode : str
        Pillow's mode.
    size : (int, int)
        Height and width, once it is turned upright.
    is_deep : bool
        Whether its pixels of 16 bits are read in full.
    """

    mode: str
    size: Tuple[int, int]
    is_deep: bool


class ImageReader(TreeReader):
    """Reader of the images of a tree as one array, which counts what it converts and skips.

    Parameters
    ----------
    tree : FileTree
    options : DataOptions
        `IMAGE_OPTIONS` of them are used.
    """

    def __init__(self, tree: FileTree, options: DataOptions):
        super().__init__(tree, options)
        self._streamed: List[Note] = []
        #: Height and width of each image that was read, by its path, before it is converted.
        self.sizes: Dict[str, Tuple[int, int]] = {}

    def read(self, parts: Sequence[Sequence[str]]) -> List[Tuple[Array, np.ndarray]]:
        """Read the images of each part of a data set, which are converted to one shape and dtype.

        All are turned upright, as their EXIF orientation says. If an image is in colour, all become RGB; otherwise they
        are grey. They are uint8, or float32 pixels from 0 to 255 if an image has 16 bits. Images in a directory that do
        not fit in memory are read when they are used.

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
            # Pillow warns of unusual metadata, of which only the orientation is used, and of large images, whose size
            # is checked.
            warnings.simplefilter("ignore")
            headers = [[self._header(path) for path in part] for part in parts]
            shape, dtype = self._form(parts, headers)
            readable = sum(header is not None for found in headers for header in found)
            n_bytes = readable * int(np.prod(shape)) * dtype.itemsize
            if n_bytes > memory_limit() and self._tree.is_lasting:
                return [self._streamed_part(part, found, shape, dtype) for part, found in zip(parts, headers)]
            what = f"loading {readable} images of {shape[0]}x{shape[1]} pixels"
            check_memory(self._tree.root, n_bytes, what, _ADVICE)
            return [self._read_part(part, found, shape, dtype) for part, found in zip(parts, headers)]

    def notes(self) -> List[Note]:
        """Return notes on what was skipped and converted."""
        return [*self._skipped_and_converted(), *self._streamed]

    def _skipped_and_converted(self) -> List[Note]:
        """Return notes from the counts, of which "images" is that of all images."""
        texts = {
            "fitted": (f"of other sizes than {self._options.image_size}", _FITTED[self._options.fit]),
            "transparent": ("that are transparent", f"with {self._options.background} behind them"),
            "converted": ("in CMYK, YCbCr or HSV", "converted to RGB without their colour profiles"),
            "turned": ("with an EXIF orientation", "turned upright"),
            "deep": ("of 16 bits", "whose pixels are x / 257, with fractions"),
            "reduced": ("of 16 bits in each colour", "of which Pillow reads 8"),
            "animated": ("with several frames", "of which the first is read"),
        }
        return self._damage_notes() + self._count_notes("images", texts)

    def _header(self, path: str) -> Optional[_Header]:
        """Return the header of an image; None if it is damaged and skipped."""
        with self._skipping_damaged(path), open_image(self._tree, path) as image:
            where = self._tree.where(path)
            if image.mode not in _GREY | _COLOR:
                raise DataError(
                    f"{where}: found an image with Pillow's mode {image.mode!r}; expected grey or colours of 8 or "
                    "16 bits"
                )
            width, height = _stored_size(image)
            check_memory(where, _DECODED_BYTES * width * height, f"decoding {height}x{width} pixels")
            size = (width, height) if _orientation(image) in _SIDEWAYS else (height, width)
            self.sizes[path] = size
            return _Header(image.mode, size, image.mode in _DEEP_GREY or _deep_tile(image) is not None)
        return None

    def _form(
        self, parts: Sequence[Sequence[str]], headers: Sequence[Sequence[Optional[_Header]]]
    ) -> Tuple[Tuple[int, int, int], np.dtype]:
        """Return (height, width, channels) and dtype from the headers of all images, before memory is allocated."""
        pairs = (pair for part, found in zip(parts, headers) for pair in zip(part, found))
        readable = [(path, header) for path, header in pairs if header is not None]
        if not readable:
            raise self._nothing_read(IMAGES)
        modes = {header.mode for _, header in readable}
        size = self._options.size or self._common_size(readable)
        uses_background = any(
            header.mode in _WITH_ALPHA or (self._options.fit == PAD and header.size != size) for _, header in readable
        )
        is_grey = modes <= _GREY and not (uses_background and len(set(self._options.background_color)) > 1)
        shape = (*size, 1 if is_grey else 3)
        dtype = np.dtype(np.float32 if any(header.is_deep for _, header in readable) else np.uint8)
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
        """Return the images of a part, and the indices of their paths."""

        def pixels_or_none(path: str) -> Optional[np.ndarray]:
            with self._skipping_damaged(path):
                return self.pixels_of(path, shape, dtype)
            return None

        readable = _readable(headers)
        images, kept = self._read_rows(IMAGES, [paths[index] for index in readable], pixels_or_none, shape, dtype)
        return images, readable[kept]

    def _streamed_part(
        self,
        paths: Sequence[str],
        headers: Sequence[Optional[_Header]],
        shape: Tuple[int, int, int],
        dtype: np.dtype,
    ) -> Tuple[Array, np.ndarray]:
        """Return the images of a part, which are read when they are used, and the indices of their paths."""
        kept = _readable(headers)
        images = _ImageFiles([paths[index] for index in kept], shape, dtype, self.pixels_of)
        images.state_sample()
        self._counts.clear()  # they are those of the sample
        self._streamed = [Note(READ_WITH_SAMPLE)]
        return images, kept

    def pixels_of(self, path: str, shape: Tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
        """Return the pixels of the image at a path in the tree, of this shape and dtype.

        Raises
        ------
        DataError
            If it can't be read.
        """
        with open_image(self._tree, path) as image:
            return self._pixels(image, path, shape, dtype)

    def _pixels(self, image: Any, path: str, shape: Tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
        """Return the pixels of an image that is open and not decoded, in the form of the data set."""
        orientation, deep_tile = _orientation(image), _deep_tile(image)
        found = {
            "converted": image.mode in _CONVERTED,
            "turned": orientation != 1,
            "deep": image.mode in _DEEP_GREY or deep_tile is not None,
            # Pillow's name for the stored form of pixels, such as "RGB;16B".
            "reduced": image.mode not in _DEEP_GREY and deep_tile is None and ";16" in str(image.tile),
            "animated": image.format == "GIF" and image.is_animated,
        }
        is_turned_by_pillow = image.format == "TIFF"
        if image.mode in _DEEP_GREY:
            planes = [_from_deep_grey(image, self._tree.where(path))] * shape[2]
        elif deep_tile is not None:
            planes, found["transparent"] = self._from_deep_color(image, path, deep_tile)
        else:
            planes, found["transparent"] = self._from_8_bits(image, channels=shape[2])
        if orientation != 1 and not is_turned_by_pillow:
            planes = [plane.transpose(getattr(_pillow(), _TURNS[orientation])) for plane in planes]
        if planes[0].size != (shape[1], shape[0]):
            found["fitted"] = True
            fills, bilinear = self._options.background_color, _pillow().BILINEAR
            planes = [
                fitted(plane, (shape[1], shape[0]), self._options, bilinear, fill) for plane, fill in zip(planes, fills)
            ]
        self._counts.update(key for key, is_found in found.items() if is_found)
        pixels = [np.asarray(plane, dtype) for plane in planes]
        return pixels[0] if pixels[0].ndim == 3 else np.stack(pixels, axis=-1)

    def _from_8_bits(self, image: Any, channels: int) -> Tuple[List[Any], bool]:
        """Return an image as one plane, grey or RGB, and whether it is transparent, so that it shows the background."""
        is_transparent = False
        if image.mode in _WITH_ALPHA or "transparency" in image.info:
            image = image.convert("RGBA")
            is_transparent = image.getextrema()[3][0] < 255
            if is_transparent:
                behind = _pillow().new("RGBA", image.size, (*self._options.background_color, 255))
                image = _pillow().alpha_composite(behind, image)
        return [image.convert("L" if channels == 1 else "RGB")], is_transparent

    def _from_deep_color(self, image: Any, path: str, deep_tile: Any) -> Tuple[List[Any], bool]:
        """Return an image as planes of red, green and blue, and whether it is transparent, as `_from_8_bits` does.

        The planes have floating-point pixels from 0 to 255.
        """
        high = np.asarray(image)
        with open_image(self._tree, path) as again:
            again.tile = [deep_tile]
            low = np.asarray(again)
        values = high.astype(np.uint16) << 8 | low
        colors = values[..., :3].astype(np.float32) / np.float32(_DEEP_FACTOR)
        opacity = None
        if values.shape[2] == 4:
            opacity = values[..., 3].astype(np.float32) / np.float32(65535)
        elif "transparency" in image.info:  # the colour of transparent pixels
            opacity = (values != np.array(image.info["transparency"])).any(axis=2).astype(np.float32)
        is_transparent = opacity is not None and bool(opacity.min() < 1)
        if opacity is not None and is_transparent:
            behind = np.array(self._options.background_color, np.float32)
            opacity = opacity[..., np.newaxis]
            colors = colors * opacity + behind * (1 - opacity)
        return [_pillow().fromarray(np.ascontiguousarray(colors[..., index])) for index in range(3)], is_transparent


def _readable(headers: Sequence[Optional[_Header]]) -> np.ndarray:
    """Return the indices, int64, of the images whose headers could be read."""
    return np.array([index for index, header in enumerate(headers) if header is not None], np.int64)


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


@contextmanager
def open_image(tree: FileTree, path: str) -> Iterator[Any]:
    """Open an image; exceptions from opening or decoding it within the context become a `DataError`."""
    image_module = _pillow()
    where = tree.where(path)
    with tree.open(path) as stream, wrap_read_errors(where, "an image"):
        try:
            with image_module.open(stream, formats=_FORMATS) as image:
                yield image
        except image_module.DecompressionBombError as error:
            raise DataError(f"{where}: {error}") from error


def fitted(plane: Any, size: Tuple[int, int], options: DataOptions, method: int, fill: int) -> Any:
    """Return a plane in another size, (width, height), by a method of resampling of Pillow's.

    ``fill`` is the background of a plane that is not RGB.
    """
    from PIL import ImageOps

    if options.fit == CROP:
        return ImageOps.fit(plane, size, method)
    if options.fit == RESIZE:
        return plane.resize(size, method)
    scale = min(size[0] / plane.size[0], size[1] / plane.size[1])
    inner = tuple(min(max(round(side * scale), 1), limit) for side, limit in zip(plane.size, size))
    padded = _pillow().new(plane.mode, size, options.background_color if plane.mode == "RGB" else fill)
    padded.paste(plane.resize(inner, method), tuple((outer - part) // 2 for outer, part in zip(size, inner)))
    return padded


def nearest(labels: np.ndarray, size: Tuple[int, int], options: DataOptions) -> np.ndarray:
    """Return labels of pixels, uint8 or int32 ``[height, width]``, in another size (width, height) as images are.

    Each pixel has the label of the nearest one; where images are padded, it is 0.
    """
    image = fitted(_pillow().fromarray(labels), size, options, _pillow().NEAREST, 0)
    return np.asarray(image, labels.dtype)


def with_pixel_type(assumed: Assumptions, dtype: np.dtype) -> Assumptions:
    """Return the assumptions on a data set of images of this dtype, as :meth:`ImageReader.read` returns them."""
    return assumed if dtype == np.uint8 else assumed._replace(integers="uint16", float_pixels=True)


def write_png(path: str, pixels: np.ndarray) -> None:
    """Write a picture, uint8 RGB ``[height, width, 3]``, as a PNG file."""
    with atomic_file(path) as file:
        _pillow().fromarray(pixels).save(file, "PNG")


def decoded(content: bytes, shape: Sequence[int], where: str) -> np.ndarray:
    """Return the pixels of an image file in memory, uint8 of ``shape`` (height, width, 1 or 3).

    As in TensorFlow's decoders, the EXIF orientation has no effect.

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


def _stored_size(image: Any) -> Tuple[int, int]:
    """Return width and height of the stored pixels of an image that is not decoded, which its orientation may turn."""
    if image.format == "TIFF":  # Pillow 12 states the size of one that is turned, older versions that of the pixels
        return int(image.tag_v2[_TIFF_WIDTH]), int(image.tag_v2[_TIFF_HEIGHT])
    width, height = image.size
    return width, height


def _orientation(image: Any) -> int:
    """Return the EXIF orientation of an image that is not decoded, 1 to 8; 1 if it has none, or damaged metadata."""
    try:
        with wrap_read_errors("", "metadata"):
            # The method of all formats: that of PNG decodes the pixels to find metadata behind them.
            found = _pillow().Image.getexif(image).get(_ORIENTATION)
    except DataError:
        return 1
    return int(found) if found in _TURNS else 1


def _deep_tile(image: Any) -> Optional[Tuple[Any, ...]]:
    """Return the tile for Pillow to read the lower bytes of a PNG image of 16 bits in each colour; None for others."""
    if image.format != "PNG" or len(image.tile) != 1 or image.tile[0][-1] not in _DEEP_COLOR:
        return None
    *rest, raw_mode = image.tile[0]
    return (*rest, _DEEP_COLOR[raw_mode])


def _from_deep_grey(image: Any, where: str) -> Any:
    """Return a grey image of 16 bits as one of floating-point pixels from 0 to 255."""
    if "transparency" in image.info:
        raise DataError(f"{where}: found transparent pixels of 16 bits; expected an opaque image")
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
