"""Evaluator of integer models as arrays, which the check program of an .npz is: written from the description alone."""

import os
from pathlib import Path

import numpy as np

from qatviz.export.guide import guide

TEXT = (Path(guide.__file__).parent / "check" / "npz.txt").read_text(encoding="ascii")
TEXT = TEXT.replace("@parameter@", "").replace("@chosen@", 'record["output"]')
_NAMES = {"os": os, "np": np}
exec(TEXT, _NAMES)
load, evaluate = _NAMES["load"], _NAMES["evaluate"]
