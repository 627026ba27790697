"""Import of tf.keras models: Sequential and functional ones, as objects and from files.

A model comes in as Keras' own description of it, which is data (`config.py`), and its weights by layer (of objects:
`objects.py`; of files: `hdf5.py`, `weights.py`); `convert.py` and `kinds.py` write it down as a
:class:`~qatviz.network.graph.Network`. Only objects, scripts (`scripts.py`) and files whose code the user
allows to run need TensorFlow.
"""

from qatviz.network.keras_import.convert import ImportedModel
from qatviz.network.keras_import.files import load_model_file
from qatviz.network.keras_import.objects import import_model
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.keras_import.scripts import load_model_script, script_of

__all__ = ["ImportedModel", "KerasOrigin", "import_model", "load_model_file", "load_model_script", "script_of"]
