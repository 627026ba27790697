"""Blobs are read back unchanged, or refused."""

import contextlib
import dataclasses
import json
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from telemetry_samples import assert_same_array, assert_same_snapshot, assert_steps, snapshot, step_record
from wire_cases import POINTS, SAVE_REASONS

from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol.run_state import RunState
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import FIRST_SNAPSHOT_MEASURES
from qatviz.protocol.wire import (
    pack,
    pack_snapshot,
    pack_steps,
    snapshot_of_parts,
    snapshot_parts,
    to_json,
    unpack,
    unpack_snapshot,
    unpack_steps,
)
from qatviz.telemetry.record.reader import StepSeries
from qatviz.telemetry.record.schema import row_crc

DTYPES = st.sampled_from([np.bool_, np.int8, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64])
PLAN = quantization_plan(zoo.build("mlp", (6, 6, 1), 3))
BOOKS = [SettingsBook.from_preset(PLAN, preset) for preset in ("float", "int4", "tflite-int8")]
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4), st.dictionaries(st.text(min_size=7), st.integers()))
def test_arrays_and_header_round_trip(arrays, header):
    found_header, found = unpack(pack(header, arrays))
    assert found_header == header
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape and not found[name].flags.writeable
        assert_same_array(found[name], array)


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::-1, ::2], lambda a: a.astype(">f4"), np.asfortranarray])
def test_layout_in_memory_does_not_matter(view):
    array = view(np.arange(24, dtype=np.float32).reshape(4, 6))
    np.testing.assert_array_equal(unpack(pack({}, {"a": array}))[1]["a"], array)


@pytest.mark.parametrize("dtype", [object, "U3", np.complex64, np.longdouble, [("x", "f4")], "M8[s]"])
def test_other_types_are_refused(dtype):
    with pytest.raises(TypeError, match="'a'.*expected"):
        pack({}, {"a": np.zeros(2, dtype)})


def test_steps_and_snapshots_round_trip():
    records = [step_record(step) for step in (3, 4, 7)]
    assert_steps(StepSeries(*unpack_steps(pack_steps(records))), [3, 4, 7])
    original = snapshot(5)
    assert_same_snapshot(unpack_snapshot(pack_snapshot(original)), original)


def test_losses_of_outputs_round_trip_and_have_one_for_each_step():
    records = [dataclasses.replace(step_record(step), losses=np.float32([step, step / 2])) for step in (3, 4, 7)]
    found = StepSeries(*unpack_steps(pack_steps(records)))
    assert_steps(found, [3, 4, 7])
    assert_same_array(found.losses, np.float32([[3, 1.5], [4, 2], [7, 3.5]]))
    header, arrays = unpack(pack_steps(records))
    for wrong in (arrays["losses"][:, :2], arrays["losses"][0], arrays["losses"].astype(int)):
        with pytest.raises(ValueError, match=r"losses|block of 3 steps"):
            unpack_steps(pack(header, dict(arrays, losses=wrong)))


def test_a_snapshot_without_histograms_round_trips():
    original = dataclasses.replace(snapshot(5), histograms={})
    assert_same_snapshot(unpack_snapshot(pack_snapshot(original)), original)


@settings(deadline=None)
@given(st.integers(0, 99), st.one_of(st.none(), st.integers(0, 99)), st.integers(1, 20))
def test_a_snapshot_keeps_the_position_of_its_state(step, position, n_bins):
    original = dataclasses.replace(snapshot(step, n_bins), position=position)
    again = unpack_snapshot(pack_snapshot(original))
    assert_same_snapshot(again, original)
    assert again.position == position


@settings(deadline=None)
@given(SAVE_REASONS, POINTS, st.sampled_from(BOOKS))
def test_the_metadata_of_states_round_trip(reason, point, book):
    state = RunState(point.step, 1.5, book, {}, "mine", reason, point.branch, point.position)
    again = RunState.from_checkpoint("mine", {}, json.loads(to_json(state.meta())), book.plan)
    assert (again.point, again.seconds, again.name, again.reason) == (point, 1.5, "mine", reason)
    assert again.book == book


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_blobs_raise_only_documented_errors(data):
    blob = bytearray(pack_snapshot(snapshot(5)))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.one_of(st.integers(0, 400), st.integers(0, len(blob) - 1)))
        blob[position] = data.draw(st.integers(0, 255))
    documented = (ValueError, TypeError, KeyError, IndexError, ArithmeticError, AttributeError, zlib.error)
    with contextlib.suppress(
        *documented
    ):  # a row's checksum, not the blob, guards against flips that leave a valid blob
        unpack_snapshot(bytes(blob))


