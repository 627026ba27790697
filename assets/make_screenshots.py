#!/usr/bin/env python3
"""Make the pictures of the README: ``python3 assets/make_screenshots.py``, from the root of a prepared checkout.

They are of the real window and a real run, in which a layer goes through 3 bits, per tensor, and back to 8.
"""

import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.join(ROOT, "assets", "screenshots")
STEPS = 900
CHANGES = ("300:conv2.weights.num_bits=3", "500:conv2.weights.per_channel=off", "700:conv2.weights.num_bits=8")
PICTURES = {
    "dark": ["--size", "1600x960"],
    "light": ["--size", "1600x960", "--theme", "light", "--show", "network", "--show", "layers"],
    "decide": ["--size", "1600x960", "--show", "network", "--show", "chip"],
}


def qatviz(*arguments):
    """Run the program of this checkout."""
    subprocess.run([sys.executable, os.path.join(ROOT, "bootstrap.py"), "run", *arguments], cwd=ROOT, check=True)


def main():
    """Train a run, then draw it."""
    os.makedirs(TARGET, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = os.path.join(folder, "run")
        changes = [word for change in CHANGES for word in ("--set", change)]
        qatviz("train", "--steps", str(STEPS), "--evaluation-interval", "50", "--out", run, *changes)
        for name, options in PICTURES.items():
            qatviz("screenshot", "--record", run, "--out", os.path.join(TARGET, name + ".png"), *options)


if __name__ == "__main__":
    main()
