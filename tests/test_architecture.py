"""Rules on imports between packages, and on the length of files.

Imports are read from the source of every module, functions included, and from what a fresh interpreter has loaded
after importing. New modules and packages are found automatically; those without their own rule get the last one.
"""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_LINES = 500
#: A module below this many lines needs a second importer, or a comment above its imports that says why it is apart.
SMALL_LINES = 60
# The standard library's modules that not every platform has.
SOME_PLATFORMS = {"fcntl", "msvcrt", "resource", "termios", "winreg"}

STANDARD_LIBRARY_ONLY = set()
NUMERIC = {"numpy"}
WINDOW = {"PyQt5"}
TENSORFLOW = {"tensorflow"}
TERMINAL = {"tqdm"}

# What modules may import besides the standard library and qatviz; the first rule whose name is the module or a package
# around it holds.
THIRD_PARTY = [
    ("qatviz.asset_files", STANDARD_LIBRARY_ONLY),
    ("qatviz.atomic_files", STANDARD_LIBRARY_ONLY),
    ("qatviz.augmentation_settings", STANDARD_LIBRARY_ONLY),
    ("qatviz.class_weights", STANDARD_LIBRARY_ONLY),
    ("qatviz.errors", STANDARD_LIBRARY_ONLY),
    ("qatviz.heads", STANDARD_LIBRARY_ONLY),
    ("qatviz.learning_rate", STANDARD_LIBRARY_ONLY),
    ("qatviz.losses", STANDARD_LIBRARY_ONLY),
    ("qatviz.own_functions", STANDARD_LIBRARY_ONLY),
    ("qatviz.metric", STANDARD_LIBRARY_ONLY),
    ("qatviz.scaling", STANDARD_LIBRARY_ONLY),
    ("qatviz.data_options", STANDARD_LIBRARY_ONLY),
    ("qatviz.measure_axis", STANDARD_LIBRARY_ONLY),
    ("qatviz.measures", STANDARD_LIBRARY_ONLY),
    ("qatviz.measure_declaration", STANDARD_LIBRARY_ONLY),
    ("qatviz.name_lookup", STANDARD_LIBRARY_ONLY),
    ("qatviz.number_format", STANDARD_LIBRARY_ONLY),
    ("qatviz.settings", STANDARD_LIBRARY_ONLY),
    ("qatviz.start_settings", STANDARD_LIBRARY_ONLY),
    ("qatviz.optimization_settings", STANDARD_LIBRARY_ONLY),
    ("qatviz.strength_settings", STANDARD_LIBRARY_ONLY),
    ("qatviz.low_bit_settings", STANDARD_LIBRARY_ONLY),
    ("qatviz.setting_declaration", STANDARD_LIBRARY_ONLY),
    ("qatviz.task", STANDARD_LIBRARY_ONLY),
    ("qatviz.tensorflow_presence", STANDARD_LIBRARY_ONLY),
    ("qatviz.presets", STANDARD_LIBRARY_ONLY),
    ("qatviz.bootstrapping", STANDARD_LIBRARY_ONLY),
    ("qatviz.quant.affine", NUMERIC),
    ("qatviz.quant.tie_safe_scales", NUMERIC),
    ("qatviz.quant.tie_safe_sums", NUMERIC),
    ("qatviz.quant.measures", NUMERIC),
    ("qatviz.quant.ranges", NUMERIC),
    ("qatviz.quant.weight_maps", NUMERIC),
    ("qatviz.network.keras_import", NUMERIC | TENSORFLOW | {"h5py"}),
    ("qatviz.network", NUMERIC),
    ("qatviz.inputs", NUMERIC),
    ("qatviz.data.sound_features", NUMERIC | TENSORFLOW),
    ("qatviz.data.tfrecord", NUMERIC | TENSORFLOW),
    ("qatviz.data", NUMERIC | {"PIL"}),
    ("qatviz.telemetry", NUMERIC),
    ("qatviz.protocol", NUMERIC),
    ("qatviz.presentation", NUMERIC),
    ("qatviz.analysis", NUMERIC),
    ("qatviz.correction", NUMERIC),
    ("qatviz.report", NUMERIC | {"markupsafe"}),
    ("qatviz.export.tflite.file", NUMERIC | {"flatbuffers", "tflite"}),
    ("qatviz.export.tflite.metadata", NUMERIC | {"flatbuffers"}),
    ("qatviz.export.tflm.sources", NUMERIC | {"tflite"}),
    ("qatviz.export.tflm.graph", NUMERIC | {"tflite"}),
    ("qatviz.export.onnx.file", NUMERIC | {"onnx"}),
    ("qatviz.export.onnx.runtime", NUMERIC | {"onnxruntime"}),
    ("qatviz.gui", NUMERIC | WINDOW),
    ("qatviz.session.progress", TERMINAL),
    ("qatviz.remote", NUMERIC),
    ("qatviz.session.folders", {"platformdirs"}),
    ("qatviz.session", NUMERIC),
    ("qatviz.app", WINDOW),
    ("qatviz.api", NUMERIC),
    ("qatviz.cli", STANDARD_LIBRARY_ONLY),
    ("qatviz.__main__", STANDARD_LIBRARY_ONLY),
    # Only these import TensorFlow: training, the operations that it and users' graphs are made of, and exports.
    ("qatviz.training", NUMERIC | TENSORFLOW),
    ("qatviz.quant", NUMERIC | TENSORFLOW),
    ("qatviz.export.keras.model", NUMERIC | TENSORFLOW | {"h5py"}),
    ("qatviz.export", NUMERIC | TENSORFLOW),
    ("qatviz", STANDARD_LIBRARY_ONLY),
]
# The parts of qatviz that a window may know; all else reaches it as data. The book of settings, which is made from the
# description of a network, is what it shows and changes; the NumPy reference says what that would do.
KNOWN_TO_GUI = (
    "qatviz.gui",
    "qatviz.asset_files",
    "qatviz.atomic_files",
    "qatviz.augmentation_settings",
    "qatviz.settings",
    "qatviz.start_settings",
    "qatviz.optimization_settings",
    "qatviz.low_bit_settings",
    "qatviz.setting_declaration",
    "qatviz.presets",
    "qatviz.errors",
    "qatviz.garbage_collection",
    "qatviz.class_weights",
    "qatviz.heads",
    "qatviz.losses",
    "qatviz.own_functions",
    "qatviz.metric",
    "qatviz.scaling",
    "qatviz.data_options",
    "qatviz.task",
    "qatviz.measure_axis",
    "qatviz.measures",
    "qatviz.measure_declaration",
    "qatviz.name_lookup",
    "qatviz.number_format",
    "qatviz.safe_text",
    "qatviz.telemetry",
    "qatviz.tensorflow_presence",
    "qatviz.protocol",
    "qatviz.presentation",
    "qatviz.remote.address",
    "qatviz.session.folder_entries",
    "qatviz.session.folders",
    "qatviz.session.model_info",
    "qatviz.session.prepared",
    "qatviz.session.record_requests",
    "qatviz.session.request",
    "qatviz.session.request_json",
    "qatviz.session.sweep_request",
    "qatviz.network",
    "qatviz.analysis",
    "qatviz.quant.affine",
    "qatviz.quant.measures",
    "qatviz.quant.ranges",
    "qatviz.quant.weight_maps",
)
# What modules may not import of the standard library and of qatviz, however deep in a function.
FORBIDDEN = [
    ("qatviz.remote", {"argparse", "qatviz.cli", "qatviz.api", "qatviz.app", "qatviz.gui"}),
    ("qatviz.session", {"argparse", "qatviz.cli", "qatviz.api", "qatviz.app", "qatviz.gui"}),
    ("qatviz.api", {"argparse", "qatviz.cli"}),
    ("qatviz.app", {"argparse", "qatviz.cli", "qatviz.api"}),
    ("qatviz.gui", {"argparse"}),
]
# Modules that import others by a name that is only known when they run: the registry of export formats, and a package
# whose own modules are loaded when their functions are first asked for.
IMPORT_BY_NAME = {"qatviz.export.formats", "qatviz.quant"}
# Only these may know the window.
KNOW_GUI = ("qatviz.gui", "qatviz.app", "qatviz.api", "qatviz.cli", "qatviz.__main__")


