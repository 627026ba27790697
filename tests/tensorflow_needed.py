"""Tests that need TensorFlow: skipped by name where it is not installed, as under a newer Python."""

import pytest

from qatviz.tensorflow_presence import has_tensorflow

REASON = "TensorFlow 1.15 is not installed"
#: Mark of a test, or ``pytestmark`` of a module, that trains, evaluates or exports.
needs_tensorflow = pytest.mark.skipif(not has_tensorflow(), reason=REASON)
