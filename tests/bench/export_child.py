"""Child process of bench_export: a real window with a real run that is exported by a click; prints one line of JSON.

The figure is the longest time between two steps during an export, from the click to the table, minus the median of the
longest times in equal periods without export: evaluations and snapshots also come between steps.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
EXPORTS = 3
WARM_UP_S = 8.0
FORMAT = "tflite"
_EXPORT_TIMEOUT_S = 500.0


def record_step_times():
    """Return a list to which the training thread appends the time of each step."""
    from qatviz.telemetry import collector

    times, put = [], collector.Collector.put

    def recording(self, item):
        if isinstance(item, collector.RawStep):
            times.append(time.perf_counter())
        put(self, item)

    collector.Collector.put = recording
    return times


def measure(app, window, times):
    """Alternate exports with equally long periods without."""
    from window_child import wait, watch

    watch(app, WARM_UP_S)
    window.named["export"].trigger()
    dialog = window.exports.dialog
    dialog.form.formats.choose(FORMAT)
    ended, seconds = [], []
    dialog.exporter.ended.connect(ended.append)
    gaps, rates = {"exporting": [], "quiet": []}, {"exporting": [], "quiet": []}
    for number in range(EXPORTS):
        for what in ("exporting", "quiet"):
            first, begin = len(times) - 1, time.perf_counter()
            if what == "exporting":
                dialog.again.click()
                dialog.start.click()
                wait(app, lambda: len(ended) > number, _EXPORT_TIMEOUT_S)
                seconds.append(time.perf_counter() - begin)
                if ended[-1].record is None:
                    raise RuntimeError(ended[-1].message + "\n" + ended[-1].details)
            else:
                watch(app, seconds[-1])
            between = np.diff([*times[first:], time.perf_counter()])
            gaps[what].append(float(between.max()) * 1e3)
            rates[what].append(len(between) / (time.perf_counter() - begin))
    dialog.close()
    return {
        "value": max(gaps["exporting"]) - float(np.median(gaps["quiet"])),
        "exporting_ms": gaps["exporting"],
        "quiet_ms": gaps["quiet"],
        "export_s": seconds,
        "steps_per_second": float(np.median(rates["quiet"])),
        "steps_per_second_exporting": float(np.median(rates["exporting"])),
    }


def main(network):
    """Open the window, train and export."""
    from window_child import make_application, wait

    from qatviz.session.request import NO_LIMIT, NewRunRequest

    times = record_step_times()
    with tempfile.TemporaryDirectory() as folder:
        app, application = make_application(folder)
        window = application.open_window()
        window.launcher.begin(NewRunRequest(network=network, steps=NO_LIMIT, out=os.path.join(folder, "run")))
        wait(app, lambda: window.model.snapshot is not None and window.model.step > 5)
        result = measure(app, window, times)
        window.close()
        application.finish()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    main(*sys.argv[1:])