def is_within(module, package):
    """Return whether a dotted name is a package's or lies in it."""
    return module == package or module.startswith(package + ".")


def modules():
    """Return {dotted name: path} of every module of the package."""
    found = {}
    for folder, _, files in os.walk(os.path.join(ROOT, "qatviz")):
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                dotted = os.path.relpath(path, ROOT)[: -len(".py")].replace(os.sep, ".")
                found[dotted[: -len(".__init__")] if dotted.endswith(".__init__") else dotted] = path
    return found


MODULES = modules()


def imports_of(source, module, is_package=False):
    """Return the dotted names that a module's source imports anywhere: by statement, or by a call with a literal name.

    ``from a import b`` gives ``a.b``, which is a module or a name in one: both tell where it comes from.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                around = parts[: len(parts) - node.level + (1 if is_package else 0)]
                base = ".".join(around + ([base] if base else []))
            names.update(base + "." + alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Str):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__"):
                names.add(node.args[0].s)
    return names


def imports_in(module):
    """Return what one of the package's modules imports."""
    path = MODULES[module]
    with open(path, encoding="utf-8") as file:
        return imports_of(file.read(), module, is_package=os.path.basename(path) == "__init__.py")


def is_standard(package):
    """Return whether a top-level name is the standard library's in the running interpreter."""
    if package in sys.builtin_module_names or package in SOME_PLATFORMS:
        return True
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        return False
    library = os.path.realpath(sysconfig.get_paths()["stdlib"])
    origin = os.path.realpath(spec.origin)
    return spec.origin == "frozen" or (origin.startswith(library + os.sep) and "site-packages" not in origin)


