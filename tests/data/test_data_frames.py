"""Data frames as tables. pandas is no dependency: where it is missing, frames of the same interface stand in for it."""

import numpy as np
import pytest

from qatviz.data import data_notes
from qatviz.data.frames import is_frame, table_of_frame
from qatviz.data.table import dataset_of_tables
from qatviz.data_options import DataOptions
from qatviz.errors import ChoiceNeeded, DataError


class Frame:
    """Stand-in for a pandas data frame: named columns by position, and names of rows."""

    def __init__(self, columns, index=None):
        self._columns = [np.asarray(values) for values in columns.values()]
        self.columns = list(columns)
        self.shape = (len(self._columns[0]), len(columns))
        self.index = np.arange(self.shape[0]) if index is None else np.array(index)
        self.iloc = self

    def __getitem__(self, key):
        assert key[0] == slice(None)
        return self._columns[key[1]]


def pandas_frame(columns, index=None):
    return pytest.importorskip("pandas").DataFrame(columns, index=index)


@pytest.fixture(params=[Frame, pandas_frame], ids=["stand-in", "pandas"])
def frame(request):
    return request.param


def columns(n=20):
    return {
        "width": np.arange(n) / 4,
        "colour": np.array(["red", "blue"], dtype=object)[np.arange(n) % 2],
        "count": np.arange(n) * 3,
        "label": np.arange(n) % 3,
    }


def load(frames, task=None, **options):
    frames = frames if isinstance(frames, list) else [frames]
    wanted = DataOptions(**options)
    tables = [table_of_frame(part, f"frame {index}", wanted) for index, part in enumerate(frames)]
    return dataset_of_tables("arrays", "a script", tables, wanted, task=task)


def rows_of(dataset):
    y = np.concatenate([dataset.y_train, dataset.y_test]).reshape(-1, 1)
    return sorted(map(tuple, np.c_[np.concatenate([dataset.x_train, dataset.x_test]), y].tolist()))


def test_columns_are_features_and_targets(frame):
    given = frame(columns())
    assert is_frame(given) and not is_frame(np.zeros((3, 3))) and not is_frame([1, 2])
    expected = [(i / 4, i % 2, 1 - i % 2, i * 3, i % 3) for i in range(20)]
    assert rows_of(load(given)) == sorted(expected), "categories in alphabetical order"
    dataset = load(given, targets="width", features="count")
    assert dataset.task == "regression" and dataset.input_shape == (1,)
    assert load(given, targets="colour").class_names == ("blue", "red")


def test_two_frames_are_training_and_test_part(frame):
    dataset = load([frame(columns()), frame(columns(6))])
    assert (len(dataset.x_train), len(dataset.x_test)) == (20, 6)


@pytest.mark.parametrize("missing", [np.nan, None])
def test_missing_values_are_refused_by_row_or_skipped_and_counted(frame, missing):
    given = columns()
    given["colour"][3] = missing
    names = [f"row {index}" for index in range(20)]
    with pytest.raises(DataError, match="frame 0: row 'row 3': found a missing value in column 'colour'") as caught:
        load(frame(given, names))
    assert caught.value.field == "unusable"
    given["width"][5] = np.nan
    dataset = load(frame(given, names), unusable="skip")
    assert len(dataset.x_train) + len(dataset.x_test) == 18
    (note,) = [note for note in data_notes(dataset) if "missing" in note.text]
    assert note.is_mistake and note.text == "skipped rows with missing values: 2 ('row 3', 'row 5')"


@pytest.mark.parametrize(
    "values, words",
    [
        (np.arange(20).astype("M8[D]"), "column 'odd': found values of the type datetime64"),
        (np.array([{}] * 20), "column 'odd': found values of the type dict; expected numbers or texts"),
        (np.full(20, np.inf), "column 'odd': found an infinite value"),
    ],
)
def test_other_values_are_refused_by_column(frame, values, words):
    with pytest.raises(DataError, match=words):
        load(frame(dict(columns(), odd=values)))


def test_a_target_is_asked_for_if_no_name_tells_it(frame):
    given = columns()
    with pytest.raises(ChoiceNeeded) as caught:
        load(frame({"a": given["width"], "b": given["count"]}))
    assert caught.value.choices == {"targets": ("a", "b")}


def test_the_types_of_pandas_own(frame):
    pandas = pytest.importorskip("pandas")
    given = pandas.DataFrame(columns())
    plain = load(given).fingerprint
    converted = given.astype({"colour": "category", "count": "Int64", "label": "category"})
    assert load(converted).fingerprint == plain
    converted.loc[4, "count"] = pandas.NA
    with pytest.raises(DataError, match="row 4: found a missing value in column 'count'"):
        load(converted)
    assert load(given.astype({"colour": "string"})).fingerprint == plain


def test_an_empty_frame_is_refused(frame):
    with pytest.raises(DataError, match="found a frame of shape"):
        load(frame({"a": np.zeros(0), "label": np.zeros(0)}))
