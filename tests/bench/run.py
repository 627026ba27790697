"""Run the benchmarks and print one JSON object a line: name, value, unit, and what else belongs to the figure.

    python tests/bench/run.py                                  all
    python tests/bench/run.py --only step_ratio_contrib        those whose name begins so
    python tests/bench/run.py --only step_ratio_contrib/lenet  one

A module ``bench_*.py`` of this directory has ``NAMES``, the figures it can measure, and ``run(names)``, which measures
those asked for, one dict after another.
"""

import argparse
import importlib
import json
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent


def modules():
    """The benchmark modules, in the order of their names."""
    return [importlib.import_module(path.stem) for path in sorted(HERE.glob("bench_*.py"))]


def selected(names, only):
    """Those of ``names`` that ``only`` (None: all) begins."""
    return [name for name in names if only is None or name.startswith(only)]


def main(arguments=None):
    """Exit code: 0; 1 if a benchmark failed (its traceback is on standard error, the others go on); 2 for an unknown
    name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="a figure's name, or how it begins")
    only = parser.parse_args(arguments).only
    work = [(module, selected(module.NAMES, only)) for module in modules()]
    if not any(names for _, names in work):
        known = [name for module, _ in work for name in selected(module.NAMES, None)]
        parser.error(f"--only is {only!r}: expected one of {', '.join(known)}, or the beginning of some")
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
    # This checkout is what is measured, whatever is installed.
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    sys.exit(main())