def rule_for(module):
    """Return which third-party packages a module may import."""
    return next(allowed for package, allowed in THIRD_PARTY if is_within(module, package))


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import tensorflow.contrib.quantize as q", {"tensorflow.contrib.quantize"}),
        ("def f():\n    from PyQt5 import QtGui", {"PyQt5.QtGui"}),
        ("class A:\n    def f(self):\n        if 1:\n            import tensorflow", {"tensorflow"}),
        ("from ..quant import affine", {"qatviz.quant.affine"}),
        ("from . import b", {"qatviz.data.b"}),
        ("from .b import c", {"qatviz.data.b.c"}),
        ("import importlib\nx = importlib.import_module('tensorflow')", {"importlib", "tensorflow"}),
        ("__import__('PyQt5')", {"PyQt5"}),
    ],
)
def test_imports_of_every_form_are_found(source, expected):
    assert imports_of(source, "qatviz.data.module") == expected


def test_relative_imports_of_a_package_are_resolved():
    assert imports_of("from .b import c", "qatviz.data", is_package=True) == {"qatviz.data.b.c"}


def test_the_standard_library_is_recognized():
    assert all(map(is_standard, ["os", "sys", "json", "sqlite3", "_thread", "dataclasses"]))
    assert not any(map(is_standard, ["numpy", "tensorflow", "PyQt5", "PIL", "qatviz", "no_such_package"]))


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_layers(module):
    imported = imports_in(module)
    third_party = {name.split(".")[0] for name in imported} - {"qatviz"}
    too_much = {name for name in third_party - rule_for(module) if not is_standard(name)}
    assert not too_much, f"{module} may import {sorted(rule_for(module)) or 'the standard library'} only"

    within = {name for name in imported if is_within(name, "qatviz") and name != "qatviz.__version__"}
    if not any(is_within(module, name) for name in KNOW_GUI):
        assert not {name for name in within if is_within(name, "qatviz.gui")}, "only the top layer knows the window"
    if is_within(module, "qatviz.gui"):
        strangers = {name for name in within if not any(is_within(name, known) for known in KNOWN_TO_GUI)}
        assert not strangers, "the window is told everything as data and must not import these"


