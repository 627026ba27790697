"""Fixtures of the tests of networks."""

import os
import zipfile

import pytest

FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "keras_files")


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    """Return a function that returns the folder with the files of a label."""
    folders = {}

    def folder_of(label):
        if label not in folders:
            folders[label] = tmp_path_factory.mktemp(label)
            with zipfile.ZipFile(os.path.join(FILES, label + ".zip")) as archive:
                archive.extractall(str(folders[label]))
        return folders[label]

    return folder_of
