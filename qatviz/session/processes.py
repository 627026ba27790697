"""Environment of child processes."""

import os
from pathlib import Path
from typing import Dict

import qatviz


def child_environment(**variables: str) -> Dict[str, str]:
    """Return the environment for a child process, with ``variables`` and the search path of this package."""
    return {**os.environ, **variables, "PYTHONPATH": python_path()}


def python_path() -> str:
    """Return a module search path on which a child process finds this package, installed or not."""
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(Path(qatviz.__file__).resolve().parents[1]), *known]
    return os.pathsep.join(path for path in paths if path)
