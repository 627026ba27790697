#!/usr/bin/env python3
"""Prepare this checkout of qatviz and do one thing with it.

    python3 bootstrap.py run [arguments of qatviz]    without arguments: train the default network
    python3 bootstrap.py test [arguments of pytest]
    python3 bootstrap.py bench [--only NAME]

The first call looks for CPython 3.7 (the only one that TensorFlow 1.15 has wheels for; when there is none, it is fetched
with uv), makes .venv beside this file and installs the package there with the versions of constraints.txt. Later calls
find that done and lose no time, unless setup.py or constraints.txt changed. Any Python from 3.6 on can run this file.

Environment: QATVIZ_PYTHON names the CPython 3.7 to use, instead of the first one found.
"""

import contextlib
import csv
import glob
import hashlib
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = os.path.join(ROOT, ".venv")
STAMP = os.path.join(ENVIRONMENT, "qatviz-stamp.json")
ON_WINDOWS = os.name == "nt"
ON_LINUX = sys.platform.startswith("linux")
STAMP_FORMAT = 1
PROBE_TIMEOUT_S = 30
XVFB_TIMEOUT_S = 20

BY_HAND = """To go on, install CPython 3.7 (64-bit, x86-64) by hand in one of these ways and call this again:
  any system:     conda create -n python37 python=3.7
  Linux, macOS:   pyenv install 3.7
  Windows, macOS: the installer of Python 3.7.9 from https://www.python.org/downloads/release/python-379/
or name an interpreter you have: QATVIZ_PYTHON=/path/to/python3.7"""


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


def output_of(command, **options):
    """Run a command and return (exit code, stdout, stderr); 127 where it cannot be started, 124 where it hangs."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              universal_newlines=True, errors="replace", timeout=PROBE_TIMEOUT_S, **options)
    except subprocess.TimeoutExpired:
        return 124, "", "no answer within {} s".format(PROBE_TIMEOUT_S)
    except OSError as error:
        return 127, "", str(error)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


# --- CPython 3.7: which interpreters there are, and which of them will do ---------------------------------------------

PROBE = """
import json, os, platform, struct, sys
try:
    import ensurepip, venv
    complete = True
except ImportError:
    complete = False
base = "" if sys.prefix == sys.base_prefix else sys.base_prefix
print(json.dumps([sys.executable, list(sys.version_info[:3]), platform.python_implementation(),
                  struct.calcsize("P") * 8, platform.machine(), complete, base]))
"""


class Unsuitable(Exception):
    """Why an interpreter cannot be used."""


def probe(path):
    """Run the interpreter at `path` and return the path to make the environment with.

    That is another one where `path` is inside a virtual environment, which may be gone tomorrow.
    Raises Unsuitable where it isn't a complete 64-bit x86 CPython 3.7.
    """
    code, out, err = output_of([path, "-c", PROBE], env=clean_environ())
    try:
        executable, version, implementation, bits, machine, complete, base = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError):
        raise Unsuitable("does not start ({})".format(err.splitlines()[0] if err else "exit code {}".format(code)))
    if version[:2] != [3, 7]:
        raise Unsuitable("is Python {}.{}.{}".format(*version))
    if implementation != "CPython":
        raise Unsuitable("is " + implementation)
    if bits != 64 or machine.lower() not in ("x86_64", "amd64"):
        raise Unsuitable("is built for {} with {} bits, not for 64-bit x86".format(machine, bits))
    if base:
        return probe(existing_base(base))
    if not complete:
        raise Unsuitable("lacks the modules venv and ensurepip (Debian, Ubuntu: apt-get install python3.7-venv)")
    return executable


def existing_base(prefix):
    """Return the interpreter that belongs to a virtual environment's base prefix."""
    for path in (os.path.join(prefix, "bin", "python3.7"), os.path.join(prefix, "python.exe")):
        if os.path.exists(path):
            return path
    raise Unsuitable("is in a virtual environment whose base, {}, is gone".format(prefix))


