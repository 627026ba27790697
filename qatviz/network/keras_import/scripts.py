"""Keras models from Python files: ``path.py:function``. The file is run, with all the rights of the user."""

import os
import re
import runpy
import sys
from typing import Any, NamedTuple, Optional

from qatviz.errors import CodeRefused, NetworkError
from qatviz.network.checks import Shape
from qatviz.network.keras_import.convert import ImportedModel
from qatviz.network.keras_import.keras_session import own_keras
from qatviz.network.keras_import.objects import import_model

_SPEC = re.compile(r"(?P<path>.*\.py)(:(?P<name>[A-Za-z_]\w*))?")


class Script(NamedTuple):
    """A file, and what in it gives the model; empty if that was not said."""

    path: str
    name: str


def script_of(spec: str) -> Optional[Script]:
    """What ``path.py:function`` names; None if it is not of that form."""
    match = _SPEC.fullmatch(spec)
    return None if match is None else Script(match.group("path"), match.group("name") or "")


def load_model_script(script: Script, allow_code: bool = False, input_shape: Optional[Shape] = None) -> ImportedModel:
    """The network of the Keras model that a function of a Python file makes.

    Parameters
    ----------
    script : Script
        Its name is that of a function without arguments, or of a model.
    allow_code : bool
        Whether the file may be run. It can do whatever the user can.
    input_shape : tuple of int, optional
        As of :func:`import_model`.

    Raises
    ------
    CodeRefused
        If it may not.
    NetworkError
        If there is no such file or function, it fails, or what it gives can't be imported.
    """
    path, where = script.path, f"model script {script.path!r}: "
    if not os.path.isfile(path):
        raise NetworkError(where + "there is no such file")
    if not script.name:
        raise NetworkError(where + "it does not say which function makes the model; expected PATH.py:FUNCTION")
    if not allow_code:
        raise CodeRefused(
            where + "it is Python code, which would be run with your rights; allowed: only a file that you "
            "trust, with allow_code"
        )
    with own_keras():
        model = _made(script, where)
        return import_model(model, input_shape)


def _made(script: Script, where: str) -> Any:
    """The model; the directory of the file is where it finds its own modules."""
    own = os.path.dirname(os.path.abspath(script.path))
    sys.path.insert(0, own)
    try:
        names = runpy.run_path(script.path, run_name="qatviz_model_script")
        if script.name not in names:
            raise NetworkError(
                f"{where}there is no {script.name!r} in it; there are "
                f"{(', '.join(sorted(n for n, v in names.items() if callable(v) and n[0] != '_')) or 'no functions')}"
            )
        found = names[script.name]
        return found() if callable(found) and not hasattr(found, "layers") else found
    except NetworkError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code does, it is told as what it is
        raise NetworkError(f"{where}{script.name} failed: {type(error).__name__}: {error}") from error
    finally:
        if own in sys.path:
            sys.path.remove(own)
