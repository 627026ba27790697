"""What all steps share: where things are, how the user is told, and how other programs are started."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENVIRONMENT = os.path.join(ROOT, ".venv")
ON_WINDOWS = os.name == "nt"
ON_LINUX = sys.platform.startswith("linux")
COMMAND_TIMEOUT_S = 60


class BootstrapError(Exception):
    """What stops the preparation; the message is for the user."""


def say(text):
    """Tell the user what happens; standard output is the started program's alone."""
    print("qatviz: " + text, file=sys.stderr, flush=True)


def clean_environ(**changes):
    """Return this process's environment without what would make another Python import the wrong files."""
    environ = dict(os.environ, **changes)
    for name in ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"):
        environ.pop(name, None)
    return environ


def output_of(command, timeout=COMMAND_TIMEOUT_S, **options):
    """Run a command and return (exit code, stdout, stderr); 127 where it cannot be started, 124 where it hangs."""
    try:
        done = subprocess.run(  # noqa: UP022 (Python 3.6 has no capture_output)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            errors="replace",
            timeout=timeout,
            **options,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {timeout} s"
    except OSError as error:
        return 127, "", str(error)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def environment_python(folder=None):
    """Return the path of the interpreter of a virtual environment, by default of this checkout's."""
    folder = folder or ENVIRONMENT
    return os.path.join(folder, "Scripts", "python.exe") if ON_WINDOWS else os.path.join(folder, "bin", "python")


def packages_folder():
    """Return where the environment has its packages."""
    return os.path.join(ENVIRONMENT, *(["Lib"] if ON_WINDOWS else ["lib", "python3.7"]), "site-packages")


def pip_install(folder, arguments, **options):
    """Install with a virtual environment's pip, into that environment whatever the user's settings say."""
    environ = clean_environ(PIP_USER="0")
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        environ.pop(name, None)
    command = [environment_python(folder), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    return subprocess.call(command + arguments, stdout=sys.stderr, env=environ, **options)
