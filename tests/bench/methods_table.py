"""The tables of docs/methods.md: ``methods_table.py [measure [TEXT...]]``.

Without an argument, it rewrites the tables from the stored figures, ``methods_table.json``. With ``measure``, it first
measures and stores the figures of bench_methods.py that are not stored yet and whose names contain one of the texts, in
the order of the texts; it can be interrupted and continued. To measure a figure again, delete its line. The variables
of bench_methods.py choose the data, steps and seeds.
"""

import sys
from pathlib import Path

import stored_figures

HERE = Path(__file__).resolve().parent
STORED, DOCUMENT = HERE / "methods_table.json", HERE.parents[1] / "docs" / "methods.md"
#: The tables stand between these lines of the document.
BEGIN = "<!-- tables of methods: written by tests/bench/methods_table.py -->\n\n"
END = "\n<!-- end of the tables of methods -->\n"
#: Keys of a stored figure.
_KEPT = ("accuracy", "accuracy_start", "accuracy_float", "seeds", "steps")
#: Rows by method, in words; METHODS of bench_methods.py, and PyTorch's.
METHODS = {
    "min_max": "min–max ranges",
    "mse": "ranges of least squared error",
    "percentile": "percentile ranges",
    "kl": "KL ranges of activations",
    "cosine": "cosine learning rate",
    "learned": "learned scales (LSQ)",
    "learned_range": "learned scales and ranges (LSQ+)",
    "learned_clip": "learned clips of activations (PACT)",
    "power_of_two": "learned power-of-two scales (TQT)",
    "tanh": "tanh map of weights (DoReFa)",
    "ternary": "ternary weights (TWN)",
    "gradient_scaling": "gradient scaling (EWGS)",
    "stochastic_rounding": "stochastic rounding of weights",
    "dampening": "dampening of oscillation",
    "iterative_freezing": "freezing of oscillating weights",
    "ramp": "strength ramp",
    "ladder": "bit ladder from 8 bits",
    "distillation": "distillation from the first weights",
    "round_biases": "biases rounded in training",
    "freeze_batch_norm": "batch norm frozen for the last steps",
    "batch_norm": "batch norm estimated anew at the end",
    "equalization": "layers equalized at first",
    "bias_correction": "biases corrected at the end",
    "adaround": "AdaRound at first",
    "low_bit": "preset `low-bit`",
    "torch_lsq": "LSQ in PyTorch",
}
_UNKNOWN = "–"


def measure(*texts):
    """Measure the figures that are not stored yet, and store each."""
    import bench_methods

    for text in texts or ("",):
        for name in bench_methods.NAMES:
            key = stored_name(bench_methods.DATA, name)
            if text not in name or key in stored_figures.read(STORED):
                continue
            for figure in bench_methods.run([name]):
                print(figure, file=sys.stderr, flush=True)
                if "skipped" not in figure:
                    kept = {name: _rounded(figure[name]) for name in _KEPT}
                    stored_figures.write(STORED, {**stored_figures.read(STORED), key: kept})


def _rounded(value):
    """Return percentages without the digits of binary fractions; all other values as they are."""
    return [round(each, 3) for each in value] if isinstance(value, list) else value


def stored_name(data, name):
    """Return the key of a figure of bench_methods.py: data, network, method and bits."""
    return "/".join((data, *name.split("/")[1:]))


def tables(figures):
    """Return the tables in Markdown, one for each data set and network."""
    from bench_methods import BITS, NETWORKS

    parts = []
    for data in sorted({name.split("/")[0] for name in figures}, key=lambda data: (data != "mnist-5k", data)):
        for network in NETWORKS:
            found = {name: figure for name, figure in figures.items() if name.startswith(f"{data}/{network}/")}
            if found:
                parts.append(_table(data, network, found, tuple(BITS)))
    return "\n".join(parts)


def _table(data, network, figures, bits):
    steps = sorted({figure["steps"] for figure in figures.values()})
    largest = max(figures.values(), key=lambda figure: len(figure["seeds"]))
    begun, in_float = (_mean_and_deviation(largest[key]) for key in ("accuracy_start", "accuracy_float"))
    seeds = sorted({len(figure["seeds"]) for figure in figures.values()})
    lines = [
        f"**{network}, {data}**: in float {begun} at the start, {in_float} after as many steps in float;"
        f" {_either(steps)} steps, {_either(seeds)} seeds.",
        "",
        f"| Method | {' | '.join(name.upper() for name in bits)} |",
        "|---" * (1 + len(bits)) + "|",
    ]
    for method, words in METHODS.items():
        row = [figures.get(f"{data}/{network}/{method}/{name}") for name in bits]
        if any(row):
            cells = [_mean_and_deviation(figure["accuracy"]) if figure else _UNKNOWN for figure in row]
            lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _either(numbers):
    return " or ".join(map(str, numbers))


def _mean_and_deviation(values):
    from bench_methods import mean_and_deviation

    mean, deviation = mean_and_deviation(values)
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def main(arguments):
    if arguments and arguments[0] == "measure":
        measure(*arguments[1:])
    text = stored_figures.with_table(
        DOCUMENT.read_text(encoding="utf-8"), BEGIN, END, tables(stored_figures.read(STORED))
    )
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    main(sys.argv[1:])