def candidates(environ=os.environ, home=os.path.expanduser("~")):
    """Yield the path of every interpreter worth a probe, the most likely ones first; some may not exist."""
    yield sys.executable
    suffix = ".exe" if ON_WINDOWS else ""
    for name in ("python3.7", "python3", "python"):
        for folder in environ.get("PATH", "").split(os.pathsep):
            yield os.path.join(folder or os.curdir, name + suffix)
    if ON_WINDOWS and shutil.which("py"):
        yield output_of(["py", "-3.7", "-c", "import sys; print(sys.executable)"])[1]

    prefixes = []
    for folder in (environ.get("PYENV_ROOT"), os.path.join(home, ".pyenv"), os.path.join(home, ".pyenv", "pyenv-win")):
        prefixes.append(os.path.join(folder or "", "versions", "*"))
    prefixes.append(environ.get("CONDA_PREFIX", ""))
    with contextlib.suppress(OSError), open(os.path.join(home, ".conda", "environments.txt"), encoding="utf-8") as file:
        prefixes += [glob.escape(line.strip()) for line in file]
    for folder in ("miniconda3", "anaconda3", "miniforge3", "mambaforge"):
        prefixes += [os.path.join(home, folder), os.path.join(home, folder, "envs", "*")]
    prefixes += [os.path.join(folder, "cpython-3.7*") for folder in uv_folders(environ, home)]
    prefixes += [
        os.path.join(home, ".asdf", "installs", "python", "3.7*"),
        os.path.join(environ.get("LOCALAPPDATA", ""), "Programs", "Python", "Python37"),
        os.path.join(environ.get("SYSTEMDRIVE", ""), os.sep, "Python37"),
        "/Library/Frameworks/Python.framework/Versions/3.7",
        "/opt/python/cp37-cp37m", "/opt/conda", "/opt/conda/envs/*", "/usr/local", "/usr",
    ]
    for prefix in filter(os.path.isabs, prefixes):
        for found in sorted(glob.glob(prefix), reverse=True):
            yield os.path.join(found, "python.exe") if ON_WINDOWS else os.path.join(found, "bin", "python3.7")


def uv_folders(environ, home):
    """Return where uv keeps the interpreters it installs."""
    return [environ.get("UV_PYTHON_INSTALL_DIR", ""),
            os.path.join(environ.get("XDG_DATA_HOME", ""), "uv", "python"),
            os.path.join(home, ".local", "share", "uv", "python"),
            os.path.join(environ.get("APPDATA", ""), "uv", "python"),
            os.path.join(environ.get("APPDATA", ""), "uv", "data", "python")]


def find_python():
    """Return the path of a CPython 3.7, fetched when the machine has none."""
    chosen = os.environ.get("QATVIZ_PYTHON")
    if chosen:
        try:
            return probe(chosen)
        except Unsuitable as reason:
            raise BootstrapError("QATVIZ_PYTHON={} {}; a 64-bit x86 CPython 3.7 is needed".format(chosen, reason))
    seen, refused = set(), []
    for path in candidates():
        path = os.path.abspath(path)
        if path in seen or not os.path.isfile(path) or path.startswith(ENVIRONMENT + os.sep):
            continue
        seen.add(path)
        try:
            return probe(path)
        except Unsuitable as reason:
            refused.append("  {} {}".format(path, reason))
    say("no CPython 3.7 found. Looked at:\n" + "\n".join(refused))
    return fetch_python()


def fetch_python():
    """Install CPython 3.7 with uv, itself installed from PyPI where it is missing, and return its path."""
    on_apple_arm = sys.platform == "darwin" and platform.machine() == "arm64"
    if platform.machine().lower() not in ("x86_64", "amd64") and not on_apple_arm:
        raise BootstrapError("TensorFlow 1.15 exists for x86-64 only, and this machine is " + platform.machine())
    wanted = "cpython-3.7-macos-x86_64-none" if on_apple_arm else "cpython-3.7"
    with tempfile.TemporaryDirectory(prefix="qatviz-uv-") as scratch:
        uv = shutil.which("uv")
        if not uv:
            say("fetching uv from PyPI, to install CPython 3.7 with it")
            uv = fetch_uv(scratch)
        say("installing CPython 3.7 with uv, for your user only")
        if subprocess.call([uv, "python", "install", wanted], stdout=sys.stderr, env=clean_environ()):
            raise BootstrapError("uv could not install CPython 3.7 (its reason is above).\n" + BY_HAND)
        folder = output_of([uv, "python", "dir"])[1]
    pattern = ("python.exe",) if ON_WINDOWS else ("bin", "python3.7")
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "cpython-3.7*", *pattern)), reverse=True):
        with contextlib.suppress(Unsuitable):
            return probe(path)
    raise BootstrapError("uv reported success, but there is no usable CPython 3.7 in {}.\n{}".format(folder, BY_HAND))


