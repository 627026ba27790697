"""Packaging: the wheel has all files of the program, and the pins are complete and within the ranges."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tensorflow_needed import needs_tensorflow

import qatviz

try:
    import importlib_metadata
except ImportError:  # part of the standard library since 3.8
    import importlib.metadata as importlib_metadata

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOT_IN_A_CLONE = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "runs", "*.egg-info", "__pycache__", ".*cache"
)
#: Where TensorFlow 1.15 can be installed, whose versions constraints.txt pins; and some of the others.
WITH_TENSORFLOW = {"python_version": "3.7", "platform_python_implementation": "CPython", "platform_machine": "x86_64"}
ELSEWHERE = [
    dict(WITH_TENSORFLOW, **change)
    for change in (
        {"python_version": "3.8"},
        {"python_version": "3.11"},
        {"python_version": "3.13"},
        {"platform_machine": "aarch64"},
        {"platform_machine": "arm64", "python_version": "3.12"},
        {"platform_python_implementation": "PyPy"},
    )
]
PLATFORMS = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}


def run(*command, **options):
    """Run a command and return its standard output; print the output if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Return a copy of the checkout as a clone has it: what earlier builds left must not get into the wheel."""
    copy = str(tmp_path_factory.mktemp("tree") / "qatviz")
    shutil.copytree(ROOT, copy, ignore=NOT_IN_A_CLONE)
    return copy


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    """Return the path of the wheel built from the tree, without a network."""
    folder = str(tmp_path_factory.mktemp("wheel"))
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", folder, tree)
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


@pytest.fixture(scope="module")
def metadata(wheel):
    """Return the wheel's metadata as an e-mail message."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def test_the_wheel_has_every_module_and_asset_and_nothing_else(tree, wheel):
    expected = set()
    for top, place in (("qatviz", "qatviz"), ("assets", "qatviz/assets")):
        for folder, _, names in os.walk(os.path.join(tree, top)):
            inside = os.path.normpath(os.path.join(place, os.path.relpath(folder, os.path.join(tree, top))))
            # The README's pictures are for those who read it.
            expected.update(inside.replace(os.sep, "/") + "/" + name for name in names if not name.endswith(".png"))
    assert {"qatviz/assets/mnist_5k.npz", "qatviz/assets/icons/play.svg", "qatviz/report/report.css"} <= expected
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == expected


def test_an_installed_wheel_finds_and_loads_its_own_data(wheel, tmp_path):
    site = str(tmp_path / "site")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--target", site, wheel)
    program = (
        "from qatviz.asset_files import asset_path; from qatviz.data import load; d = load('mnist-5k'); "
        "print(asset_path('mnist_5k.npz'), asset_path('icons/play.svg'), len(d.x_train), len(d.x_test))"
    )
    told = run(sys.executable, "-c", program, cwd=str(tmp_path), env=dict(os.environ, PYTHONPATH=site))
    assets = os.path.join(site, "qatviz", "assets")
    assert told.split() == [
        os.path.join(assets, "mnist_5k.npz"),
        os.path.join(assets, "icons/play.svg"),
        "4000",
        "1000",
    ]


def test_the_wheel_has_its_metadata(wheel, metadata):
    assert metadata["Name"] == "qatviz"
    assert metadata["Version"] == qatviz.__version__
    assert metadata["Requires-Python"] == ">=3.7"
    assert metadata["License"] == "Apache-2.0"
    assert metadata.get_payload().startswith("# qatviz")
    with zipfile.ZipFile(wheel) as archive:
        contents = {name.split("/")[-1]: archive.read(name) for name in archive.namelist() if ".dist-info/" in name}
    assert b"qatviz = qatviz.cli:main" in contents["entry_points.txt"]
    assert b"Apache License" in contents["LICENSE"]


