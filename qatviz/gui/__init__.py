"""The window: shows a run and steers it. No TensorFlow here; what a run is made of reaches it as data."""

import sys

# pyqtgraph imports h5py, where there is one, for a class that is not used here: a tenth of the time until the window
# shows.
if "h5py" not in sys.modules and "pyqtgraph" not in sys.modules:
    sys.modules["h5py"] = None  # type: ignore
    try:
        import pyqtgraph  # noqa: F401
    finally:
        del sys.modules["h5py"]
