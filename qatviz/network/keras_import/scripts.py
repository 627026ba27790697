"""Import of Keras models from Python files: ``path.py:function``. The file runs with all of the user's permissions."""

import os
import runpy
import sys
from typing import Any, Dict, Optional

from qatviz.errors import CodeRefused, NetworkError
from qatviz.network.keras_import.convert import ImportedModel, InputShape
from qatviz.network.keras_import.files import WEIGHTS_FIELD, load_model_file
from qatviz.network.keras_import.keras_session import isolated_keras
from qatviz.network.keras_import.objects import import_model
from qatviz.network.model_formats import Script, parse_script_spec


def load_model(
    path: str, weights_path: Optional[str] = None, allow_code: bool = False, input_shape: Optional[InputShape] = None
) -> ImportedModel:
    """Import the Keras model of a file, or of ``path.py:function``.

    Parameters and errors are those of :func:`load_model_file` and :func:`load_model_script`; a script has no file of
    weights.
    """
    script = parse_script_spec(os.fspath(path))
    if script is None:
        return load_model_file(path, weights_path, allow_code, input_shape)
    if weights_path is not None:
        raise NetworkError(
            f"model weights {weights_path!r}: a script's model includes its weights; allowed: weights for a JSON file",
            WEIGHTS_FIELD,
        )
    return load_model_script(script, allow_code, input_shape)


def load_model_script(
    script: Script, allow_code: bool = False, input_shape: Optional[InputShape] = None
) -> ImportedModel:
    """Import the Keras model that a function in a Python file returns.

    Parameters
    ----------
    script : Script
        Names a function without arguments, or a model.
    allow_code : bool
        True allows the file to be run, with all of the user's permissions.
    input_shape : tuple of int, or mapping of str to tuple of int, optional
        Shape of one example, or shapes of several inputs by name; required if the model does not fix it.

    Raises
    ------
    CodeRefused
        If ``allow_code`` is False.
    NetworkError
        If the file or function does not exist or fails, or the model cannot be imported.
    """
    path, where = script.path, f"model script {script.path!r}: "
    if not os.path.isfile(path):
        raise NetworkError(where + "no such file")
    if not script.name:
        raise NetworkError(where + "no function is named; expected: PATH.py:FUNCTION")
    if not allow_code:
        raise CodeRefused(
            where
            + "it is Python code, which would run with your permissions; allowed: files that you trust, with allow_code"
        )
    with isolated_keras():
        return import_model(_run_script(script, where), input_shape)


def _run_script(script: Script, where: str) -> Any:
    """Run a file and return its model."""
    try:
        names = run_script(script.path)
        if script.name not in names:
            raise NetworkError(
                f"{where}function {script.name!r} does not exist; found: "
                f"{(', '.join(sorted(n for n, v in names.items() if callable(v) and n[0] != '_')) or 'no functions')}"
            )
        found = names[script.name]
        return found() if callable(found) and not hasattr(found, "layers") else found
    except NetworkError:
        raise
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise NetworkError(f"{where}{script.name} failed: {type(error).__name__}: {error}") from error


def run_script(path: str) -> Dict[str, Any]:
    """Run a Python file, with its folder on the module search path, and return its names; it may raise anything."""
    own = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, own)
    try:
        return runpy.run_path(path, run_name="qatviz_model_script")
    finally:
        if own in sys.path:
            sys.path.remove(own)
