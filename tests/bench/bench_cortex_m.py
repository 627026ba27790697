"""Instructions of an inference by exported C on Cortex-M boards in QEMU, and by CMSIS-NN's kernels in the same program.

- ``cortex_m/PROCESSOR/NETWORK/c``: instructions of the export's own kernels, compiled with -O3; details: those with -O2
  and -Os, and the bytes of code that each adds to a program, without constants.
- ``cortex_m/PROCESSOR/NETWORK/cmsis-nn``: the same of a program that defines QATVIZ_NN_USE_CMSIS_NN. Layers that
  CMSIS-NN does not compute to the same codes (sums, global averages) are the export's own here, too.
- ``cortex_m/PROCESSOR/NETWORK/ratio``: the first over the second; details: those with -O2 and -Os over the second.
- ``cortex_m/PROCESSOR/NETWORK/packed-ratio``: instructions with weights of 4 bits, two per byte, over those of the same
  weights in a byte each; details: the same with -O2 and -Os.

Every program computes the expected codes, or the benchmark fails. QEMU executes an instruction in 1 ns (-icount
shift=0), and SysTick counts with 25 or 32 MHz: numbers are exact to 40 instructions. They are no cycles: QEMU knows
nothing of a processor's pipeline. What is missing is "not_run": the tools, or CMSIS-NN (see
``tests/export/cmsis_nn.py``); the optimization of its library is that of its user's build.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent / name) for name in ("export", "training", "")]

PROCESSORS = ("cortex-m4", "cortex-m55")
NETWORKS = ("lenet", "dscnn", "resnet8")
KINDS = ("c", "cmsis-nn", "ratio", "packed-ratio")
NAMES = tuple(f"cortex_m/{cpu}/{network}/{kind}" for cpu in PROCESSORS for network in NETWORKS for kind in KINDS)
#: Optimizations of the programs; the first is that of the figures.
_LEVELS = ("-O3", "-O2", "-Os")
_BY_CHANNEL = {"symmetric": True, "per_channel": True}
_EXAMPLES = 3


class Measured(NamedTuple):
    """Instructions of an inference, and bytes of code that it adds to a program."""

    instructions: int
    code_bytes: int

    @classmethod
    def by_level(cls, found: Dict[str, "Measured"]) -> Dict[str, int]:
        """Return details of a figure."""
        return {
            f"{what} {level}": getattr(measured, what) for level, measured in found.items() for what in measured._fields
        }


def run(names: Sequence[str]) -> Iterator[Dict[str, Any]]:
    """Measure the figures ``names``."""
    from cmsis_nn import cmsis_nn_flags
    from cortex_m import missing_tools

    missing = missing_tools()
    for cpu in PROCESSORS:
        for network in NETWORKS:
            wanted = [name for name in names if name.startswith(f"cortex_m/{cpu}/{network}/")]
            if not wanted:
                continue
            flags, absent = cmsis_nn_flags(cpu)
            found, kinds = {}, {name.split("/")[-1] for name in wanted}
            if not missing and kinds - {"packed-ratio"}:
                found["c"] = _measured(cpu, network, [])
            if not missing and not absent and kinds - {"c", "packed-ratio"}:
                found["cmsis-nn"] = _measured(cpu, network, list(flags))
            if not missing and "packed-ratio" in kinds:
                for packed in (True, False):
                    found["packed" if packed else "bytes"] = _measured(cpu, network, [], 4, packed)
            for name in wanted:
                yield {"name": name, **_figure(name.split("/")[-1], found, missing or absent)}


def _figure(kind: str, found: Dict[str, Dict[str, Measured]], missing: Any) -> Dict[str, Any]:
    first = _LEVELS[0]
    if kind in ("c", "cmsis-nn"):
        if kind not in found:
            return {"value": None, "unit": "instructions", "not_run": missing}
        return {"value": found[kind][first].instructions, "unit": "instructions", **Measured.by_level(found[kind])}
    above, below = ("c", "cmsis-nn") if kind == "ratio" else ("packed", "bytes")
    if below not in found:
        return {"value": None, "unit": "ratio", "not_run": missing}
    # CMSIS-NN's library is that of its user's build, whatever the program's optimization.
    other = {level: found[below][first if kind == "ratio" else level] for level in _LEVELS}
    ratios = {level: round(found[above][level].instructions / other[level].instructions, 3) for level in _LEVELS}
    return {"value": ratios[first], "unit": "ratio", **{f"ratio {level}": ratio for level, ratio in ratios.items()}}


def _measured(cpu: str, network: str, flags: List[str], bits: int = 8, packed: bool = False) -> Dict[str, Measured]:
    """Return what programs of each optimization need, with weights of a number of bits."""
    from cortex_m import BOARDS, board_compiler, code_bytes
    from integer_cases import model_of

    from qatviz.export.c.lowering import c_model
    from qatviz.export.integers.simulator import run_codes
    from qatviz.network import zoo

    model = model_of(zoo.build(network, (28, 28, 1), 10), {**_BY_CHANNEL, "num_bits": bits}, {})
    codes = np.random.RandomState(0).randint(-128, 128, (_EXAMPLES, 28, 28, 1)).astype(np.int32)
    written = c_model(model, codes, run_codes(model, codes, [model.output])[model.output], packed)
    sources = [source for source in written.sources if source != "main.c"]
    run_model = [f'-DMODEL_HEADER="{written.stem}.h"', f"-DMODEL_RUN={written.stem}_run", *flags, *sources]
    run_nothing = ["-DMODEL_HEADER=<stdint.h>", "-DMODEL_RUN(input,output)=((void)(output))"]
    found = {}
    with tempfile.TemporaryDirectory(prefix="qatviz-cortex-m-") as name:
        directory = Path(name)
        compiler = board_compiler(cpu, directory)
        for file, content in written.files.items():
            (directory / file).write_bytes(content)

        def built(level: str, program: str, arguments: List[str]) -> int:
            """Compile a program; return the bytes of its code."""
            command = [*compiler.command, "-std=c99", level, "-I.", *arguments, str(HERE / "cortex_m_main.c")]
            subprocess.run([*command, "-o", program], cwd=name, check=True)
            return code_bytes(directory / program)

        for level in _LEVELS:
            code = built(level, "program", run_model) - built(level, "nothing", run_nothing)
            answer = subprocess.run(["./program"], cwd=name, check=True, stdout=subprocess.PIPE).stdout.split()
            assert int(answer[0]) == _EXAMPLES, f"{cpu}, {network}, {level}: {int(answer[0])} of {_EXAMPLES} outputs"
            found[level] = Measured(round(int(answer[1]) * BOARDS[cpu].tick), code)
    return found
