"""Child process of bench_data_store: trains a small network on images and prints bytes per second, seconds per step and
its largest resident size in MB."""

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
BATCH_SIZE, WARM_UP, EXAMPLES_IN_MEMORY = 64, 5, 512
#: Steps on examples in memory.
STEPS_IN_MEMORY = 200


def main(kind: str, path: str) -> None:
    """Train one epoch on the store at ``path``; or, for ``memory``, on a few of its examples in memory."""
    from qatviz.data import load
    from qatviz.network.graph import NetworkBuilder
    from qatviz.network.layers import Dense, GlobalAveragePool
    from qatviz.network.plan import quantization_plan
    from qatviz.protocol.branches import BranchCursor
    from qatviz.protocol.run_spec import RunSpec
    from qatviz.protocol.settings_book import SettingsBook
    from qatviz.training.building import graph_arguments
    from qatviz.training.graph import TrainingGraph
    from qatviz.training.live_run import LiveRun

    data = load(path)
    steps = len(data.x_train) // BATCH_SIZE
    if kind == "memory":
        few = slice(EXAMPLES_IN_MEMORY)
        data = replace(data, x_train=data.x_train[few], y_train=data.y_train[few], x_test=data.x_test[few])
        steps = STEPS_IN_MEMORY
    net = NetworkBuilder("pooled", data.input_shape)
    net.add(GlobalAveragePool, "pool")
    net.add(Dense, "logits", units=2)
    network = net.network()
    book = SettingsBook.from_preset(quantization_plan(network), "tflite-int8")
    spec = RunSpec(network, data, path, book, batch_size=BATCH_SIZE, telemetry=False)
    graph = TrainingGraph(*graph_arguments(spec))
    live = LiveRun(graph, spec, BranchCursor(), lambda event: None)
    for _ in range(WARM_UP):
        live.train_step()
    begin = time.perf_counter()
    for _ in range(steps - WARM_UP):
        live.train_step()
    seconds = (time.perf_counter() - begin) / (steps - WARM_UP)
    graph.close()
    example_bytes = data.x_train.nbytes / len(data.x_train)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(BATCH_SIZE * example_bytes / seconds, seconds, peak)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parents[1])]
    main(*sys.argv[1:])
