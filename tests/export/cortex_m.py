"""Compiler and emulator of Cortex-M boards: programs built by it run in QEMU as if they were the host's.

Needs arm-none-eabi-gcc with newlib, and qemu-system-arm (Debian: gcc-arm-none-eabi, libnewlib-arm-none-eabi,
qemu-system-arm).
"""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Dict, NamedTuple, Optional, Tuple

from qatviz.export.c.runner import Compiler

TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm")
START_UP = Path(__file__).resolve().parent / "cortex_m" / "board.c"
_LINKER_SCRIPT = """\
MEMORY {{ flash : ORIGIN = {flash:#x}, LENGTH = {flash_kib}K  ram : ORIGIN = {ram:#x}, LENGTH = {ram_kib}K }}
SECTIONS {{
    .text : {{ KEEP(*(.vectors)) *(.text*) . = ALIGN(8); }} > flash
    .rodata : {{ *(.rodata*) . = ALIGN(8); }} > flash
    .exidx : {{ *(.ARM.exidx*) . = ALIGN(8); }} > flash
    .data : {{ data_begin = .; *(.data*) . = ALIGN(8); data_end = .; }} > ram AT > flash
    data_load = LOADADDR(.data);
    .bss : {{ bss_begin = .; *(.bss*) *(COMMON) . = ALIGN(8); bss_end = .; }} > ram
    heap_begin = .;
    stack_top = ORIGIN(ram) + LENGTH(ram);
}}
"""
#: Compiles as the compiler does, and leaves a script in place of the program that runs it in the emulator.
_COMPILE = """\
#!/bin/sh
for argument; do [ "$previous" = -o ] && program=$argument; previous=$argument; done
{compile} "$@" {start_up} -T {script} || exit
mv "$program" "$program.elf"
{{
    echo '#!/bin/sh'
    echo "elf=$(realpath "$program").elf"
    cat {run}
}} > "$program"
chmod +x "$program"
"""
_RUN = """\
directory=$(mktemp -d)
cd "$directory" || exit
cat > stdin
: > stdout
arguments=
for argument; do arguments="$arguments,arg=$argument"; done
{emulate} -kernel "$elf" -semihosting-config "enable=on,target=native,arg=program$arguments" < /dev/null >&2
code=$?
cat stdout
[ -e stderr ] && cat stderr >&2
rm -r "$directory"
exit $code
"""


class Board(NamedTuple):
    """A board of QEMU's.

    Attributes
    ----------
    flags : tuple of str
        The compiler's, for its processor.
    machine : str
        QEMU's name.
    memory : dict
        Origins and sizes (KiB) of the memory for code and constants, and of that for data.
    tick : float
        Instructions in a tick of SysTick, with one instruction in a nanosecond.
    """

    flags: Tuple[str, ...]
    machine: str
    memory: Dict[str, int]
    tick: float


_MPS2 = {"flash": 0, "flash_kib": 4096, "ram": 0x20000000, "ram_kib": 4096}
#: Boards by processor: plain C, DSP extension, Helium.
BOARDS = {
    "cortex-m3": Board(("-mcpu=cortex-m3", "-mthumb"), "mps2-an385", _MPS2, 40.0),
    "cortex-m4": Board(
        ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), "mps2-an386", _MPS2, 40.0
    ),
    "cortex-m55": Board(
        ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard"),
        "mps3-an547",
        {"flash": 0x10000000, "flash_kib": 512, "ram": 0x30000000, "ram_kib": 512},
        31.25,
    ),
}


def missing_tools() -> Optional[str]:
    """Return the reason why no board can be used; None if one can."""
    missing = [name for name in TOOLS if shutil.which(name) is None]
    return f"no {', '.join(missing)} on the PATH" if missing else None


def code_bytes(program: Path) -> int:
    """Return the size of a program's functions, those of the C library included."""
    command = ["arm-none-eabi-size", "-A", f"{program}.elf"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    return next(int(line.split()[1]) for line in listed if line.startswith(".text "))


def board_compiler(cpu: str, directory: Path) -> Compiler:
    """Return a compiler whose programs run on a board; it needs files in ``directory``, which exists."""
    board = BOARDS[cpu]
    script, run, command = (directory / f"{cpu}{ending}" for ending in (".ld", "-run", "-cc"))
    script.write_text(_LINKER_SCRIPT.format(**board.memory))
    emulate = ["qemu-system-arm", "-M", board.machine, "-nographic", "-monitor", "none", "-icount", "shift=0"]
    run.write_text(_RUN.format(emulate=_quoted(emulate)))
    compile_it = ["arm-none-eabi-gcc", *board.flags, "--specs=nosys.specs", "-nostartfiles"]
    # Unused functions of the runtime are not part of a program.
    compile_it += ["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-Wl,--no-warn-rwx-segments"]
    command.write_text(
        _COMPILE.format(
            compile=_quoted(compile_it),
            start_up=_quoted([str(START_UP)]),
            script=_quoted([str(script)]),
            run=_quoted([str(run)]),
        )
    )
    command.chmod(0o755)
    version = subprocess.run(["arm-none-eabi-gcc", "--version"], stdout=subprocess.PIPE, check=True).stdout
    return Compiler((str(command),), f"{version.decode().splitlines()[0]}, {cpu}")


def _quoted(command) -> str:
    return " ".join(map(shlex.quote, command))
