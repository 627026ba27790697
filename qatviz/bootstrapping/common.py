"""Paths, messages to the user and subprocess calls shared by the modules of this package."""

import glob
import os
import subprocess
import sys
from typing import Any, Dict, List, Optional, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENVIRONMENT = os.path.join(ROOT, ".venv")
ON_WINDOWS = os.name == "nt"
ON_LINUX = sys.platform.startswith("linux")
COMMAND_TIMEOUT_S = 60


class BootstrapError(Exception):
    """The environment cannot be set up; the user sees the message."""


def log(text: str) -> None:
    """Print a message to standard error; standard output belongs to the program that is started."""
    print("qatviz: " + text, file=sys.stderr, flush=True)


def clean_environment(**changes: str) -> Dict[str, str]:
    """Return the variables of this process with changes, without those that redirect the imports of another Python."""
    environ = dict(os.environ, **changes)
    for name in ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"):
        environ.pop(name, None)
    return environ


def run_captured(
    command: List[str], timeout: Optional[float] = COMMAND_TIMEOUT_S, **options: Any
) -> Tuple[int, str, str]:
    """Run a command and capture its output.

    Parameters
    ----------
    command : list of str
    timeout : float or None
        In seconds; None for no limit.
    **options
        Further arguments of `subprocess.run`.

    Returns
    -------
    code : int
        Exit code; 127 if the command cannot be started, 124 after a timeout.
    stdout, stderr : str
        Stripped.
    """
    try:
        done = subprocess.run(  # noqa: UP022 (Python 3.6 has neither capture_output nor text; `errors` implies text)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            errors="replace",
            check=False,
            timeout=timeout,
            **options,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {timeout} s"
    except OSError as error:
        return 127, "", str(error)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def environment_python(folder: Optional[str] = None) -> str:
    """Return the path of a virtual environment's interpreter; by default, of this checkout's environment."""
    folder = folder or ENVIRONMENT
    return os.path.join(folder, "Scripts", "python.exe") if ON_WINDOWS else os.path.join(folder, "bin", "python")


def packages_folder() -> str:
    """Return the path of site-packages in this checkout's environment."""
    if ON_WINDOWS:
        return os.path.join(ENVIRONMENT, "Lib", "site-packages")
    library = os.path.join(ENVIRONMENT, "lib")
    found = sorted(glob.glob(os.path.join(glob.escape(library), "python3.*")))
    return os.path.join(found[0] if found else os.path.join(library, "python3.7"), "site-packages")


def pip_install(folder: str, arguments: List[str], **options: Any) -> int:
    """Run pip install in a virtual environment, and return its exit code.

    The user's settings that make pip install elsewhere are ignored.

    Parameters
    ----------
    folder : str
        Folder of the environment.
    arguments : list of str
        Options and requirements.
    **options
        Further arguments of `subprocess.call`.
    """
    environ = clean_environment(PIP_USER="0")
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        environ.pop(name, None)
    command = [environment_python(folder), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    return subprocess.call(command + arguments, stdout=sys.stderr, env=environ, **options)