@pytest.mark.parametrize(
    "module", [m for m in sorted(MODULES) if any(is_within(m, package) for package, _ in FORBIDDEN)]
)
def test_session_api_and_window_do_not_import_the_command_line(module):
    imported = imports_in(module)
    for package, forbidden in FORBIDDEN:
        if is_within(module, package):
            assert not {name for name in imported if any(is_within(name, known) for known in forbidden)}


def imports_by_name(source):
    """Return whether a module's source calls a function that imports a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function in ("import_module", "__import__"):
                return True
    return False


@pytest.mark.parametrize(
    "source, expected",
    [
        ("import importlib\ndef f(name):\n    return importlib.import_module('qatviz.' + name)", True),
        ("from importlib import import_module\nimport_module(name)", True),
        ("x = __import__(name)", True),
        ("def f():\n    from qatviz.app.main import open_window\n    return open_window", False),
    ],
)
def test_an_import_by_name_is_found(source, expected):
    assert imports_by_name(source) == expected


def test_only_the_registry_of_export_formats_imports_by_name():
    found = set()
    for module, path in MODULES.items():
        with open(path, encoding="utf-8") as file:
            if imports_by_name(file.read()):
                found.add(module)
    assert found == IMPORT_BY_NAME


def packages_imported():
    """Return {package or module right below qatviz: those that it imports anywhere}."""
    found = {}
    for module in MODULES:
        if module != "qatviz":
            own = ".".join(module.split(".")[:2])
            others = {".".join(name.split(".")[:2]) for name in imports_in(module) if is_within(name, "qatviz")}
            found.setdefault(own, set()).update(name for name in others & set(MODULES) if name not in (own, "qatviz"))
    return found


def cyclic_nodes(graph):
    """Return the nodes of a graph {node: nodes it points to} that lie on a cycle or between cycles."""
    left = {node: set(others) for node, others in graph.items()}
    while True:  # those that nothing points to, or that point to nothing, are on no circle
        pointed_to = set().union(*left.values()) if left else set()
        on_none = {node for node, others in left.items() if not others & set(left) or node not in pointed_to}
        if not on_none:
            return set(left)
        left = {node: others - on_none for node, others in left.items() if node not in on_none}


@pytest.mark.parametrize(
    "graph, expected",
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, set()),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, {"a", "b"}),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": set()}, {"a", "b", "c"}),
    ],
)
def test_import_cycles_are_found(graph, expected):
    assert cyclic_nodes(graph) == expected


def test_packages_have_no_import_cycles():
    graph = packages_imported()
    assert {"qatviz.session", "qatviz.gui", "qatviz.errors"} <= set(graph) and graph["qatviz.api"]
    assert cyclic_nodes(graph) == set()


def importers():
    """Return {module: modules that import it, or something of it}; packages do not count as importers of their own."""
    found = {module: set() for module in MODULES}
    for module in MODULES:
        for name in imports_in(module):
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name and name != module:
                found[name].add(module)
    return found


def has_reason_comment(source):
    """Return whether a comment stands between a module's docstring and its first other statement."""
    statements = ast.parse(source).body
    if len(statements) < 2 or not isinstance(statements[0], ast.Expr):
        return False
    # Python 3.7 gives a docstring's last line, later versions its first; comments lie before the second statement.
    lines = source.splitlines()[: statements[1].lineno - 1]
    end = max(index for index, line in enumerate(lines) if line.rstrip().endswith('"""'))
    return any(line.startswith("# ") for line in lines[end + 1 :])


