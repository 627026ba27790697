"""Arrays that are read from files piece by piece give what NumPy gives for the same array in memory."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.data.read_ahead import ReadAhead
from qatviz.data.streamed import StoredArray, StreamedArray, pieces, statistics_of
from qatviz.errors import DataError

N = 50


@pytest.fixture(scope="module")
def values():
    return np.random.RandomState(0).randint(0, 256, (N, 4, 3, 2)).astype(np.uint8)


@pytest.fixture(scope="module")
def path(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("npy") / "x.npy"
    np.save(str(path), values)
    return str(path)


def _slices():
    bound = st.none() | st.integers(-N - 3, N + 3)
    step = st.none() | st.integers(1, 9) | st.integers(-9, -1)
    return st.builds(slice, bound, bound, step)


KEYS = (
    st.integers(-N, N - 1)
    | _slices()
    | st.lists(st.integers(-N, N - 1), max_size=N).map(lambda rows: np.array(rows, int))
)


@given(key=KEYS)
def test_indexing_is_that_of_numpy(key, values, path):
    found = StoredArray(path)[key]
    np.testing.assert_array_equal(found, values[key])
    assert found.dtype == values.dtype


@given(key=KEYS, rows=st.lists(st.integers(0, N - 1), min_size=N, max_size=N))
def test_rows_of_an_array_and_other_shapes_of_rows_are_those_of_numpy(key, rows, values, path):
    some = StoredArray(path).rows(np.array(rows)).reshape((N, 24))
    np.testing.assert_array_equal(some[key], values[rows].reshape(N, 24)[key])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int32"])
def test_statistics_are_those_of_numpy(dtype, values, tmp_path, monkeypatch):
    monkeypatch.setattr("qatviz.data.streamed._PIECE_BYTES", 200)  # so that there are several pieces
    array = values.astype(dtype)
    np.save(str(tmp_path / "x.npy"), array)
    stored = StoredArray(str(tmp_path / "x.npy"))
    assert len(list(pieces(stored))) > 5
    assert [part.tobytes() for part in pieces(stored)] == [part.tobytes() for part in pieces(array)]
    for found in (statistics_of(stored), statistics_of(array), statistics_of(stored.reshape((N, 24)))):
        assert (found.low, found.high) == (array.min(), array.max())
        assert found.mean == pytest.approx(array.mean(dtype=np.float64))


@pytest.mark.parametrize("key", [N, [0, N], -N - 1, 1.5, [[0]], [True]])
def test_other_indices_are_refused(key, path):
    with pytest.raises(IndexError, match="found the index"):
        StoredArray(path)[key]


def test_a_shortened_file_is_refused_when_opened_and_when_read(values, tmp_path):
    path = tmp_path / "x.npy"
    np.save(str(path), values)
    stored, content = StoredArray(str(path)), path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="its header declares"):
        StoredArray(str(path))
    with pytest.raises(DataError, match="it was changed"):
        stored[N - 1]
    path.unlink()
    with pytest.raises(DataError, match=r"x\.npy"):
        stored[0]


@pytest.mark.parametrize(
    "array",
    [np.zeros((3, 2), ">f4"), np.asfortranarray(np.zeros((3, 2))), np.array(["a"]), np.array(1.0)],
    ids=["big-endian", "Fortran order", "text", "no axis"],
)
def test_other_arrays_are_refused(array, tmp_path):
    np.save(str(tmp_path / "x.npy"), array)
    with pytest.raises(DataError, match="expected numbers in C order"):
        StoredArray(str(tmp_path / "x.npy"))


class _Counted(StreamedArray):
    """Array of its row numbers, which counts its reads, and can be held."""

    def __init__(self):
        super().__init__((N, 1), np.int64)
        self.reads, self.go = [], threading.Event()
        self.go.set()

    def read(self, rows):
        self.reads.append(rows.tolist())
        self.go.wait()
        if N in rows:
            raise DataError("there is no such row")
        return rows[:, np.newaxis]


@pytest.fixture
def ahead():
    array = _Counted()
    ahead = ReadAhead(array, 4)
    yield array, ahead
    array.go.set()
    ahead.close()


def test_expected_rows_are_read_once_and_others_when_asked_for(ahead):
    array, reader = ahead
    batches = [np.arange(start, start + 4) for start in (0, 8, 4)]
    reader.expect(batches)
    reader.expect(batches[1:])
    for batch in (batches[1], batches[2], batches[0]):
        np.testing.assert_array_equal(reader.read(batch), batch[:, np.newaxis])
    assert sorted(map(tuple, array.reads)) == sorted(map(tuple, [*batches, batches[0]]))


def test_an_error_is_raised_where_the_rows_are_used(ahead):
    _, reader = ahead
    reader.expect([np.array([0, 1]), np.array([N])])
    np.testing.assert_array_equal(reader.read(np.array([0, 1])), [[0], [1]])
    with pytest.raises(DataError, match="no such row"):
        reader.read(np.array([N]))


def test_closing_drops_what_has_not_begun(ahead):
    array, reader = ahead
    array.go.clear()
    reader.expect([np.array([row]) for row in range(20)])
    closing = threading.Thread(target=reader.close)
    closing.start()
    array.go.set()
    closing.join()
    assert len(array.reads) < 20


def test_the_number_of_batches_follows_from_their_size(tmp_path):
    assert ReadAhead(_Counted(), 4).batches == 32
    large = Path(tmp_path, "x.npy")
    np.save(str(large), np.zeros((2, 2**20), np.float32))
    assert ReadAhead(StoredArray(str(large)), 8).batches == 2
