"""Stand-in for a CPython 3.7 with venv and pip: ``fake_python.py INTERPRETER ARGUMENTS...``.

It creates and changes the same files in the same order, but small ones and without any download. A variable chooses
one of the MOMENTS (see bootstrap_fakes.py): QATVIZ_FAKE_KILL kills the process group there, QATVIZ_FAKE_HOLD waits
there until the file HELD, next to the environment, has been removed. Each moment appends a line to the file LOG there.
"""

import json
import os
import shutil
import signal
import sys
import time

HELD, LOG = "held", "moments"
#: What the installation of the project installs.
PROJECT = ("numpy", "tensorflow", "qatviz")
VERSIONS = {"pip": "24.0", "setuptools": "67.8.0", "wheel": "0.42.0"}
VERSIONS.update(numpy="1.18.5", tensorflow="1.15.5", qatviz="0.1.0")
#: Packages whose metadata comes first in their wheels.
METADATA_FIRST = ("tensorflow",)
FIRST_PIP = "22.0.4"


def at(moment, folder):
    """Log a moment, and be killed or wait if it is the chosen one."""
    place = os.path.dirname(folder)
    with open(os.path.join(place, LOG), "a") as file:
        file.write(moment + "\n")
    if os.environ.get("QATVIZ_FAKE_KILL") == moment:
        os.killpg(0, signal.SIGKILL)
    if os.environ.get("QATVIZ_FAKE_HOLD") == moment:
        held = os.path.join(place, HELD)
        open(held, "x").close()
        while os.path.exists(held):
            time.sleep(0.01)


def packages_of(folder):
    return os.path.join(folder, "lib", "python3.7", "site-packages")


def make_environment(folder):
    """Create a virtual environment: folders, configuration, interpreter and pip, in the order of venv."""
    os.makedirs(packages_of(folder))
    os.makedirs(os.path.join(folder, "bin"))
    with open(os.path.join(folder, "pyvenv.cfg"), "w") as file:
        file.write("version = 3.7.16\n")
    at("environment begun", folder)
    shutil.copy(sys.argv[1], os.path.join(folder, "bin", "python"))
    install(folder, "pip", FIRST_PIP, "first pip half there")


def install(folder, name, version, half, removed=None):
    """Write the modules of a package and its metadata, in the order of its wheel; then delete the old version."""
    packages = packages_of(folder)
    modules = [os.path.join(name, module) for module in ("__init__.py", "__main__.py")]
    information = f"{name}-{version}.dist-info"
    record = os.path.join(information, "RECORD")
    contents = dict.fromkeys(modules, f"# {version}\n")
    rows = [f"{path},sha256=x,{len(content)}\n" for path, content in contents.items()]
    contents[record] = "".join(rows)
    for path in sorted(contents, key=lambda path: (path == record) != (name in METADATA_FIRST)):
        os.makedirs(os.path.dirname(os.path.join(packages, path)), exist_ok=True)
        with open(os.path.join(packages, path), "w") as file:
            file.write(contents[path])
        if half and path == modules[0]:
            at(half, folder)
    open(os.path.join(packages, information, "INSTALLER"), "x").close()
    for old in removed or ():
        shutil.rmtree(os.path.join(packages, old))


def pip_install(folder, arguments):
    """Install what pip takes for not installed: what has no metadata of the wanted version."""
    packages = packages_of(folder)
    if not os.path.exists(os.path.join(packages, "pip", "__main__.py")):
        sys.exit("No module named pip.__main__; 'pip' is a package and cannot be directly executed")
    wanted = list(PROJECT) if "-e" in arguments else [name for name in arguments if name in VERSIONS]
    at("download", folder)
    for name in wanted:
        installed = [entry for entry in os.listdir(packages) if entry.startswith(name + "-")]
        if f"{name}-{VERSIONS[name]}.dist-info" in installed:
            continue
        hidden = []
        for entry in [name, *installed] if installed else []:
            hidden.append("~" + entry[1:])
            os.rename(os.path.join(packages, entry), os.path.join(packages, hidden[-1]))
        half = {"pip": "pip half upgraded", "numpy": "package half there", "tensorflow": "metadata before its files"}
        install(folder, name, VERSIONS[name], half.get(name), hidden)


def missing(folder):
    """Return the packages of which a module is missing."""
    paths = [(name, os.path.join(packages_of(folder), name)) for name in VERSIONS]
    return [
        name
        for name, path in paths
        if any(not os.path.exists(os.path.join(path, module)) for module in ("__init__.py", "__main__.py"))
    ]


def main(interpreter, *arguments):
    folder = os.path.dirname(os.path.dirname(interpreter))
    if arguments[:2] == ("-m", "venv"):
        make_environment(arguments[2])
    elif arguments[:2] == ("-m", "pip"):
        if "install" not in arguments:
            return 1  # no setting
        pip_install(folder, arguments)
    elif "import tensorflow" in arguments:
        at("installed", folder)
        return 1 if "tensorflow" in missing(folder) else 0
    elif "-c" in arguments and "import pip" in arguments[1]:
        if not os.path.exists(os.path.join(packages_of(folder), "pip", "__init__.py")):
            return 1
        print("3 7 x86_64")
    elif "-c" in arguments:  # the probe for a CPython 3.7
        print(json.dumps([interpreter, [3, 7, 16], "CPython", 64, "x86_64", True, ""]))
    else:
        print(json.dumps({"arguments": arguments, "missing": missing(folder)}))
        return 7
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
