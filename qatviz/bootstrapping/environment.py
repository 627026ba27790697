"""Creation of the virtual environment .venv.

A stamp file, written last, marks the environment as complete and up to date.
"""

import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, BinaryIO, Dict, Iterator, List, Optional

from qatviz.atomic_files import write_file
from qatviz.bootstrapping.common import (
    ENVIRONMENT,
    ON_WINDOWS,
    ROOT,
    BootstrapError,
    clean_environment,
    environment_python,
    log,
    packages_folder,
    pip_install,
    run_captured,
)
from qatviz.bootstrapping.interpreter import find_python
from qatviz.bootstrapping.network import advice, connection_fault, index_url
from qatviz.bootstrapping.viewer import can_have_tensorflow, viewer_choice
from qatviz.tensorflow_presence import X86_64

STAMP = os.path.join(ENVIRONMENT, "qatviz-stamp.json")
#: Characters that the path of an environment can't contain, with the reason.
UNUSABLE = {
    "$": "pip of Python 3.7 reads it as the start of a variable's name",
    os.pathsep: "it separates the folders in PATH",
    **dict.fromkeys('"`', "shells evaluate it in the scripts that venv and pip write"),
    **dict.fromkeys("\r\n", "it ends a line in the files that venv and pip write"),
}
#: Line of constraints.txt: name and version of a package, and the operating system that it is (not) for, if any.
PIN = re.compile(r'(?P<name>[\w.-]+)==(?P<version>[\w.]+)(; sys_platform (?P<test>[=!]=) "(?P<system>\w+)")?')
#: Largest number of missing packages in a message.
SHOWN_PACKAGES = 6


def fingerprint() -> str:
    """Return a digest of everything that an installed environment depends on."""
    digest = hashlib.sha256(ROOT.encode("utf-8", "surrogateescape"))
    for path in ("setup.py", "constraints.txt", os.path.join(".venv", "pyvenv.cfg")):
        try:
            with open(os.path.join(ROOT, path), "rb") as file:
                digest.update(file.read())
        except FileNotFoundError:
            digest.update(b"missing")
    return digest.hexdigest()


def read_stamp() -> Dict[str, Any]:
    """Return the contents of the stamp, or an empty dict if it does not match the present environment."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            stamp: Dict[str, Any] = json.load(file)
    except (OSError, ValueError):
        return {}
    current = isinstance(stamp, dict) and stamp.get("fingerprint") == fingerprint()
    return stamp if current and os.path.exists(environment_python()) else {}


def write_stamp(**facts: Any) -> None:
    """Replace the stamp atomically by one for the present environment, with additional entries."""
    write_file(STAMP, json.dumps(dict(facts, fingerprint=fingerprint())).encode("utf-8"))


@contextlib.contextmanager
def exclusive_lock() -> Iterator[BinaryIO]:
    """Hold this checkout's bootstrap lock; yield the locked file.

    The lock is on this source file, so no lock file can be left behind. A child process that inherits the open file
    keeps the lock, even if this process is killed.
    """
    with open(__file__, "r+b") as file:
        if not try_lock(file):
            log("another bootstrap.py is setting up this checkout; waiting for it")
            while not try_lock(file):
                time.sleep(0.2)
        yield file


def try_lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed; return whether the lock was obtained."""
    try:
        if sys.platform == "win32":  # not ON_WINDOWS: this form tells mypy which modules there are
            import msvcrt

            file.seek(1 << 30)  # Locked bytes cannot be read by others on Windows: lock one past the end.
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def ensure_environment() -> None:
    """Create or update the environment, unless its stamp is up to date."""
    if read_stamp():
        return
    for character, reason in UNUSABLE.items():
        if character in ROOT:
            raise BootstrapError(
                f"{ROOT!r}: no environment can be created in a folder with {character!r} in its path: {reason}; move "
                "the checkout to another folder"
            )
    with exclusive_lock() as lock:
        if read_stamp():
            return
        with contextlib.suppress(FileNotFoundError):
            os.remove(STAMP)
        fault = find_environment_fault() if os.path.lexists(ENVIRONMENT) else None
        if fault:
            log("creating .venv again: " + fault)
            os.unlink(ENVIRONMENT) if os.path.islink(ENVIRONMENT) else shutil.rmtree(ENVIRONMENT)
        inherit = {} if ON_WINDOWS else {"pass_fds": [lock.fileno()]}
        if not os.path.lexists(ENVIRONMENT):
            found = find_python()
            python, options = viewer_choice() if found is None else (found, [])
            log("creating .venv with " + python)
            make = [python, "-m", "venv", *options, ENVIRONMENT]
            code, out, err = run_captured(make, timeout=None, env=clean_environment(), **inherit)
            if code:
                raise BootstrapError(f"{python} could not create {ENVIRONMENT}:\n{err or out}")
        install(inherit)
        write_stamp()


