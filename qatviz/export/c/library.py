"""A C model as a library: one folder for CMake, ESP-IDF, the Arduino IDE and Zephyr."""

import re
from pathlib import Path
from typing import Any, Collection, Dict

from qatviz.export.templates import filled

#: Folders of the library: sources that users compile, and those of its test.
SOURCES, TEST = "src", "test"
#: Templates by the paths of the files; "{name}" is that of the network.
_LAYOUT = {
    "CMakeLists.txt": "CMakeLists.txt",
    "library.properties": "library.properties",
    "zephyr/module.yml": "module.yml",
    "zephyr/CMakeLists.txt": "zephyr.cmake",
    "zephyr/Kconfig": "Kconfig",
    "examples/{name}/{name}.ino": "sketch.ino",
}
_TEMPLATES = Path(__file__).with_name("layout")
#: Files of a model in one directory that a library does not have, and those of its test.
_OMITTED, _TEST_FILES = ("Makefile",), ("main.c", "golden.h")
#: Declaration of a function that is not static, in a header of the kernels.
_PROTOTYPE = re.compile(r"^(?!static |typedef )\w[\w *]*?\b(qnn_\w+)\(", re.MULTILINE)


def library_files(texts: Dict[str, str], example: str, values: Dict[str, Any]) -> Dict[str, str]:
    """Return the files of a library by their paths, with ``/``.

    Functions of the kernels get names that begin with the network's, so that a program can contain several libraries.

    Parameters
    ----------
    texts : dict of str to str
        Files of a C model in one directory, by name.
    example : str
        Golden vectors of the example, a header.
    values : dict
        Values of the templates by name; "name" is that of the network, "prefix" begins its identifiers.
    """
    name = values["name"]
    sources = {file: text for file, text in texts.items() if file not in (*_OMITTED, *_TEST_FILES)}
    kernels = {
        function for file, text in sources.items() if file.endswith(".h") for function in _PROTOTYPE.findall(text)
    }
    found = {f"{SOURCES}/{file}": _renamed(text, kernels, values["prefix"]) for file, text in sources.items()}
    found.update((f"{TEST}/{file}", texts[file]) for file in _TEST_FILES)
    compiled = [path for path in found if path.startswith(SOURCES) and path.endswith(".c")]
    values = {
        **values,
        # Arduino reserves the names that begin with its own.
        "library": f"qatviz_{name}" if name.lower().startswith("arduino") else name,
        "sources": " ".join(compiled),
        "zephyr_sources": " ".join("${CMAKE_CURRENT_SOURCE_DIR}/../" + path for path in compiled),
    }
    for path, template in _LAYOUT.items():
        found[path.format(name=name)] = filled(_template(template), values)
    found[f"examples/{name}/golden.h"] = example
    return found


def library_use() -> str:
    """Return the template of the text on how to use a library, for its README."""
    return _template("README.txt")


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="ascii")


def _renamed(text: str, functions: Collection[str], prefix: str) -> str:
    """Return a source whose names of functions begin with a prefix."""
    return re.sub(r"\bqnn_\w+", lambda match: f"{prefix}_{match[0]}" if match[0] in functions else match[0], text)
