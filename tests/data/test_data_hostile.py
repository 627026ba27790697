"""Malicious data files: no code is run, nothing blocks forever, nothing unpacks beyond the available memory.

The tests of each format cover its pickles, wrong headers and declared sizes.
"""

import gzip
import io
import os
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

from qatviz.data import load
from qatviz.errors import DataError

# Pipes and devices


@pytest.mark.parametrize("name", ["data.npz", "train-images-idx3-ubyte", "data.tar.gz", "data"])
def test_a_pipe_is_refused_unread(tmp_path, name):
    os.mkfifo(str(tmp_path / name))
    with pytest.raises(DataError, match=name):
        load(str(tmp_path / name))


def test_a_pipe_or_a_loop_in_the_place_of_an_image_is_refused_unread(files, digits):
    folder = files.folder(digits[0][:4], list("aabb"))
    odd = files.path("folder/b/odd.png")
    os.mkfifo(str(odd))
    with pytest.raises(DataError, match="odd.png"):
        load(folder)
    odd.unlink()
    odd.symlink_to(odd)
    with pytest.raises(DataError, match="odd.png"):
        load(folder)


def test_a_pipe_in_the_place_of_labels_is_refused_unread(files, digits):
    path = files.idx_set(*digits)
    labels = files.path(path.replace("images-idx3", "labels-idx1"))
    labels.unlink()
    os.mkfifo(str(labels))
    with pytest.raises(DataError, match="labels"):
        load(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/urandom", "/proc/self/mem"])
def test_devices_are_refused(path):
    with pytest.raises(DataError, match=path):
        load(path)


def test_errors_about_links_to_other_files_do_not_quote_them(files, digits):
    """A folder of images may link to other files of the user, whose content must not appear in messages."""
    folder = files.folder(digits[0][:4], list("aabb"))
    secret = files.path("secret.txt")
    secret.write_text("a password")
    files.path("folder/b/0009.png").symlink_to(secret)
    with pytest.raises(DataError, match="0009.png") as caught:
        load(folder)
    assert "password" not in str(caught.value)


def test_a_folder_that_contains_itself_is_not_walked_forever(files, digits):
    folder = files.folder(digits[0][:4], list("aabb"))
    files.path("folder/b/again").symlink_to(folder)
    assert len(load(folder).class_names) == 2


# Archives


def test_names_that_lead_out_of_the_archive_are_not_written(tmp_path, digits):
    content = io.BytesIO()
    np.save(content, digits[0])
    path = tmp_path / "inner" / "data.npz"
    path.parent.mkdir()
    with zipfile.ZipFile(str(path), "w") as archive:
        for name in ("../../x.npy", "/tmp/x.npy", "x.npy/../y.npy"):
            archive.writestr(name, content.getvalue())
    with pytest.raises(DataError, match="data.npz"):
        load(str(path))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["inner"]


def test_a_wrong_size_in_the_directory_of_the_archive_is_refused(tmp_path):
    """The archive has 64 MB of zeros, but its directory declares 1 kB."""
    path = tmp_path / "lies.npz"
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (8, 2**20, 8)})
        archive.writestr("x.npy", header.getvalue() + bytes(2**26))
        archive.writestr("y.npy", b"")
    data = bytearray(path.read_bytes())
    true = struct.pack("<I", len(header.getvalue()) + 2**26)
    while true in data:
        place = data.index(true)
        data[place : place + 4] = struct.pack("<I", 1024)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="lies.npz"):
        load(str(path))


def test_members_that_overlap_are_read_once_each_or_refused(tmp_path):
    """Two names refer to the same bytes, as in zip bombs without nesting."""
    content = io.BytesIO()
    np.save(content, np.zeros((4, 2), np.float32))
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(str(path), "w") as archive:
        archive.writestr("x.npy", content.getvalue())
        info = archive.infolist()[0]
        other = zipfile.ZipInfo("y.npy")
        for name in ("header_offset", "CRC", "compress_size", "file_size", "compress_type"):
            setattr(other, name, getattr(info, name))
        archive.filelist.append(other)
        archive.NameToInfo["y.npy"] = other
    with pytest.raises(DataError, match="twice.npz"):
        load(str(path))


def test_gzip_larger_than_its_header_declares_is_refused_at_once(files, digits):
    path = files.idx_set(*digits, zipped=True)
    with gzip.open(path, "rb") as stream:
        content = stream.read()
    with open(path, "wb") as stream:
        stream.write(gzip.compress(content + bytes(2**26)))
    with pytest.raises(DataError, match="more bytes than its header declares"):
        load(path)


def test_a_tar_archive_that_never_ends_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("qatviz.data.cifar.MAX_ARCHIVE_BYTES", 2**22)
    path = str(tmp_path / "cifar-10-python.tar.gz")
    for place in ("before", "after"):
        with gzip.open(path, "wb", compresslevel=1) as stream:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                member = tarfile.TarInfo("filler" if place == "before" else "small")
                member.size = 2**23 if place == "before" else 10
                archive.addfile(member, io.BytesIO(bytes(member.size)))
            if place == "after":
                stream.write(bytes(2**23))
        with pytest.raises(DataError, match="cifar-10-python.tar.gz"):
            load(path)


# Images


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    "make",
    [
        lambda: (
            chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(99)))
        ),
        lambda: (
            chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 6, 8, 0, 0, 0, 0))
            + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))
            + chunk(b"IDAT", zlib.compress(bytes(36)))
        ),
        lambda: chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 6, 8, 0, 0, 0, 0)) + chunk(b"IDAT", b"none"),
        lambda: chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 6, 8, 0, 0, 0, 0)),
        lambda: struct.pack(">I", 2**31 - 1) + b"IHDR",
    ],
    ids=["huge", "text bomb", "no pixels", "no width", "length"],
)
def test_images_with_wrong_headers_are_refused(files, digits, make):
    folder = files.folder(digits[0][:4], list("aabb"))
    odd = files.path("folder/b/odd.png")
    odd.write_bytes(b"\x89PNG\r\n\x1a\n" + make() + chunk(b"IEND", b""))
    with pytest.raises(DataError, match="odd.png"):
        load(folder)


def test_the_format_of_an_image_is_detected_from_its_content(files, digits, png_bytes):
    """Pillow detects the format from the content; PostScript, which it would pass to another program, is refused."""
    folder = files.folder(digits[0][:4], list("aabb"))
    odd = files.path("folder/b/odd.jpg")
    odd.write_bytes(png_bytes(digits[0][0]))
    assert len(load(folder).x_train) + len(load(folder).x_test) == 5
    odd.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 6\n%%EndComments\n(/tmp/x) (w) file\n%%EOF\n")
    with pytest.raises(DataError, match="odd.jpg"):
        load(folder)
