"""Bars on what a computation costs that neither the load nor the speed of the machine decides on.

The processor time of the calling thread is compared with that of a fixed piece of work in the same process.
"""

import time

import numpy as np

#: Seconds that the fixed work takes on the machine that the tests' bars were set on.
_UNIT_S = 0.032


def least_s(function, times=5):
    """Return the least processor time of several calls, as seconds on the machine that the bars were set on."""
    taken = []
    for _ in range(times):
        began = time.thread_time()
        function()
        taken.append(time.thread_time() - began)
    return min(taken) / slowness()


def slowness():
    """Return the factor by which this machine is slower now than the one of reference."""
    return min(_fixed_work_s() for _ in range(5)) / _UNIT_S


def _fixed_work_s():
    """Return the processor time of fixed work, half in the interpreter, half in NumPy.

    A cumulative sum takes equally long with any NumPy, as no instruction adds more than one number to it. Most other
    work, such as sorting, is several times faster with a current NumPy than with 1.18.
    """
    began = time.thread_time()
    counts = {}
    for number in range(180_000):
        counts[number % 97] = counts.get(number % 97, 0) + number
    values = np.arange(20_000, dtype=np.float64)
    sums = np.empty_like(values)
    for _ in range(200):
        np.cumsum(values, out=sums)
    return time.thread_time() - began
