"""Time of an inference by exported C, as a ratio to that of other runtimes of the same integers, on one core.

- ``c_speed/NETWORK/litert-xnnpack``, ``.../litert-reference``, ``.../tflite-micro``: C over LiteRT with XNNPACK on one
  thread, over LiteRT's reference kernels, and over TFLite Micro's Python package; weights of 8 bits, one image.
- ``c_speed/NETWORK/c-packed``: C with two weights per byte over C with one, weights of 4 bits.
- ``c_speed/NETWORK/c-native``: C compiled for this machine over C as shipped.

The C is compiled with the options of the proof, as a shared library. Contenders run in turn in one process, of the
Python that has LiteRT; a ratio is the median of those of neighbouring rounds. A runtime that is missing is "not_run".
Parameters are random: the time does not depend on them.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, Sequence

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / name) for name in ("export", "training", "")]

NETWORKS = ("lenet", "dscnn", "resnet8")
RUNTIMES = ("litert-xnnpack", "litert-reference", "tflite-micro")
#: (dividend, divisor) of each figure of a network.
_RATIOS = {
    **{name: ("c", name) for name in RUNTIMES},
    "c-packed": ("c-packed", "c-4-bits"),
    "c-native": ("c-native", "c"),
}
NAMES = tuple(f"c_speed/{network}/{name}" for network in NETWORKS for name in _RATIOS)
_NATIVE = ("-O3", "-march=native")
_EIGHT_BITS, _FOUR_BITS = ({"symmetric": True, "per_channel": True, "num_bits": bits} for bits in (8, 4))
#: Program in the newer Python; it prints one JSON object: seconds of each round by contender.
_PROGRAM = """
import ctypes, importlib.util, json, os, sys
sys.path.insert(0, sys.argv[1])
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from interleave import interleaved_times
image, expected = np.load("image.npy"), np.load("expected.npy")

def library(name, symbol):
    run = getattr(ctypes.CDLL(os.path.abspath(name + ".so")), symbol)
    found = np.zeros(expected.shape, expected.dtype)
    given, put = (ctypes.c_void_p(codes.ctypes.data) for codes in (image, found))
    return lambda: run(given, put), lambda: found

def litert(kernels):
    interpreter = Interpreter("model.tflite", num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    index = interpreter.get_output_details()[0]["index"]
    return interpreter.invoke, lambda: interpreter.get_tensor(index)[0]

def micro():
    from tflite_micro.python.tflite_micro import runtime
    interpreter = runtime.Interpreter.from_file("model.tflite", arena_size=1 << 24)
    interpreter.set_input(image[None], 0)
    return interpreter.invoke, lambda: interpreter.get_output(0)[0]

contenders = {name: library(name, symbol) for name, symbol in json.loads(sys.argv[2]).items()}
contenders["litert-xnnpack"] = litert(OpResolverType.AUTO)
contenders["litert-reference"] = litert(OpResolverType.BUILTIN_REF)
if importlib.util.find_spec("tflite_micro"):
    contenders["tflite-micro"] = micro()
times = interleaved_times({name: (lambda step, run=run: run()) for name, (run, _) in contenders.items()}, 120, 10)
# XNNPACK rounds once, as C does; a contender that computed something else would not be comparable.
for name in ("c", "c-native", "litert-xnnpack"):
    found = contenders[name][1]().reshape(-1).astype(int)
    assert abs(found - expected.reshape(-1)).max() <= (1 if name == "litert-xnnpack" else 0), name
print(json.dumps({name: list(seconds) for name, seconds in times.items()}), file=answers)
"""


def run(names: Sequence[str]) -> Iterator[Dict[str, Any]]:
    """Measure the figures ``names``."""
    from qatviz.export.c.runner import NoCompiler
    from qatviz.export.tflite.litert import LitertMissing

    for network in NETWORKS:
        wanted = [name for name in names if name.split("/")[1] == network]
        times: Dict[str, np.ndarray] = {}
        missing = "there is no tflite_micro beside LiteRT"
        try:
            times = _times(network) if wanted else {}
        except (NoCompiler, LitertMissing) as error:
            missing = str(error)
        for name in wanted:
            yield {"name": name, "unit": "ratio", **_figure(times, *_RATIOS[name.split("/")[2]], missing=missing)}


def _figure(times: Dict[str, np.ndarray], ours: str, theirs: str, missing: str) -> Dict[str, Any]:
    from interleave import milliseconds, ratio

    if ours not in times or theirs not in times:
        return {"value": None, "not_run": missing}
    details = {f"{name} ms": round(milliseconds(times, name), 4) for name in (ours, theirs)}
    return {"value": round(ratio(times, ours, theirs), 3), **details}


def _times(network: str) -> Dict[str, np.ndarray]:
    """Return the seconds of each round of each contender."""
    from integer_cases import model_of

    from qatviz.export.c.runner import find_compiler
    from qatviz.export.integers.simulator import run_codes
    from qatviz.export.tflite.litert import find_litert
    from qatviz.export.tflite.lowering import tflite_model
    from qatviz.network import zoo

    compiler, litert = find_compiler(), find_litert()
    built = zoo.build(network, (28, 28, 1), 10)
    model, small = (model_of(built, weights, {}) for weights in (_EIGHT_BITS, _FOUR_BITS))
    codes = np.random.RandomState(0).randint(-128, 128, (1, 28, 28, 1)).astype(np.int32)
    with tempfile.TemporaryDirectory(prefix="qatviz-c-speed-") as name:
        directory = Path(name)
        symbols = {
            "c": _library(directory, "c", model, codes, compiler),
            "c-native": _library(directory, "c-native", model, codes, compiler, flags=_NATIVE),
            "c-4-bits": _library(directory, "c-4-bits", small, codes, compiler),
            "c-packed": _library(directory, "c-packed", small, codes, compiler, pack=True),
        }
        (directory / "model.tflite").write_bytes(tflite_model(model).content)
        np.save(str(directory / "image.npy"), codes[0].astype(np.int8))
        np.save(
            str(directory / "expected.npy"), run_codes(model, codes, [model.output])[model.output][0].astype(np.int8)
        )
        command = [litert.python, "-c", _PROGRAM, str(HERE), json.dumps(symbols)]
        found = json.loads(subprocess.run(command, cwd=name, check=True, stdout=subprocess.PIPE).stdout)
    return {contender: np.array(seconds) for contender, seconds in found.items()}


def _library(
    directory: Path,
    name: str,
    model: Any,
    codes: np.ndarray,
    compiler: Any,
    pack: bool = False,
    flags: Sequence[str] = (),
) -> str:
    """Compile a model as ``NAME.so``; return the name of its function."""
    from qatviz.export.c.lowering import c_model
    from qatviz.export.c.runner import FLAGS
    from qatviz.export.integers.simulator import run_codes

    written = c_model(model, codes, run_codes(model, codes, [model.output])[model.output], pack)
    for file, content in written.files.items():
        (directory / file).write_bytes(content)
    sources = [source for source in written.sources if source != "main.c"]
    command = [*compiler.command, *FLAGS, *flags, "-shared", "-fPIC", "-o", name + ".so", *sources]
    subprocess.run(command, cwd=str(directory), check=True)
    return written.stem + "_run"