def fetch_uv(scratch):
    """Install uv under the folder `scratch` and return the path of its program."""
    helper, target = os.path.join(scratch, "helper"), os.path.join(scratch, "uv")
    make = [sys.executable, "-m", "venv", helper]
    # Debian keeps ensurepip in a package of its own, so that a fresh system's Python can't make an environment.
    if subprocess.call(make, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) and \
            not (install_with_apt(["python3-venv"]) and subprocess.call(make, stdout=sys.stderr) == 0):
        raise BootstrapError("{} cannot make a virtual environment to run uv from.\n{}".format(sys.executable, BY_HAND))
    pip = [environment_python(helper), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    # uv is a plain program in a wheel that asks for Python 3.8: the option lets older ones fetch it, too.
    for step in (["--upgrade", "pip"], ["--target", target, "--python-version", "3.8", "--only-binary=:all:", "uv"]):
        if subprocess.call(pip + step, stdout=sys.stderr, env=pip_environ()):
            raise BootstrapError("uv could not be fetched from PyPI (pip's reason is above).\n" + BY_HAND)
    return os.path.join(target, "bin", "uv.exe" if ON_WINDOWS else "uv")


# --- The environment: made once, trusted only with its stamp ----------------------------------------------------------

def environment_python(folder=ENVIRONMENT):
    """Return the path of the interpreter of a virtual environment."""
    return os.path.join(folder, "Scripts", "python.exe") if ON_WINDOWS else os.path.join(folder, "bin", "python")


def pip_environ():
    """Return an environment in which pip installs into its own interpreter, whatever the user's configuration says."""
    environ = clean_environ(PIP_USER="0")
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        environ.pop(name, None)
    return environ


def fingerprint():
    """Return a digest of all that an installed environment depends on."""
    digest = hashlib.sha256(repr((STAMP_FORMAT, ROOT)).encode("utf-8"))
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
    partial = "{}.{}".format(STAMP, os.getpid())
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(dict(facts, fingerprint=fingerprint()), file)
    os.replace(partial, STAMP)


@contextlib.contextmanager
def exclusive():
    """Keep other bootstraps of this checkout out: a lock on this very file, so that none is left behind."""
    with open(os.path.abspath(__file__), "r+b") as file:
        waiting = False
        while not try_lock(file):
            if not waiting:
                say("another bootstrap is preparing this checkout; waiting for it")
            waiting = True
            time.sleep(0.2)
        yield


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
    with exclusive():
        if read_stamp():
            return
        with contextlib.suppress(FileNotFoundError):
            os.remove(STAMP)
        if os.path.lexists(ENVIRONMENT):
            fault = environment_fault()
            if fault:
                say("making .venv anew: " + fault)
                remove_environment()
        if not os.path.lexists(ENVIRONMENT):
            python = find_python()
            say("making .venv with " + python)
            if subprocess.call([python, "-m", "venv", ENVIRONMENT], stdout=sys.stderr, env=clean_environ()):
                raise BootstrapError("{} could not make the environment {}".format(python, ENVIRONMENT))
        install()
        write_stamp()


def remove_environment():
    """Delete the environment, or only the link to it where it is one."""
    try:
        os.unlink(ENVIRONMENT) if os.path.islink(ENVIRONMENT) else shutil.rmtree(ENVIRONMENT)
    except OSError as error:
        raise BootstrapError("cannot remove {} ({}); close what uses it and call this again".format(ENVIRONMENT, error))


def environment_fault():
    """Return what is wrong with an environment that has no valid stamp, or None.

    An installation that was cut off leaves packages which pip takes for installed: each one's files are compared with
    its own list of them.
    """
    code, out, _ = output_of([environment_python(), "-c", "import pip, sys; print(*sys.version_info[:2])"],
                             env=clean_environ())
    if code or out != "3 7":
        return "its Python does not start, or isn't 3.7 with pip"
    library = ("Lib",) if ON_WINDOWS else ("lib", "python3.7")
    packages = os.path.join(ENVIRONMENT, *library, "site-packages")
    for entry in os.listdir(packages):
        if entry.startswith("~"):
            return "an installation was cut off (it left {})".format(entry)
        if entry.endswith(".dist-info"):
            for path in missing_files(packages, entry):
                return "{} is incomplete (it lacks {})".format(entry[:-len(".dist-info")], path)
    return None


def missing_files(packages, entry):
    """Yield the files on a distribution's list that are not there in full."""
    try:
        with open(os.path.join(packages, entry, "RECORD"), encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except OSError:
        yield "RECORD"
        return
    for path, _, size in rows:
        full = os.path.join(packages, path)
        if size and not (os.path.isfile(full) and os.path.getsize(full) == int(size)):
            yield path


def install():
    """Install the package, editable, and everything it needs, at the pinned versions."""
    say("installing qatviz with TensorFlow 1.15 and Qt into .venv; the first time, this downloads some 200 MB")
    pip = [environment_python(), "-m", "pip", "--disable-pip-version-check", "--no-input", "install",
           "--no-warn-script-location", "-c", "constraints.txt"]
    if not sys.stderr.isatty():
        pip += ["--progress-bar", "off"]
    # Built without isolation, the package is built by the pinned setuptools and not by the newest one.
    for step in (["--upgrade", "pip", "setuptools", "wheel"],
                 ["--no-build-isolation", "--use-pep517", "-e", ".[test]"]):
        if subprocess.call(pip + step, cwd=ROOT, stdout=sys.stderr, env=pip_environ()):
            raise BootstrapError("pip could not install qatviz (its reason is above). Once that is mended, call this "
                                 "again: it goes on from here")
    if subprocess.call([environment_python(), "-W", "ignore", "-c", "import tensorflow"], cwd=ROOT, env=clean_environ()):
        raise BootstrapError("TensorFlow 1.15 is installed but does not start here (its reason is above; where there is "
                             "none, the processor lacks the AVX instructions that its wheels need)")


# --- Qt: a window needs system libraries that no wheel brings ---------------------------------------------------------

# Debian's package for each library that PyQt5's wheels and their xcb platform plugin link to without bringing it.
DEBIAN_PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libz.so.1": "zlib1g",
}
LOAD_QT = "from PyQt5 import QtGui, QtWidgets; QtGui.QGuiApplication(['qatviz'])"


def missing_libraries():
    """Return the names of the system libraries that Qt needs and the loader does not find, sorted (Linux)."""
    qt = os.path.join(ENVIRONMENT, "lib", "python3.7", "site-packages", "PyQt5")
    files = glob.glob(os.path.join(glob.escape(qt), "Qt[GWS]*.abi3.so"))
    files += [os.path.join(qt, "Qt5", "plugins", "platforms", "lib{}.so".format(name)) for name in ("qxcb", "qoffscreen")]
    listing = output_of(["ldd"] + files, env=clean_environ(LC_ALL="C"))[1]
    return sorted({line.split()[0] for line in listing.splitlines() if line.endswith("=> not found")})


def superuser():
    """Return what to put before a command to run it as root without a password, or None where that can't be."""
    if os.geteuid() == 0:
        return []
    return ["sudo", "-n"] if output_of(["sudo", "-n", "true"])[0] == 0 else None


def apt_install(packages):
    """Return the command that installs Debian packages."""
    return ["apt-get", "install", "-y", "--no-install-recommends"] + sorted(set(packages))


def install_with_apt(packages):
    """Install Debian packages and tell whether that worked; where it can't, print the command for the user."""
    command = apt_install(packages)
    if not ON_LINUX or not shutil.which("apt-get"):
        say("install them with your system's package manager (Debian's names: {})".format(" ".join(command[4:])))
        return False
    prefix = superuser()
    if prefix is not None:
        say("installing " + " ".join(command[4:]))
        quiet = prefix + ["env", "DEBIAN_FRONTEND=noninteractive"]
        # Where the package lists are old or absent, as in a fresh container, the first try fails.
        for step in (command, ["apt-get", "update"], command):
            code = subprocess.call(quiet + step, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            if code == 0 and step is command:
                return True
    say("to install what is missing: sudo " + " ".join(command))
    return False


def supply_libraries(testing):
    """Name what Qt lacks on this Linux, and install it where possible."""
    libraries = missing_libraries()
    packages = [DEBIAN_PACKAGES[name] for name in libraries if name in DEBIAN_PACKAGES]
    missing = ["Qt's " + name for name in libraries]
    if testing and not shutil.which("Xvfb"):
        missing.append("Xvfb")
        packages.append("xvfb")
    if missing:
        say("missing on this system: " + ", ".join(missing))
    if packages:
        install_with_apt(packages)


def qt_fault(qt_platform, environ):
    """Return why Qt cannot start on one of its platforms ("" for its own choice), or None when it can."""
    if qt_platform:
        environ = dict(environ, QT_QPA_PLATFORM=qt_platform)
    code, _, err = output_of([environment_python(), "-c", LOAD_QT], env=environ)
    return (err or "exit code {}".format(code)) if code else None


def ensure_qt(qt_platform, environ):
    """Check that Qt starts, unless it is known to, and tell the user when it does not."""
    stamp = read_stamp()
    known = stamp.get("qt", [])
    if qt_platform in known:
        return
    fault = qt_fault(qt_platform, environ)
    if fault:
        say("Qt cannot open a window here ({}):\n{}".format(qt_platform or "its default platform", fault))
    else:
        write_stamp(qt=known + [qt_platform])


def has_display(environ=os.environ):
    """Tell whether windows can be shown to somebody."""
    return not ON_LINUX or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def start_xvfb():
    """Start a virtual X server that ends with this process, and return its display name, or None."""
    import ctypes
    libc = ctypes.CDLL(None)

    def end_with_parent():
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: also when the tests are killed, no server stays behind.

    reader, writer = os.pipe()
    with open(reader) as display:
        server = subprocess.Popen(["Xvfb", "-displayfd", str(writer), "-screen", "0", "1920x1080x24", "-nolisten", "tcp"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  pass_fds=[writer], preexec_fn=end_with_parent, start_new_session=True)
        os.close(writer)
        number = display.readline().strip() if select.select([display], [], [], XVFB_TIMEOUT_S)[0] else ""
    if number:
        return ":" + number
    server.kill()
    say("Xvfb does not start; the tests go on without it")
    return None


# --- The commands -----------------------------------------------------------------------------------------------------

def become(arguments, environ, cwd=None):
    """Turn this process into the environment's Python, or on Windows wait for it; return its exit code."""
    command = [environment_python()] + arguments
    if ON_WINDOWS:
        with contextlib.suppress(KeyboardInterrupt):  # The child has got the same Ctrl-C, and ends by itself.
            return subprocess.call(command, env=environ, cwd=cwd)
        return 130
    os.chdir(cwd or os.curdir)
    sys.stdout.flush()
    return os.execve(command[0], command, environ)


def run(arguments):
    """Start qatviz; without arguments, train the default network."""
    environ = clean_environ()
    if not arguments:
        arguments = ["train"]
        if not has_display():
            say("no display here, so the training is shown in the terminal")
        else:
            qt_platform = "xcb" if environ.get("DISPLAY") and ON_LINUX else ""
            if ON_LINUX and qt_platform not in read_stamp().get("qt", []):
                supply_libraries(testing=False)
            ensure_qt(qt_platform, environ)
    return become(["-m", "qatviz"] + arguments, environ)


def test(arguments):
    """Run the tests, on Linux with a virtual X server where there is one."""
    environ = clean_environ()
    if ON_LINUX:
        if "xcb" not in read_stamp().get("qt", []) or not shutil.which("Xvfb"):
            supply_libraries(testing=True)
        display = start_xvfb() if shutil.which("Xvfb") else None
        if display:
            environ["DISPLAY"] = display
        ensure_qt("xcb" if display else "offscreen", environ)
    return become(["-m", "pytest"] + arguments, environ, cwd=ROOT)


def bench(arguments):
    """Run the benchmarks; each prints one JSON object a line."""
    return become([os.path.join("tests", "bench", "run.py")] + arguments, clean_environ(), cwd=ROOT)


COMMANDS = {"run": run, "test": test, "bench": bench}


def main(argv):
    """Do what the command line asks for and return the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        say("unknown command {!r}; allowed: {}".format(argv[0], ", ".join(COMMANDS)))
        return 2
    try:
        ensure_environment()
        return COMMANDS[argv[0]](argv[1:])
    except BootstrapError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next call goes on from here")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
