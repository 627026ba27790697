"""Presence of TensorFlow 1.15. Where it can't be installed, qatviz shows runs and records but trains none."""

import importlib.util
import os
import platform

#: Work that needs TensorFlow, as :func:`missing_text` names it. An export is proven against the evaluation graph.
TRAINING, EVALUATING, EXPORTING = "training", "evaluating the network", "exporting"
WRITING_EVENTS = "writing TensorBoard files"
#: Machines, as `platform.machine` names them in lower case, that TensorFlow 1.15 has wheels for.
X86_64 = ("x86_64", "amd64")
#: Environment variable of TensorFlow with flags of XLA, and the flag by which XLA takes no operation.
XLA_VARIABLE, NO_XLA = "TF_XLA_FLAGS", "--tf_xla_clustering_fuel=0"


def has_tensorflow() -> bool:
    """Return whether TensorFlow 1.15 is installed, without importing it; other versions do not count."""
    if importlib.util.find_spec("tensorflow") is None:
        return False
    # Its package since 1.15; TensorFlow 2 has no `contrib` in it.
    core = importlib.util.find_spec("tensorflow_core")
    folders = (core.submodule_search_locations or ()) if core is not None else ()
    return any(os.path.isdir(os.path.join(folder, "contrib")) for folder in folders)


def spare_xla() -> None:
    """Spare this process TensorFlow's search for what XLA could compile, unless the user has set flags of XLA.

    TensorFlow searches each part of a graph before its first run, even if XLA is off: half of the first step's time.
    The flag applies to the whole process, so that only programs of our own set it.
    """
    os.environ.setdefault(XLA_VARIABLE, NO_XLA)


def missing_text(what: str) -> str:
    """Return the sentence that ``what`` ("training", a gerund) needs TensorFlow, with the remedy on this machine."""
    if platform.machine().lower() in X86_64:
        remedy = (
            "install qatviz in an environment of CPython 3.7 (bootstrap.py makes one), or do this on a computer that "
            "has one: qatviz open ssh://HOST shows and steers its runs here"
        )
    else:
        remedy = "it exists for x86-64 only, so do this on such a computer: qatviz open ssh://HOST shows its runs here"
    return f"{what} needs TensorFlow 1.15, which is not installed here: {remedy}"
