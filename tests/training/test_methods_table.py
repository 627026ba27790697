"""The benchmark of methods for few bits: its settings, and its stored figures, which docs/methods.md shows."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
import bench_methods
import methods_table
import stored_figures

STORED = stored_figures.read(methods_table.STORED)
#: Largest loss of the preset low-bit against float, in percentage points.
BARS = {"w4a4": 0.5, "w3a3": 1.0, "w2a2": 3.0}


def test_the_document_has_the_tables_of_the_stored_figures():
    text = methods_table.DOCUMENT.read_text(encoding="utf-8")
    begin, end = methods_table.BEGIN, methods_table.END
    assert stored_figures.with_table(text, begin, end, methods_table.tables(STORED)) == text


def test_every_method_has_words_and_every_stored_figure_a_method():
    assert [*bench_methods.METHODS, bench_methods.TORCH] == list(methods_table.METHODS)
    known = {name.split("/", 1)[1] for name in bench_methods.NAMES}
    assert {name.split("/", 1)[1] for name in STORED} <= known


@pytest.mark.parametrize("method", bench_methods.METHODS)
@pytest.mark.parametrize("bits", bench_methods.BITS)
def test_the_settings_of_each_method_are_allowed_and_end_at_its_bits(method, bits):
    from live_graph import run_spec

    chosen = bench_methods.METHODS[method]
    settings = bench_methods.settings_of("dscnn", method, bits)
    book = run_spec("dscnn", chosen.preset, tuple(settings)).book
    weights, activations = bench_methods.BITS[bits]
    if chosen.begins_with is None:
        found = {(tensor.kind, each.num_bits) for tensor, each in zip(book.plan.tensors, book.quantizers)}
        assert {("weights", weights), ("activations", activations)} <= found
    else:
        assert (book.run.ladder, book.run.ladder_lowest) == (True, weights)


@pytest.mark.parametrize("network", ["dscnn", "resnet8"])
@pytest.mark.parametrize("bits", BARS)
def test_the_recommended_preset_keeps_its_accuracy_in_the_stored_figures(network, bits):
    ours, torch = (STORED.get(f"mnist-5k/{network}/{method}/{bits}") for method in ("low_bit", "torch_lsq"))
    if ours is None or torch is None:
        pytest.skip(f"{network} was not measured with {bits}")
    number = min(len(ours["seeds"]), len(torch["seeds"]))
    assert ours["seeds"][:number] == torch["seeds"][:number] and number >= 3
    assert np.mean(ours["accuracy_float"]) - np.mean(ours["accuracy"]) <= BARS[bits]
    # From the same parameters on the same batches: what is not explained by the seeds would be a loss.
    gain = np.subtract(ours["accuracy"][:number], torch["accuracy"][:number])
    assert np.mean(gain) >= -np.std(gain, ddof=1) / np.sqrt(number)


def test_a_cell_of_the_table_is_mean_and_deviation():
    figure = {"accuracy": [90.0, 91.0], "accuracy_start": [92.0], "accuracy_float": [93.0], "seeds": [0, 1], "steps": 7}
    table = methods_table.tables({"mnist-5k/dscnn/low_bit/w3a3": figure}).splitlines()
    assert table[0].startswith("**dscnn, mnist-5k**: in float 92.0 at the start, 93.0 after as many steps")
    assert table[0].endswith("7 steps, 2 seeds.")
    assert table[-1] == "| preset `low-bit` | – | 90.5 ± 0.7 | – | – | – |"
