"""Evaluator of integer models as arrays, which the check program of an .npz is: written from the description alone."""

import os

import numpy as np

from qatviz.export.guide import guide

TEXT = guide.runner_text("npz", True, {})
_NAMES = {"os": os, "np": np}
exec(TEXT, _NAMES)
load, evaluate = _NAMES["load"], _NAMES["evaluate"]
