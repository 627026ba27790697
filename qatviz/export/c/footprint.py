"""Sizes of a compiled C model: machine code, constants, static memory, and the stack of its deepest call."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from qatviz.errors import ExportError
from qatviz.export.c.lowering import CModel
from qatviz.export.c.runner import Compiler, call
from qatviz.export.proof.footprint import Footprint

#: Options that sizes are measured with: those of firmware.
_FLAGS = ("-std=c99", "-Os")
#: Options that let the linker drop functions that the program does not call, as in firmware.
_SECTIONS = ("-ffunction-sections", "-fdata-sections")
#: Option that writes the calls of each function with the size of its frame; GCC has it from version 10 on.
_CALL_GRAPH = "-fcallgraph-info=su"
#: Compiler for Arm's microcontrollers, and its options.
ARM, _ARM_FLAGS = "arm-none-eabi-gcc", ("-mcpu=cortex-m4", "-mthumb")
#: Beginnings of names of sections. Constants that contain addresses are read-only where addresses are fixed.
_CODE, _CONSTANTS, _MEMORY = (".text",), (".rodata", ".srodata", ".data.rel.ro"), (".data", ".sdata", ".bss", ".sbss")
#: Name that stands for every function that is called by its address.
_INDIRECT = "__indirect_call"
#: Time limit of a call of the compiler (seconds).
_TIMEOUT = 600


class Footprints(NamedTuple):
    """Sizes in the compilers of a machine, and notes on those that are missing."""

    found: Tuple[Footprint, ...]
    notes: Tuple[str, ...]


def footprints(model: CModel, host: Optional[Compiler], check: Callable[[], None] = lambda: None) -> Footprints:
    """Measure a model in the ``host``'s compiler, if there is one, and in the one for Arm's microcontrollers.

    ``check`` is called repeatedly while a compiler runs; if it raises, the compiler is stopped.
    """
    found: List[Footprint] = []
    notes: List[str] = []
    if host is not None:
        _add(model, host, (), check, found, notes)
    if shutil.which(ARM) is None:
        notes.append(f"sizes for Cortex-M: not measured, {ARM} is not on the PATH")
    else:
        listed = subprocess.run([ARM, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        version = listed.stdout.decode("utf-8", "replace").splitlines()
        _add(model, Compiler((ARM,), version[0].strip() if version else ARM), _ARM_FLAGS, check, found, notes)
    return Footprints(tuple(found), tuple(notes))


def _add(
    model: CModel,
    compiler: Compiler,
    flags: Sequence[str],
    check: Callable[[], None],
    found: List[Footprint],
    notes: List[str],
) -> None:
    try:
        found.append(footprint(model, compiler, flags, check))
    except (ExportError, OSError) as error:
        notes.append(f"sizes of the code of {compiler.version}: not measured ({' '.join(str(error).split())[:200]})")


def footprint(
    model: CModel, compiler: Compiler, flags: Sequence[str] = (), check: Callable[[], None] = lambda: None
) -> Footprint:
    """Measure a model, without its test, in one compiler with further ``flags``; ``check`` as in :func:`footprints`.

    Raises
    ------
    ExportError
        If it does not compile, or the compiler lacks a linker or a program that lists sizes.
    """
    sources = [path for path in model.sources if not path.endswith("main.c")]
    with tempfile.TemporaryDirectory(prefix="qatviz-size-") as name:
        folder = Path(name)
        for path, content in model.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        command = [*compiler.command, *_FLAGS, *flags, *_SECTIONS, *("-I" + include for include in model.includes)]
        objects = [f"{number}.o" for number in range(len(sources))]

        def compile_all(*more: str) -> None:
            for source, target in zip(sources, objects):
                call([*command, *more, "-c", "-o", target, source], folder, timeout=_TIMEOUT, check=check)

        try:
            compile_all(_CALL_GRAPH)
        except ExportError:
            compile_all()
        graphs = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.rglob("*.ci"))]
        linking = ["-nostdlib", "-r", "-Wl,--gc-sections", f"-Wl,-e,{model.stem}_run", "-o", "linked.o"]
        call([*compiler.command, *flags, *linking, *objects], folder, timeout=_TIMEOUT, check=check)
        program = call([*compiler.command, "-print-prog-name=size"], folder).decode("utf-8", "replace").strip()
        sections = _sections(call([program, "-A", "linked.o"], folder).decode("utf-8", "replace"))
    # The names of constants with addresses begin as those of memory do.
    memory = _total(sections, _MEMORY, but=_CONSTANTS)
    words = " ".join([*compiler.command[1:], "-Os", *flags])
    stack = deepest_stack(graphs, model.stem + "_run")
    code, constants = _total(sections, _CODE), _total(sections, _CONSTANTS)
    return Footprint(compiler.version, words, code, constants, memory, stack)


def _total(sections: Sequence[Tuple[str, int]], names: Tuple[str, ...], but: Tuple[str, ...] = ()) -> int:
    return sum(nbytes for name, nbytes in sections if name.startswith(names) and not name.startswith(but))


def _sections(listing: str) -> List[Tuple[str, int]]:
    return [(name, int(size)) for name, size in re.findall(r"^(\.\S+)\s+(\d+)\s", listing, re.MULTILINE)]


def deepest_stack(graphs: Iterable[str], function: str) -> Optional[int]:
    """Return the depth of the stack (bytes) in the deepest chain of calls from a function, from call graphs of GCC.

    A static function that no other calls by its name is called by its address. Functions without a frame in the graphs,
    those of the C library, count as 0. None if there is no graph of the function, or if it is recursive.
    """
    frames: Dict[str, int] = {}
    calls: Dict[str, Set[str]] = {}
    for graph in graphs:
        for title, nbytes in re.findall(r'^node: { title: "([^"]*)" label: "[^"]*?(\d+) bytes', graph, re.MULTILINE):
            frames[title] = int(nbytes)
        for source, target in re.findall(r'^edge: { sourcename: "([^"]*)" targetname: "([^"]*)"', graph, re.MULTILINE):
            calls.setdefault(source, set()).add(target)
    named = {target for targets in calls.values() for target in targets}
    calls[_INDIRECT] = {title for title in frames if ":" in title and title not in named}
    known: Dict[str, int] = {}

    def depth(title: str, callers: Tuple[str, ...]) -> int:
        if title in callers:
            raise RecursionError(title)
        if title not in known:
            deeper = [depth(target, (*callers, title)) for target in calls.get(title, ())]
            known[title] = frames.get(title, 0) + max(deeper, default=0)
        return known[title]

    try:
        return depth(function, ()) if function in frames else None
    except RecursionError:
        return None
