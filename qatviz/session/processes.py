"""Processes of their own that this program starts."""

import os
from pathlib import Path
from typing import Dict

import qatviz


def child_environment(**variables: str) -> Dict[str, str]:
    """Return this process' environment and ``variables``, in which a child finds the same package, installed or not."""
    return {**os.environ, **variables, "PYTHONPATH": python_path()}


def python_path() -> str:
    """Return the search path of modules on which a child finds the package where this process found it."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(Path(qatviz.__file__).resolve().parents[1]), *known]
    return os.pathsep.join(path for path in paths if path)
