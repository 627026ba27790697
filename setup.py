"""Package metadata of qatviz: the one place that says what it needs and what it installs.

The exact versions that are known to work together are in constraints.txt; the ranges here are what the code allows.
"""

import os
import re

from setuptools import find_packages, setup

ROOT = os.path.dirname(os.path.abspath(__file__))


def read(name):
    """Return the text of a file of the checkout, named relative to its root."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


def version():
    """Return ``__version__`` of the package without importing it (its dependencies may not be there yet)."""
    return re.search(r'^__version__ = "([^"]+)"$', read("qatviz/__init__.py"), re.MULTILINE).group(1)


# Where TensorFlow 1.15 can be installed: its wheels are for x86-64 and CPython 3.5 to 3.7, the code is for 3.7 on.
# Elsewhere, qatviz shows runs, records and reports, and says what needs TensorFlow.
WITH_TENSORFLOW = (
    'python_version == "3.7" and platform_python_implementation == "CPython" and platform_machine in "x86_64 AMD64"'
)
WITHOUT_TENSORFLOW = (
    'python_version != "3.7" or platform_python_implementation != "CPython" or platform_machine not in "x86_64 AMD64"'
)


def where(marker, *requirements):
    """Return requirements that hold where an environment marker does."""
    return [f"{requirement}; {marker}" for requirement in requirements]


ONNX = where(WITH_TENSORFLOW, "onnx>=1.14,<1.15", "onnxruntime>=1.10,<1.11")

setup(
    name="qatviz",
    version=version(),
    description="See and steer quantization-aware training while it runs.",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    author="The qatviz developers",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="quantization, quantization-aware training, TensorFlow, TFLite, visualization",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Console",
        "Environment :: X11 Applications :: Qt",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: MacOS :: MacOS X",
        "Operating System :: Microsoft :: Windows",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(7, 14)),
        "Programming Language :: Python :: Implementation :: CPython",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Visualization",
    ],
    python_requires=">=3.7",
    packages=[*find_packages(include=["qatviz", "qatviz.*"]), "qatviz.assets"],
    # The bundled data lives at the top of the checkout and is installed inside the package.
    package_dir={"qatviz.assets": "assets"},
    package_data={
        "qatviz.assets": ["*.npz", "*.md", "icons/*.svg"],
        "qatviz.analysis.chip": ["*.json"],
        "qatviz.export.c": ["runtime/*", "layout/*"],
        "qatviz.export.guide": ["check/*"],
        "qatviz.export.tflm": ["application/*"],
        "qatviz.report": ["*.css"],
    },
    install_requires=[
        # TensorFlow 1.15 sets no upper bounds; these are the last series of each that it works with.
        *where(WITH_TENSORFLOW, "tensorflow==1.15.*", "numpy>=1.16,<1.19", "protobuf<3.21", "h5py<3"),
        *where(WITHOUT_TENSORFLOW, "numpy>=1.17", "h5py>=2.10"),
        "PyQt5>=5.15,<5.16",
        "MarkupSafe>=2",
        "platformdirs>=3",
        "Pillow>=8",
        "tqdm>=4.60",
        # Exports to TFLite: field numbers of its schema, and the format that it is in.
        "tflite>=2.18,<3",
        "flatbuffers>=25",
    ],
    extras_require={
        # onnxruntime 1.11 asks for a NumPy that TensorFlow 1.15 does not work with.
        "onnx": ONNX,
        "test": [
            *ONNX,
            "coverage[toml]>=7",
            # The packaging test reads metadata, which the standard library of CPython 3.7 can't.
            "importlib-metadata>=4",
            # Notebooks are executed by a test.
            "ipykernel>=6",
            "nbclient>=0.7",
            "hypothesis>=6",
            # What the window's drawing is compared with in a benchmark.
            "pyqtgraph>=0.12",
            "mypy>=1.4",
            "pytest>=7",
            "pytest-cov>=4",
            "pytest-qt>=4.2",
            "pytest-timeout>=2.1",
            "pytest-xdist>=3",
            "ruff==0.17.6",  # other versions format and lint otherwise
            # The packaging test builds a wheel without a network; pip needs this for it.
            "wheel",
        ],
    },
    entry_points={"console_scripts": ["qatviz = qatviz.cli:main"]},
    zip_safe=False,
)
