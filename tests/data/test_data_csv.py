"""CSV files against NumPy and the csv module: columns, headers, categories, images, and mistakes by their line."""

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qatviz.data import data_notes, load
from qatviz.data.csv_file import read_csv
from qatviz.data_options import DataOptions
from qatviz.errors import ChoiceNeeded, DataError


@pytest.fixture
def write(files):
    """Return a function that writes rows to a file."""

    def write(rows, name="table.csv", **dialect):
        path = files.path(name)
        with open(str(path), "w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, **dialect).writerows(rows)
        return str(path)

    return write


def read(path, **options):
    return load(str(path), options=DataOptions(**options))


def texts(dataset):
    return [note.text for note in data_notes(dataset)]


def rows_of(dataset):
    """Return all rows with their labels or targets, sorted."""
    labels = np.concatenate([dataset.y_train, dataset.y_test]).reshape(len(dataset.x_train) + len(dataset.x_test), -1)
    x = np.concatenate([dataset.x_train, dataset.x_test]).reshape(len(labels), -1)
    return sorted(map(tuple, np.c_[x, labels].tolist()))


TABLE = [["width", "height", "label"]] + [[index / 4, -index, index % 3] for index in range(20)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_numbers_with_a_header_and_a_column_of_labels(write, delimiter, quoting):
    dataset = read(write(TABLE, delimiter=delimiter, quoting=quoting))
    assert dataset.task == "classification" and dataset.num_classes == 3 and dataset.name == "table"
    assert rows_of(dataset) == sorted((index / 4, -index, index % 3) for index in range(20))
    assert "the targets are the column 'label', by its name; the option targets decides otherwise" in texts(dataset)
    assert dataset.choices["targets"] == ("width", "height", "label")


@given(
    values=st.lists(
        st.tuples(st.floats(-1e30, 1e30, allow_subnormal=False), st.integers(-(2**40), 2**40)), min_size=3, max_size=8
    ),
    quoted=st.booleans(),
    header=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_readers_give_the_numbers_of_python(write, values, quoted, header):
    rows = [["a", "b"]] * header + [list(map(repr, row)) for row in values]
    path = write(rows, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_NONE)
    table = read_csv(path, DataOptions(header="yes" if header else "no"))
    np.testing.assert_allclose(table.numbers.astype(np.float64), np.array(values, np.float64), rtol=1e-15)
    assert table.names == (("a", "b") if header else ("0", "1"))


def test_targets_by_name_and_number_and_several_of_them(write):
    path = write(TABLE)
    by_name = load(path, task="regression", options=DataOptions(targets="height"))
    for number in ("1", "-2"):
        same = load(path, task="regression", options=DataOptions(targets=number))
        assert same.fingerprint == by_name.fingerprint
    assert by_name.input_shape == (2,)
    both = load(path, task="regression", options=DataOptions(targets="height, label"))
    assert both.num_outputs == 2 and both.input_shape == (1,)
    named = read(path, targets="label", features="width")
    assert named.input_shape == (1,) and "skipped columns: 1 (height)" in texts(named)
    for option, value in (("targets", "depth"), ("features", "width,depth"), ("targets", "3")):
        with pytest.raises(
            ChoiceNeeded, match=f"{option}: found no column .*; expected one of width, height, lab"
        ) as c:
            read(path, **{"targets": "label", option: value})
        assert c.value.field == option and c.value.choices == {option: ("width", "height", "label")}
    with pytest.raises(DataError, match="found no features apart from the targets"):
        read(path, targets="label", features="label")


def test_fractions_are_regression_targets(write):
    dataset = read(write([["x", "y"]] + [[index, index / 3] for index in range(20)]))
    assert dataset.task == "regression" and dataset.x_train.dtype == np.float32


def test_a_target_that_nothing_tells_is_asked_for_with_the_columns(write):
    path = write([["a", "b", "c"]] + [[index, index * 2, index % 2] for index in range(20)])
    with pytest.raises(ChoiceNeeded, match="do not tell which has the targets: found a, b, c; expected") as caught:
        read(path)
    assert caught.value.field == "targets" and caught.value.choices == {"targets": ("a", "b", "c")}


def test_the_only_column_with_texts_has_the_classes(write):
    rows = [[index / 10, index % 7, ["setosa", "virginica"][index % 2]] for index in range(20)]
    dataset = read(write(rows))
    assert dataset.class_names == ("setosa", "virginica") and dataset.input_shape == (2,)
    assert "the targets are the column '2', the only one with texts; the option targets decides otherwise" in texts(
        dataset
    )
    assert any("the columns have no names" in text for text in texts(dataset))
    assert rows_of(dataset) == sorted((np.float32(i / 10), i % 7, i % 2) for i in range(20))


@pytest.mark.parametrize(
    "first, header, names",
    [
        (["a", "b"], True, ("a", "b")),
        (["1", "2.5"], False, ("0", "1")),
        (["0", "1"], True, ("0", "1")),
        (["a", "a"], True, ("a (0)", "a (1)")),
        (["Größe", " b "], True, ("Größe", "b")),
    ],
)
def test_headers(write, first, header, names):
    path = write([first] + [[index + 5, index * 3] for index in range(6)])
    table = read_csv(path, DataOptions())
    assert table.names == names and table.n_rows == (6 if header else 7)
    with open(path, encoding="utf-8") as stream:
        content = stream.read()
    with open(path, "w", encoding="utf-8-sig") as stream:
        stream.write(content.replace("\n", "\n\n"))
    assert read_csv(path, DataOptions()).names == names, "a byte order mark and empty lines"


def test_the_header_option_decides(write):
    path = write([["1", "2"]] + [[index, index * 3] for index in range(6)])
    assert read_csv(path, DataOptions(header="no")).n_rows == 7
    assert read_csv(path, DataOptions(header="yes")).names == ("1", "2")
    assert read_csv(path, DataOptions(header="yes")).notes == ()


def test_categories_are_features_of_0_and_1(write):
    rows = [["colour", "size", "label"]] + [
        [["red", "green", "blue"][index % 3], index, index % 2] for index in range(20)
    ]
    dataset = read(write(rows))
    expected = [(*np.eye(3)[[2, 1, 0][index % 3]], index, index % 2) for index in range(20)]
    assert rows_of(dataset) == sorted(map(tuple, expected))
    assert "texts are categories, each a feature of 0 and 1: colour (3)" in texts(dataset)
    with pytest.raises(DataError, match="column 'colour' has 200 different texts, such as 'n0'; expected") as caught:
        read(write([["colour", "label"]] + [[f"n{index}", index % 2] for index in range(200)]))
    assert caught.value.field == "features"


def test_columns_that_number_the_rows_are_skipped(write):
    rows = [["", "x", "label"]] + [[index + 3, index * index, index % 2] for index in range(20)]
    dataset = read(write(rows))
    assert dataset.input_shape == (1,) and "skipped columns that number the rows: 1 ('')" in texts(dataset)
    assert read(write(rows), features="0,x", targets="label").input_shape == (2,)


# Images


def mnist_rows(n=20, side=28):
    random = np.random.RandomState(2)
    return np.c_[np.arange(n) % 5, random.randint(0, 256, (n, side * side))]


@pytest.mark.parametrize("header", [None, ["label"] + [f"pixel{index}" for index in range(784)]])
def test_the_columns_of_mnist_are_images(write, header):
    values = mnist_rows()
    dataset = read(write([header] * (header is not None) + values.tolist()))
    assert dataset.input_shape == (28, 28, 1) and dataset.x_train.dtype == np.uint8 and dataset.scaling == "unit"
    assert rows_of(dataset) == sorted((*row[1:], row[0]) for row in values.tolist())
    assert any("are pixels of images of 28x28" in text for text in texts(dataset))
    as_rows = read(write(values.tolist()), image_size="rows", targets="0")
    assert as_rows.input_shape == (784,) and as_rows.scaling == "none"


def test_rows_are_images_of_a_stated_size(write):
    values = np.c_[np.arange(20) % 2, np.random.RandomState(3).randint(0, 256, (20, 4 * 3 * 3))]
    path = write(values.tolist())
    images = read(path, image_size="4x3", targets="0")
    assert images.input_shape == (4, 3, 3) and images.x_train.dtype == np.uint8
    with pytest.raises(DataError, match="found 36 features; expected 35 for an image of 5x7") as caught:
        read(path, image_size="5x7", targets="0")
    assert caught.value.field == "image_size"


# Parts


@pytest.mark.parametrize("train, test", [("mnist_train", "mnist_test"), ("train", "valid"), ("Train-1", "Test-1")])
def test_the_file_of_the_other_part_is_held_out(write, files, train, test):
    path = write(TABLE, f"set/{train}.csv")
    write(TABLE[:6], f"set/{test}.csv")
    for source in (path, str(files.directory / "set")):
        dataset = read(source)
        assert (len(dataset.x_train), len(dataset.x_test)) == (20, 5)
        assert f"held out: {test}.csv, 5 examples" in texts(dataset)
    split = read(path, held_out="split")
    assert (len(split.x_train), len(split.x_test)) == (16, 4)


def test_a_test_file_without_targets_is_not_used(write):
    path = write(TABLE, "train.csv")
    write([row[:2] for row in TABLE], "test.csv")
    dataset = read(path)
    assert len(dataset.x_test) == 4 and "not used: test.csv, which has other columns" in texts(dataset)
    with pytest.raises(DataError, match="found no validation part"):
        read(path, held_out="validation")


def test_a_category_that_training_does_not_have_is_refused(write):
    path = write([["colour", "label"], *([["red", 0], ["blue", 1]] * 5)], "train.csv")
    write([["colour", "label"], ["green", 1]], "test.csv")
    with pytest.raises(DataError, match="test.csv: column 'colour': found 'green'; expected the categories"):
        read(path)


# Mistakes


@pytest.mark.parametrize(
    "row, words",
    [
        (["", "2", "0"], "line 12: found a missing value in column 'width'; expected a finite number"),
        (["NaN", "2", "0"], "line 12: found a missing value in column 'width'"),
        (["12a", "2", "0"], "line 12: found '12a' in column 'width'; expected a finite number"),
        (["1e999", "2", "0"], "line 12: found '1e999' in column 'width'; expected a finite number"),
        (["1_000", "2", "0"], "line 12: found '1_000' in column 'width'"),
        (["1", "2"], "line 12: found 2 values; expected 3, one for each column"),
        (["1", "2", "3", "4"], "line 12: found 4 values; expected 3"),
    ],
)
def test_mistakes_are_refused_by_line_or_skipped_and_counted(write, row, words):
    path = write([*TABLE[:11], row, *TABLE[11:]])
    with pytest.raises(DataError, match=words) as caught:
        read(path)
    assert caught.value.field == "unusable" and str(caught.value).endswith(
        "; set unusable to skip to leave out and count such parts"
    )
    dataset = read(path, unusable="skip")
    assert rows_of(dataset) == sorted((index / 4, -index, index % 3) for index in range(20))
    (note,) = [note for note in data_notes(dataset) if "skipped rows" in note.text]
    assert note.is_mistake and note.text.startswith("skipped rows: 1 (line 12: found ")


def test_a_missing_text_is_refused_but_none_may_be_a_category(write):
    rows = [["garage", "label"]] + [[["none", "big"][index % 2], index % 2] for index in range(20)]
    assert read(write(rows)).input_shape == (2,)
    rows[7][0] = " "
    with pytest.raises(DataError, match="line 8: found a missing value in column 'garage'; expected a text"):
        read(write(rows))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "found no rows of several columns"),
        (b"a\nb\nc\n", "found no rows of several columns"),
        (b"a,b\n1,\xff\n", "cannot be read as a CSV file: UnicodeDecodeError"),
        (b"a,b\n1,\x002\n" + b"1,2\n" * 9, "CSV file|line"),
        (b"a,b\n1," + b"9" * 200000 + b"\n", "field larger than field limit"),
        (b'a,b\n1,"' + b"9\n" * 100000, "field larger than field limit"),
        (b"a,b\n", "found no row that can be used"),
        (b"a,b\n" + b"x,\n" * 3, "line 2|found no row"),
    ],
)
def test_hostile_files_are_refused(files, content, words):
    files.path("odd.csv").write_bytes(content)
    with pytest.raises(DataError, match="odd.csv: .*(" + words + ")"):
        load(str(files.path("odd.csv")))


def test_a_file_larger_than_memory_is_refused_unread(write, monkeypatch):
    path = write(mnist_rows().tolist())
    monkeypatch.setattr("qatviz.data.checks.MAX_BYTES", 10000)
    with pytest.raises(DataError, match="table.csv: loading it needs .* bytes of memory"):
        read(path)


def test_a_file_of_many_columns_is_refused(files):
    files.path("wide.csv").write_text(",".join(["1"] * 100_001) + "\n")
    with pytest.raises(DataError, match="found 100,001 columns; expected at most 100,000"):
        load(str(files.path("wide.csv")))