@pytest.mark.parametrize("width", [4.8, 0, 17, True, "8", None])
def test_a_bit_width_that_is_none_is_a_value_error(width):
    """Readers of records and of frames expect this kind."""
    header, arrays = snapshot_parts(snapshot(5))
    header["num_bits"][0] = width
    with pytest.raises(ValueError, match="num_bits is .*: expected a whole number from 1 to 16"):
        snapshot_of_parts(header, arrays)


def test_a_bomb_is_not_inflated():
    blob = pack({}, {"a": np.zeros(8, np.uint8)})
    header_length = int.from_bytes(blob[:4], "little")
    bomb = blob[: 12 + header_length] + zlib.compress(bytes(100_000_000), 9)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="expected 8"):
            unpack(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    huge = blob[:4] + (1 << 40).to_bytes(8, "little") + blob[12:]
    with pytest.raises(ValueError, match=str(1 << 40)):
        unpack(huge)


@pytest.mark.parametrize(
    "type_name, shape",
    [
        ("|u1", [-1]),
        ("|u1", [1 << 40]),
        ("|u1", [1 << 62, 1 << 62]),
        ("|u1", ["x"]),
        ("|O", [1]),
        ("<f3", [1]),
        ("<f16", [0]),
        ("(__import__('os').mkdir('type-was-executed'),)f4", [1]),
        (",", [1]),
    ],
)
def test_hostile_arrays_are_refused(tmp_path, monkeypatch, type_name, shape):
    monkeypatch.chdir(tmp_path)
    blob = pack({}, {"a": np.zeros(8, np.uint8)})
    header_length = int.from_bytes(blob[:4], "little")
    header = json.loads(blob[12 : 12 + header_length].decode())
    header["arrays"][0][1:] = [type_name, shape]
    encoded = json.dumps(header).encode()
    with pytest.raises((ValueError, TypeError)):
        unpack(len(encoded).to_bytes(4, "little") + blob[4:12] + encoded + blob[12 + header_length :])
    assert not list(tmp_path.iterdir())


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(), st.text(), st.binary(), st.floats()), min_size=1), st.data())
def test_the_checksum_detects_a_changed_field(fields, data):
    i = data.draw(st.integers(0, len(fields) - 1))
    changed = [*fields[:i], data.draw(st.integers().filter(lambda n: n != fields[i])), *fields[i + 1 :]]
    assert row_crc(*fields) != row_crc(*changed) or repr(fields[i]) == repr(changed[i])


def test_to_json_accepts_numpy_values():
    assert json.loads(to_json({"a": np.float32(0.5), "b": np.arange(2), "c": (1, np.bool_(True))})) == {
        "a": 0.5,
        "b": [0, 1],
        "c": [1, True],
    }
    with pytest.raises(TypeError, match="object"):
        to_json(object())


def test_frozen_weights_are_a_part_of_the_values_and_older_snapshots_have_no_measures_of_them():
    whole = snapshot(3)
    name = next(name for name, known in whole.histograms.items() if known.code_counts is not None)
    known = whole.histograms[name]
    frozen = dataclasses.replace(known, frozen_counts=known.code_counts // 2, frozen_bins=known.quantized_counts // 3)
    packed = pack_snapshot(dataclasses.replace(whole, histograms={**whole.histograms, name: frozen}))
    found = unpack_snapshot(packed).histograms
    np.testing.assert_array_equal(found[name].frozen_counts, frozen.frozen_counts)
    np.testing.assert_array_equal(found[name].frozen_bins, frozen.frozen_bins)
    assert all(other.frozen_bins is None for key, other in found.items() if key != name)
    more = dataclasses.replace(known, frozen_counts=known.code_counts + 1)
    with pytest.raises(ValueError, match="no part of code_counts"):
        unpack_snapshot(pack_snapshot(dataclasses.replace(whole, histograms={**whole.histograms, name: more})))
    older = dataclasses.replace(whole, values=whole.values[: len(FIRST_SNAPSHOT_MEASURES)])
    values = unpack_snapshot(pack_snapshot(older)).values
    assert values.shape == whole.values.shape and np.isnan(values[len(FIRST_SNAPSHOT_MEASURES) :]).all()
