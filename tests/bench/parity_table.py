"""The README's tables of agreement: ``parity_table.py [measure [TEXT]]``.

Without an argument, it rewrites the tables from the stored figures, ``parity_table.json``. With ``measure``, it first
measures the figures (whose names contain TEXT) anew in the runtimes that the machine has (see newer_runtimes.py), and
stores each; those of missing runtimes keep their stored values. A row of the first table is the worst of the networks
in :data:`NETWORKS`; the second has a column for each network of layers that these don't have.
"""

import sys
from pathlib import Path

import stored_figures

HERE = Path(__file__).resolve().parent
STORED, README = HERE / "parity_table.json", HERE.parents[1] / "README.md"
#: The table stands between these lines of the README.
BEGIN, END = "<!-- parity table: written by tests/bench/parity_table.py -->\n\n", "\n<!-- end of the parity table -->\n"
LAYERS_BEGIN = "<!-- table of layers: written by tests/bench/parity_table.py -->\n\n"
LAYERS_END = "\n<!-- end of the table of layers -->\n"
NETWORKS = ("few_layers", "resnet8")
#: Columns of the table of layers by network.
LAYERS = {
    "functions": "functions",
    "products": "products, extremes",
    "transposed": "transposed, grouped",
    "enlarged": "enlarged",
    "sequence": "1-D",
}
#: Rows by setting: those of 8 bits, of 4-bit weights and of 16-bit activations; and the names of forms in words.
SETTINGS = {
    "8-bit-per-channel": "8 bits",
    "w4": "4-bit weights",
    "a16": "16-bit activations",
}
_FORMATS = {
    "tflite": "`tflite`",
    "tflite-double-rounding": "`tflite --double-rounding`",
    "tflite-int4": "`tflite --int4`",
    "tflite-int4-all": "`tflite --int4 --int4-all`",
    "tflite-int16": "`tflite --int16`",
    "tflm": "`tflm`",
    "tflm-int16": "`tflm --int16`",
    "onnx": "`onnx`",
    "onnx-int8": "`onnx --storage int8`",
    "onnx-exact": "`onnx --exact`",
    "c": "`c`",
    "npz": "`npz`",
    "savedmodel": "`savedmodel`",
    "frozen": "`frozen`",
    "frozen-exact": "`frozen --form exact`",
}
_RUNTIMES = {
    "interpreter": "TensorFlow 1.15's interpreter",
    "litert": "LiteRT",
    "litert-builtin": "LiteRT without XNNPACK",
    "tflite-micro": "TFLite Micro",
    "onnxruntime": "onnxruntime",
    "newer-onnxruntime": "onnxruntime, current",
    "newer-onnxruntime-unoptimized": "onnxruntime, current, unoptimized",
    "openvino": "OpenVINO",
    "iree": "IREE",
    "reference": "onnx.reference, opset 21",
    "compiled": "C compiler",
    "gcc": "gcc",
    "clang": "clang",
    "gcc-m32": "gcc, 32 bits",
    "aarch64": "gcc, 64-bit Arm in QEMU",
    "sanitized": "gcc with sanitizers",
    "simulator": "integer simulator",
    "tensorflow": "TensorFlow 1.15",
    "tensorflow2": "TensorFlow 2",
}
#: First part of the names of the figures of the table of layers.
LAYER_KIND = "parity_layers"
#: Keys of a stored figure.
_KEPT = ("identical", "largest", "top1", "runtime", "examples")


def selected(names):
    """Return the names of figures in the table."""
    found = []
    for name in names:
        kind, *parts = name.split("/", 3)
        if kind == LAYER_KIND:
            found.append(name)
        elif kind.startswith("parity") and parts[0] in NETWORKS and parts[1] in SETTINGS and "/" in parts[2]:
            form, is_8 = parts[2].split("/")[0], parts[1] == "8-bit-per-channel"
            wanted = not form.startswith(("tflite-int4", "tflite-int16")) if is_8 else form.startswith("tflite-int4")
            if parts[1] == "a16":
                wanted = form in ("tflite-int16", "c", "onnx", "onnx-exact", "frozen", "frozen-exact")
            found += [name] if wanted else []
    return found


def measure(text=""):
    """Measure figures and store them."""
    import bench_parity

    names = [name for name in selected(bench_parity.NAMES) if text in name]
    for figure in bench_parity.run(names):
        found = stored_figures.read(STORED)
        if "identical" in figure:
            found[figure["name"]] = {key: figure[key] for key in _KEPT}
        elif "not_run" not in figure:
            found.pop(figure["name"], None)
        stored_figures.write(STORED, found)


def table(figures):
    """Return the table in Markdown."""
    rows = {}
    for name, figure in figures.items():
        kind, _, setting, form = name.split("/", 3)
        if kind == LAYER_KIND:
            continue
        rows.setdefault((list(SETTINGS).index(setting), form), []).append(figure)
    lines = [
        "| Settings | Format | Runtime | Identical codes | Largest difference | Top-1 |",
        "|---|---|---|---|---|---|",
    ]
    for (place, form), found in sorted(rows.items()):
        form, runtime = form.split("/")
        identical, top1 = (min(figure[key] for figure in found) for key in ("identical", "top1"))
        largest = max(figure["largest"] for figure in found)
        cells = (list(SETTINGS.values())[place], _FORMATS[form], _RUNTIMES[runtime], _share(identical), str(largest))
        lines.append(f"| {' | '.join(cells)} | {_share(top1)} |")
    return "\n".join(lines) + "\n"


def layer_table(figures):
    """Return the table of layers in Markdown; a form that a network does not have, or that does not run, is a dash."""
    rows = {}
    for name, figure in figures.items():
        kind, network, setting, form = name.split("/", 3)
        if kind == LAYER_KIND:
            rows.setdefault((list(SETTINGS).index(setting), form), {})[network] = figure
    lines = [
        f"| Settings | Format | Runtime | {' | '.join(LAYERS.values())} |",
        "|---" * (3 + len(LAYERS)) + "|",
    ]
    for (place, form), found in sorted(rows.items()):
        form, runtime = form.split("/")
        cells = [list(SETTINGS.values())[place], _FORMATS[form], _RUNTIMES[runtime]]
        cells += [_with_largest(found[network]) if network in found else "–" for network in LAYERS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _with_largest(figure):
    """Return the fraction of identical codes, with the largest difference if there is one."""
    return _share(figure["identical"]) + (f" (±{figure['largest']})" if figure["largest"] else "")


def _share(value):
    """Return a fraction in percent, rounded down, so that only what is always the same is 100 %."""
    return "100 %" if value == 1 else f"{int(value * 1000) / 10:.1f} %"


def with_table(text, figures):
    """Return the text of the README with the tables of figures."""
    for begin, end, made in ((BEGIN, END, table), (LAYERS_BEGIN, LAYERS_END, layer_table)):
        text = stored_figures.with_table(text, begin, end, made(figures))
    return text


def main(arguments):
    if arguments and arguments[0] == "measure":
        measure(*arguments[1:])
    README.write_text(with_table(README.read_text(encoding="utf-8"), stored_figures.read(STORED)), encoding="utf-8")


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    main(sys.argv[1:])
