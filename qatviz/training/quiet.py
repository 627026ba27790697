"""Suppression of TensorFlow's messages that do not concern the user."""

import os
import warnings


def keep_tensorflow_quiet() -> None:
    """Suppress log messages and deprecation warnings; call this before TensorFlow is imported."""
    # The C++ library reads the variable once. Older releases of 1.15 use deprecated features of NumPy.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"tensor(flow|board)\b")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"tensor(flow|board)\b")
