"""Run the benchmarks and print one JSON object per line: name, value, unit and details of each figure.

    python tests/bench/run.py                                  all
    python tests/bench/run.py --only step_ratio_contrib        those whose names start with this
    python tests/bench/run.py --only step_ratio_contrib/lenet  one

A module ``bench_*.py`` of this directory has ``NAMES``, its figures, and ``run(names)``, which yields one dict for each
of the given figures.
"""

import argparse
import importlib
import json
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent


def modules():
    """Return the benchmark modules, in the order of their names."""
    return [importlib.import_module(path.stem) for path in sorted(HERE.glob("bench_*.py"))]


def selected(names, only):
    """Return the names that start with ``only`` (None: all)."""
    return [name for name in names if only is None or name.startswith(only)]


def main(arguments=None):
    """Return the exit code: 0; 1 if a benchmark failed (with its traceback on standard error; the others run); 2 for an
    unknown name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="name of a figure, or its beginning")
    only = parser.parse_args(arguments).only
    work = [(module, selected(module.NAMES, only)) for module in modules()]
    if not any(names for _, names in work):
        known = [name for module, _ in work for name in selected(module.NAMES, None)]
        parser.error(f"--only is {only!r}: expected one of {', '.join(known)}, or the beginning of a name")
    failed = False
    for module, names in work:
        try:
            for figure in module.run(names) if names else ():
                print(json.dumps(figure), flush=True)
        except Exception:
            traceback.print_exc()
            failed = True
    return int(failed)


if __name__ == "__main__":
    # Measure this checkout, whatever is installed.
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    sys.exit(main())