def test_the_source_distribution_has_all_files_to_build_from(tree, tmp_path):
    run(sys.executable, "setup.py", "-q", "sdist", "--formats=zip", "-d", str(tmp_path), cwd=tree)
    (archive,) = tmp_path.glob("*.zip")
    with zipfile.ZipFile(str(archive)) as contents:
        names = {name.split("/", 1)[1] for name in contents.namelist()}
    assert {
        "setup.py",
        "constraints.txt",
        "LICENSE",
        "README.md",
        "bootstrap.py",
        "qatviz/bootstrapping/common.py",
        "assets/icons/play.svg",
        "assets/mnist_5k.npz",
        "qatviz/report/report.css",
        "qatviz/__init__.py",
        "tests/conftest.py",
        "pytest.ini",
        "tests/golden/records/shapes.zip",
        "tests/golden/texts/shapes-c/shapes/Makefile",
    } <= names


def constraints():
    """Return the requirements that constraints.txt states."""
    with open(os.path.join(ROOT, "constraints.txt"), encoding="utf-8") as file:
        lines = [line.split("#")[0].strip() for line in file]
    return [Requirement(line) for line in lines if line]


def pinned_on(platform):
    """Return {canonical name: version} that constraints.txt gives on a platform, which it must pin exactly and once."""
    pins = {}
    for requirement in constraints():
        if requirement.marker is None or requirement.marker.evaluate({"sys_platform": platform}):
            (specifier,) = requirement.specifier
            name = canonicalize_name(requirement.name)
            assert specifier.operator == "==" and "*" not in specifier.version and name not in pins
            pins[name] = specifier.version
    return pins


def applicable(requirements, platform, extra=""):
    """Yield those requirements, given as text, that hold on a platform where TensorFlow can be installed."""
    system = {"sys_platform": platform, "platform_system": PLATFORMS[platform], "extra": extra}
    for text in requirements:
        requirement = Requirement(text)
        environment = dict(WITH_TENSORFLOW, **system)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_pin_is_within_the_range_that_setup_py_allows(metadata, platform):
    pins = pinned_on(platform)
    for requirement in applicable(metadata.get_all("Requires-Dist"), platform, extra="test"):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def requirements_of(name):
    """Return what an installed distribution requires; nothing where it is another platform's, and not installed
    here."""
    try:
        return importlib_metadata.requires(name) or ()
    except importlib_metadata.PackageNotFoundError:
        return ()


@pytest.mark.parametrize("environment", ELSEWHERE)
@pytest.mark.parametrize("extra", ["", "test"])
def test_no_tensorflow_is_required_elsewhere(metadata, environment, extra):
    required = {}
    for requirement in map(Requirement, metadata.get_all("Requires-Dist")):
        if requirement.marker is None or requirement.marker.evaluate(dict(environment, extra=extra)):
            required.setdefault(canonicalize_name(requirement.name), []).append(requirement.specifier)
    assert {"pyqt5", "numpy", "h5py", "pillow"} <= set(required)
    assert not {"tensorflow", "protobuf", "onnx", "onnxruntime"} & set(required)
    for name, version in (("numpy", "2.3.0"), ("numpy", "1.21.6"), ("h5py", "3.12.0")):
        (specifier,) = required[name]
        assert version in specifier


@pytest.mark.parametrize("machine", ["x86_64", "AMD64"])
def test_tensorflow_is_required_where_it_exists(metadata, machine):
    environment = dict(WITH_TENSORFLOW, platform_machine=machine, extra="")
    for text in metadata.get_all("Requires-Dist"):
        if Requirement(text).name == "tensorflow":
            assert Requirement(text).marker.evaluate(environment)
            return
    raise AssertionError("TensorFlow is not required")


@needs_tensorflow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_package_that_gets_installed_is_pinned(metadata, platform):
    pins, seen = pinned_on(platform), set()
    requirements = applicable(metadata.get_all("Requires-Dist"), platform, extra="test")
    unseen = ["pip", "setuptools", "wheel"] + [requirement.name for requirement in requirements]
    while unseen:
        name = canonicalize_name(unseen.pop())
        if name not in seen:
            seen.add(name)
            unseen += [requirement.name for requirement in applicable(requirements_of(name), platform)]
    assert {"tensorflow", "gast", "numpy", "pyqt5-sip"} <= seen
    assert seen - set(pins) == set(), "constraints.txt lacks these"
    assert set(pins) - seen == set(), "constraints.txt pins these, which nothing needs"
