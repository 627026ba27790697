"""The qualitative laws of quantization, measured on trained networks.

- SQNR falls by about 6.02 dB per bit (Bennett, 1948) if nothing is clipped: slope over 4 to 12 bits for the weights of
  a trained lenet.
- RMSE/scale is near 1/sqrt(12) = 0.289 without clipping: mean over the same tensors at 8 bits.
- Per channel beats per tensor at 4 bits on dscnn: points of quantized accuracy, after training with each.
"""

from typing import Dict, Iterator, Sequence

import numpy as np
from bench_accuracy import accuracy_of
from live_graph import CONTRIB_PRESET, run_spec

from qatviz.protocol import events
from qatviz.protocol.commands import InspectTensor, SingleStep
from qatviz.protocol.snapshots import TensorValues
from qatviz.quant.affine import choose_grid
from qatviz.quant.measures import measure
from qatviz.training.handle import Run

DB_PER_BIT, RMSE_OVER_SCALE, PER_CHANNEL = (
    "sqnr_db_per_bit/lenet",
    "rmse_over_scale_8_bits/lenet",
    "accuracy_points_per_channel_above_tensor_w4/dscnn",
)
NAMES = (DB_PER_BIT, RMSE_OVER_SCALE, PER_CHANNEL)
STEPS = 200
BITS = tuple(range(4, 13))
SEEDS = (0, 1, 2)
_TENSOR, _CHANNEL = (
    (
        ("*.weights.num_bits", 4),
        ("*.weights.symmetric", True),
        ("*.weights.narrow_range", True),
        ("*.weights.per_channel", flag),
    )
    for flag in (False, True)
)


def run(names: Sequence[str]) -> Iterator[Dict]:
    """Measure the figures ``names``."""
    if {DB_PER_BIT, RMSE_OVER_SCALE} & set(names):
        weights = _trained_weights()
    if DB_PER_BIT in names:
        slopes = {
            name: np.polyfit(BITS, [_measured(w, bits).sqnr_db for bits in BITS], 1)[0] for name, w in weights.items()
        }
        yield {"name": DB_PER_BIT, "unit": "dB", "value": float(np.mean(list(slopes.values()))), "tensors": slopes}
    if RMSE_OVER_SCALE in names:
        found = {name: _measured(w, 8).rmse_over_scale for name, w in weights.items()}
        yield {
            "name": RMSE_OVER_SCALE,
            "unit": "scales",
            "value": float(np.mean(list(found.values()))),
            "tensors": found,
        }
    if PER_CHANNEL in names:
        tensor, channel = (
            [accuracy_of("dscnn", CONTRIB_PRESET, seed, settings) for seed in SEEDS] for settings in (_TENSOR, _CHANNEL)
        )
        yield {
            "name": PER_CHANNEL,
            "unit": "percentage points",
            "value": 100.0 * (np.mean(channel) - np.mean(tensor)),
            "accuracy_per_tensor": tensor,
            "accuracy_per_channel": channel,
        }


def _measured(values: np.ndarray, num_bits: int):
    return measure(values, choose_grid(values.min(), values.max(), num_bits, False, False))


def _trained_weights() -> Dict[str, np.ndarray]:
    """Return the weights of a lenet after short 8-bit training, by tensor."""
    run_ = Run(run_spec("lenet", steps=None))
    names = [t.name for t in run_.spec.plan.tensors if t.kind == "weights"]
    run_.send(SingleStep(STEPS))
    run_.start()
    while run_.state != "paused":
        run_.wait_for_news(0.1)
    run_.drain()
    for name in names:
        run_.send(InspectTensor(name))
    found = {}
    while len(found) < len(names):
        run_.wait_for_news(1.0)
        for item in run_.drain():
            if isinstance(item, TensorValues):
                found[item.name] = item.values
            elif isinstance(item, events.Failed):
                raise RuntimeError(item.traceback)
    run_.request_stop()
    run_.wait()
    return found
