"""Tests of the window's form run offscreen, unless a Qt platform is set; runs take their graphs from a pool."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PyQt5 import QtWidgets
from quick_c import quick_c  # noqa: F401
from shared_graphs import closed_pool, shared_graphs  # noqa: F401


@pytest.fixture(scope="session")
def app():
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication(["qatviz-tests"])
