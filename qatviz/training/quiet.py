"""TensorFlow's messages that are not for the user."""

import os
import warnings


def keep_tensorflow_quiet() -> None:
    """Before it is imported: its C++ side reads the variable once, and older 1.15 use what NumPy deprecates."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"tensor(flow|board)\b")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"tensor(flow|board)\b")
