"""Names of files, folders and classes, which may be any bytes: they are readable in every output."""

import os
import sys

import numpy as np
import pytest

from qatviz.data import describe, format_description, load

ODD = [b"caf\xff", b"a\nb", b"\x1b[31mred", "\u202eexe.txt".encode(), b"=cmd|' C calc'!A0", b"<b>&amp;", b"a\"'$;b"]


def assert_readable(text):
    assert "\\udc" in text or text.encode("utf-8")
    assert all(ord(character) >= 32 for character in text) and "\u202e" not in text, repr(text)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode elsewhere")
@pytest.mark.parametrize("name", ODD)
def test_a_file_or_folder_of_any_name_is_read_and_its_name_readable(files, digits, name):
    path = os.path.join(os.fsencode(str(files.directory)), name + b".npz")
    os.rename(files.npz(x=digits[0], y=digits[1]), path)
    dataset = load(os.fsdecode(path))
    assert_readable(dataset.name)
    folder = files.folder(digits[0][:8], list("aabbccdd"))
    os.rename(os.path.join(os.fsencode(folder), b"a"), os.path.join(os.fsencode(folder), name))
    dataset = load(folder)
    assert len(dataset.class_names) == 4
    for class_name in dataset.class_names:
        assert_readable(class_name)
    format_description(describe(dataset)).encode("utf-8")


def test_class_names_in_an_archive_are_readable(files, digits):
    names = np.array(["a\x00b", "\u2028", "\x1b]0;owned\x07", "plain"])
    dataset = load(files.npz(x=digits[0], y=digits[1], class_names=names))
    assert [*dataset.class_names] == ["a\\x00b", "\\u2028", "\\x1b]0;owned\\x07", "plain"]
