"""Fixtures of the export tests, and the helpers of other folders: networks of all layers, graphs, Keras models."""

import os
import sys

import pytest
from quick_c import quick_c  # noqa: F401

for tests in ("training", "network"):
    sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), tests))


@pytest.fixture(scope="session")
def dataset():
    from export_cases import noise  # which loads TensorFlow

    return noise()
