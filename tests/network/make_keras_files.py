"""Make the test data in keras_files/: models saved by the versions of Keras that are in use.

    python make_keras_files.py WORK [LABEL ...]

For each label, it makes a virtual environment below the folder WORK with the packages in ENVIRONMENTS, unless there is
one already, runs `keras_file_program.py` in it, and packs the files into keras_files/LABEL.zip. It needs Python 3.7 and
3.11 (`python3.7` and `python3.11` on PATH, or named by PYTHON37 and PYTHON311), pip's registry and some minutes.
"""

import os
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "keras_file_program.py")
FILES = os.path.join(HERE, "keras_files")

_TENSORFLOW_1 = ["tensorflow==1.15.5", "numpy==1.18.5", "protobuf<3.21", "h5py<3"]
_OLD_KERAS = ["keras_applications==1.0.8", "keras_preprocessing==1.1.2", "scipy==1.5.4", "pyyaml==6.0.1"]
_TENSORFLOW_216 = ["tensorflow-cpu==2.16.2", "tf_keras==2.16.0", "setuptools<80"]
#: Python, packages, packages that replace others without their requirements, and Keras' module, by label.
ENVIRONMENTS = {
    "keras-2.2.4": ("3.7", _TENSORFLOW_1, ["keras==2.2.4", *_OLD_KERAS], "keras"),
    "keras-2.3.1": ("3.7", _TENSORFLOW_1, ["keras==2.3.1", *_OLD_KERAS], "keras"),
    "tensorflow-1.15": ("3.7", _TENSORFLOW_1, [], "tensorflow.keras"),
    "tensorflow-1.15-v2": ("3.7", _TENSORFLOW_1, [], "tensorflow.keras"),
    "tensorflow-2.12": (
        "3.11",
        ["tensorflow-cpu==2.12.1", "tensorflow-model-optimization==0.7.5"],
        [],
        "tensorflow.keras",
    ),
    "tf_keras-2.16": ("3.11", _TENSORFLOW_216, [], "tf_keras"),
    "tf_keras-2.21": ("3.11", ["tensorflow-cpu==2.21.0", "tf_keras==2.21.0"], [], "tf_keras"),
    "keras-3.0": ("3.11", _TENSORFLOW_216, ["keras==3.0.5", "dm-tree==0.1.8"], "keras"),
    "keras-3.8": ("3.11", _TENSORFLOW_216, ["keras==3.8.0"], "keras"),
    "keras-3.15": ("3.11", ["tensorflow-cpu==2.21.0", "keras==3.15.1"], [], "keras"),
}


def environment(label, work):
    """Return the Python of a label's virtual environment and its search path for modules; make what is missing."""
    version, packages, replaced, _ = ENVIRONMENTS[label]
    name = "-".join(packages).replace("=", "").replace("<", "")
    folder = os.path.join(work, name[:60])
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        base = os.environ.get("PYTHON" + version.replace(".", ""), "python" + version)
        subprocess.run([base, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    own = os.path.join(work, label)
    if replaced and not os.path.exists(own):
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--target", own, *replaced], check=True)
    return python, own if replaced else ""


def make(label, work):
    """Make keras_files/LABEL.zip."""
    os.makedirs(FILES, exist_ok=True)
    python, path = environment(label, work)
    module = ENVIRONMENTS[label][3]
    with tempfile.TemporaryDirectory() as folder:
        variables = dict(
            os.environ, PYTHONPATH=path, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="2", KERAS_BACKEND="tensorflow"
        )
        behavior = ["v2"] if label.endswith("-v2") else []
        subprocess.run([python, PROGRAM, module, folder, *behavior], check=True, env=variables)
        pack(folder, os.path.join(FILES, label + ".zip"))


def pack(folder, path):
    """Write all files of a folder to an archive, without their times and without TensorFlow's list of checkpoints."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for parent, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(set(names) - {"checkpoint"}):
                with open(os.path.join(parent, name), "rb") as file:
                    member = zipfile.ZipInfo(os.path.relpath(os.path.join(parent, name), folder))
                    member.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(member, file.read())


if __name__ == "__main__":
    for wanted in sys.argv[2:] or ENVIRONMENTS:
        make(wanted, os.path.abspath(sys.argv[1]))
