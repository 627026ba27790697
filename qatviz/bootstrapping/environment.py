"""The environment: made once, and trusted only with its stamp, which is written last."""

import contextlib
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

from qatviz.bootstrapping.common import (
    ENVIRONMENT,
    ON_WINDOWS,
    ROOT,
    BootstrapError,
    clean_environ,
    environment_python,
    output_of,
    packages_folder,
    pip_install,
    say,
)
from qatviz.bootstrapping.interpreter import find_python

STAMP = os.path.join(ENVIRONMENT, "qatviz-stamp.json")


def fingerprint():
    """Return a digest of all that an installed environment depends on."""
    digest = hashlib.sha256(ROOT.encode("utf-8", "surrogateescape"))
    for path in ("setup.py", "constraints.txt", os.path.join(".venv", "pyvenv.cfg")):
        try:
            with open(os.path.join(ROOT, path), "rb") as file:
                digest.update(file.read())
        except FileNotFoundError:
            digest.update(b"missing")
    return digest.hexdigest()


def read_stamp():
    """Return the stamp's contents, or an empty dict unless it was written for the environment as it is now."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    current = isinstance(stamp, dict) and stamp.get("fingerprint") == fingerprint()
    return stamp if current and os.path.exists(environment_python()) else {}


def write_stamp(**facts):
    """Replace the stamp by one for the environment as it is now; a reader sees the old or the new one."""
    partial = f"{STAMP}.{os.getpid()}"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(dict(facts, fingerprint=fingerprint()), file)
    os.replace(partial, STAMP)


@contextlib.contextmanager
def exclusive():
    """Keep other bootstraps of this checkout out, by a lock on this very file, so that none is left behind.

    Gives the locked file: what inherits it keeps the lock, even when this process is killed.
    """
    with open(__file__, "r+b") as file:
        if not try_lock(file):
            say("another bootstrap is preparing this checkout; waiting for it")
            while not try_lock(file):
                time.sleep(0.2)
        yield file


def try_lock(file):
    """Lock an open file until it is closed, and tell whether that worked."""
    try:
        if ON_WINDOWS:
            import msvcrt

            file.seek(1 << 30)  # Windows forbids others to read what is locked, so lock a byte past the end.
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def ensure_environment():
    """Make the environment, or bring it up to date, unless its stamp says that there is nothing to do."""
    if read_stamp():
        return
    with exclusive() as lock:
        if read_stamp():
            return
        with contextlib.suppress(FileNotFoundError):
            os.remove(STAMP)
        fault = environment_fault() if os.path.lexists(ENVIRONMENT) else None
        if fault:
            say("making .venv anew: " + fault)
            os.unlink(ENVIRONMENT) if os.path.islink(ENVIRONMENT) else shutil.rmtree(ENVIRONMENT)
        inherit = {} if ON_WINDOWS else {"pass_fds": [lock.fileno()]}
        if not os.path.lexists(ENVIRONMENT):
            python = find_python()
            say("making .venv with " + python)
            make = [python, "-m", "venv", ENVIRONMENT]
            code, out, err = output_of(make, timeout=None, env=clean_environ(), **inherit)
            if code:
                raise BootstrapError(f"{python} could not make {ENVIRONMENT}:\n{err or out}")
        install(inherit)
        write_stamp()


def environment_fault():
    """Return what is wrong with an environment that has no valid stamp, or None.

    An installation that was cut off leaves packages that pip takes for whole; here, each one's files are compared with
    its own list of them.
    """
    question = [environment_python(), "-c", "import pip, sys; print(*sys.version_info[:2])"]
    if output_of(question, env=clean_environ())[:2] != (0, "3 7"):
        return "its Python does not start, or isn't 3.7 with pip"
    packages = packages_folder()
    for entry in os.listdir(packages):
        if entry.startswith("~") or (entry.endswith(".dist-info") and not is_whole(packages, entry)):
            return "an installation was cut off at " + entry
    return None


def is_whole(packages, entry):
    """Tell whether all files on a distribution's list are there in their full size."""
    try:
        with open(os.path.join(packages, entry, "RECORD"), encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        return all(os.path.getsize(os.path.join(packages, path)) == int(size) for path, _, size in rows if size)
    except (OSError, ValueError):
        return False


def install(inherit):
    """Install the package, editable, and everything it needs, at the pinned versions."""
    say("installing qatviz with TensorFlow 1.15 and Qt into .venv; the first time, this downloads some 200 MB")
    options = ["--no-warn-script-location", "-c", "constraints.txt"]
    if not sys.stderr.isatty():
        options += ["--progress-bar", "off"]
    # Without isolation, the package is built by the pinned setuptools and not by the newest one.
    tools = ["--upgrade", "pip", "setuptools", "wheel"]
    for step in (tools, ["--no-build-isolation", "--use-pep517", "-e", ".[test]"]):
        if pip_install(ENVIRONMENT, options + step, cwd=ROOT, **inherit):
            raise BootstrapError("pip could not install qatviz (its reason is above); call this again to go on")
    if subprocess.call([environment_python(), "-W", "ignore", "-c", "import tensorflow"], env=clean_environ()):
        raise BootstrapError(
            "TensorFlow 1.15 does not start here (the reason is above; where there is none, the "
            "processor lacks the AVX instructions that its wheels use)"
        )