@pytest.mark.parametrize(
    "source, expected",
    [
        ('"""A."""\n\n# Apart, as a process of its own imports it.\n\nimport os\n', True),
        ('"""A.\n\nB\n"""\n\n# Why.\nimport os\n', True),
        ('"""A."""\n\nimport os\n\n# Why.\nx = 1\n', False),
        ('"""A.\n\n# no comment\n"""\n\nimport os\n', False),
    ],
)
def test_the_reason_comment_of_a_module_is_found(source, expected):
    assert has_reason_comment(source) == expected


def test_a_small_module_with_one_importer_has_a_reason_comment():
    small, found = [], importers()
    for module, path in MODULES.items():
        with open(path, encoding="utf-8") as file:
            source = file.read()
        is_small = len(source.splitlines()) < SMALL_LINES and os.path.basename(path) != "__init__.py"
        if is_small and len(found[module]) == 1 and not has_reason_comment(source):
            small.append(module)
    assert small == []


def loaded_after_importing(names):
    """Return which of the heavy packages a fresh interpreter has loaded after importing the modules."""
    program = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sorted({'tensorflow', 'PyQt5', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, *names], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return set(done.stdout.decode().split())


def test_modules_allowed_numpy_only_load_no_heavy_packages():
    names = [name for name in sorted(MODULES) if not rule_for(name) & (TENSORFLOW | WINDOW) and "__main__" not in name]
    assert "qatviz.settings" in names and "qatviz.data" in names
    assert loaded_after_importing(names) == set()


def test_modules_below_the_window_load_no_qt():
    names = [name for name in sorted(MODULES) if not rule_for(name) & WINDOW and "__main__" not in name]
    assert not loaded_after_importing(names) & WINDOW


def test_window_records_report_and_commands_import_where_tensorflow_is_missing():
    packages = ("qatviz.gui", "qatviz.app", "qatviz.session", "qatviz.report", "qatviz.cli", "qatviz.api")
    names = [name for name in sorted(MODULES) if any(is_within(name, package) for package in packages)]
    program = "import importlib, sys\nsys.modules['tensorflow'] = None\n"
    program += "for name in sys.argv[1:]: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", program, *names], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


def test_the_window_loads_no_tensorflow():
    names = [name for name in sorted(MODULES) if is_within(name, "qatviz.gui")]
    assert not loaded_after_importing(names) & TENSORFLOW


def python_files():
    """Yield the path of every Python file of the project, relative to its root."""
    for top in ("qatviz", "tests", "assets"):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            yield from (os.path.relpath(os.path.join(folder, name), ROOT) for name in files if name.endswith(".py"))
    yield from ("bootstrap.py", "setup.py")


def test_no_file_exceeds_the_maximum_length():
    lengths = {}
    for path in python_files():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            lengths[path] = sum(1 for _ in file)
    assert len(lengths) > 10
    assert {path: count for path, count in lengths.items() if count > MAX_LINES} == {}


def test_no_generated_file_is_tracked():
    """Neither what .gitignore names, such as caches, nor a folder that a command left behind."""
    if shutil.which("git") is None or not os.path.exists(os.path.join(ROOT, ".git")):
        pytest.skip("this is not a git checkout")

    def tracked(*options):
        done = subprocess.run(["git", "ls-files", *options], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().splitlines()

    assert tracked("--cached", "--ignored", "--exclude-standard") == []
    folders = {name.partition("/")[0] for name in tracked() if "/" in name}
    assert folders == {".ci", ".github", "assets", "docs", "examples", "qatviz", "tests"}


def test_test_files_have_distinct_names():
    """Pytest imports them by their names alone: of two with one name, the second is not run."""
    names = [name for _, _, files in os.walk(os.path.join(ROOT, "tests")) for name in files if name.startswith("test_")]
    assert sorted({name for name in names if name.endswith(".py") and names.count(name) > 1}) == []