def find_environment_fault() -> Optional[str]:
    """Return why an environment without a valid stamp has to be created again; None if pip can continue in it.

    After an interrupted installation, pip takes incomplete packages for installed ones. Therefore the files of each
    package are compared with its own list of files.
    """
    if not environment_facts() or not (is_for_tensorflow() or is_viewer()):
        return "its Python does not start or is not 3.7 with pip"
    packages = packages_folder()
    entries = os.listdir(packages)
    for entry in entries:
        if entry.startswith("~") or (entry.endswith(".dist-info") and not is_complete(packages, entry)):
            return "the installation of " + entry + " was interrupted"
    # A package's own list of files comes last. Without it, pip installs the package again; but not itself.
    if not any(entry.startswith("pip-") and entry.endswith(".dist-info") for entry in entries):
        return "the installation of pip was interrupted"
    return None


def environment_facts() -> List[str]:
    """Return major and minor version and processor of the environment's Python; empty if it does not start with pip."""
    question = "import pip, platform, sys; print(*sys.version_info[:2], platform.machine().lower())"
    code, out, _ = run_captured([environment_python(), "-c", question], env=clean_environment())
    return [] if code else out.split()


def is_for_tensorflow() -> bool:
    """Return whether the environment's Python is one that TensorFlow 1.15 can be installed for."""
    facts = environment_facts()
    return facts[:2] == ["3", "7"] and facts[-1] in X86_64


def is_viewer() -> bool:
    """Return whether the environment is without TensorFlow, which has no wheels for this machine's processor."""
    return not can_have_tensorflow() and not is_for_tensorflow()


def is_complete(packages: str, entry: str) -> bool:
    """Return whether all files in a distribution's RECORD exist with the recorded sizes."""
    try:
        with open(os.path.join(packages, entry, "RECORD"), encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        return all(os.path.getsize(os.path.join(packages, path)) == int(size) for path, _, size in rows if size)
    except (OSError, ValueError):
        return False


def missing_packages() -> List[str]:
    """Return "name version" of each package that is pinned for this system but not installed in the environment."""
    try:
        installed = {normalized(entry) for entry in os.listdir(packages_folder())}
    except OSError:
        installed = set()
    with open(os.path.join(ROOT, "constraints.txt"), encoding="utf-8") as file:
        pins = [PIN.match(line) for line in file]
    return [
        f"{pin['name']} {pin['version']}"
        for pin in pins
        if pin
        and (not pin["test"] or (pin["system"] == sys.platform) == (pin["test"] == "=="))
        and normalized(f"{pin['name']}-{pin['version']}.dist-info") not in installed
    ]


def normalized(name: str) -> str:
    """Return the name of a distribution, or of the folder of its metadata, in the form in which names are compared."""
    return re.sub("[-_.]+", "-", name).lower()


def install(inherit: Dict[str, Any]) -> None:
    """Install the package in editable mode and its dependencies at the pinned versions.

    Parameters
    ----------
    inherit : dict
        Arguments of `subprocess.call` that pass on the lock.

    Raises
    ------
    BootstrapError
        If pip fails, or TensorFlow cannot be imported afterwards.
    """
    options, has_tensorflow = ["--no-warn-script-location"], not is_viewer()
    if not has_tensorflow:
        log("installing qatviz with Qt, without TensorFlow, into .venv; the first time, this downloads about 100 MB")
    else:
        log("installing qatviz with TensorFlow 1.15 and Qt into .venv; the first time, this downloads about 200 MB")
        options += ["-c", "constraints.txt"]  # the pins are versions for CPython 3.7
    if not sys.stderr.isatty():
        options += ["--progress-bar", "off"]
    # Without isolation, the package is built by the pinned setuptools instead of the newest.
    tools = ["--upgrade", "pip", "setuptools", "wheel"]
    for arguments in (tools, ["--no-build-isolation", "--use-pep517", "-e", ".[test]"]):
        if pip_install(ENVIRONMENT, options + arguments, cwd=ROOT, **inherit):
            missing = missing_packages() if has_tensorflow else []
            names = ", ".join(missing[:SHOWN_PACKAGES]) + (", …" if len(missing) > SHOWN_PACKAGES else "")
            raise BootstrapError(
                f"pip could not install qatviz (for the reason above); missing in .venv: {names or 'qatviz itself'}"
                f"{advice(connection_fault(index_url()))}.\nCall bootstrap.py again to continue"
            )
    if not has_tensorflow:
        log("the viewer is ready: open a run with bootstrap.py run open RUN")
    elif subprocess.call([environment_python(), "-W", "ignore", "-c", "import tensorflow"], env=clean_environment()):
        raise BootstrapError(
            "TensorFlow 1.15 cannot be imported (for the reason above; if there is none, the processor lacks the AVX "
            "instructions that its wheels need)"
        )
