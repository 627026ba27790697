"""Import of Sequential and functional tf.keras models, from objects and from files.

`config.py` parses Keras' description of the architecture, which is data. `objects.py` provides the weights of a model
in memory by layer, `files.py` those of a file: `archive.py`, `saved_model.py` and `reader_process.py` read them, and
`weights.py` assigns them to layers. `convert.py` and `kinds.py` convert both to a
:class:`~qatviz.network.graph.Network`. TensorFlow is needed only for objects, for scripts (`scripts.py`) and for files
whose code the user allows to run.
"""

from qatviz.network.keras_import.convert import ImportedModel, InputShape, UnknownInputShape, in_known_shape
from qatviz.network.keras_import.files import load_model_file
from qatviz.network.keras_import.objects import import_model
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.keras_import.scripts import load_model, load_model_script

__all__ = [
    "ImportedModel",
    "InputShape",
    "KerasOrigin",
    "UnknownInputShape",
    "import_model",
    "in_known_shape",
    "load_model",
    "load_model_file",
    "load_model_script",
]
