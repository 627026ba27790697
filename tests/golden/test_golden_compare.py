"""Comparisons of the golden tests locate changes, and ignore parts that may change."""

import copy
import zipfile

import golden_compare
import golden_content
import golden_page
import numpy as np
import pytest

HISTOGRAM = "M10 100V60H20V20H30V80H40V100Z"
PAGE = """<html><body><h1>A run</h1><section id="course"><h2>Course</h2>{svg}
<table><caption>Scores</caption><thead><tr><th>Step</th><th>8 bits</th></tr></thead>
<tbody><tr><th>1,000</th><td>12.3 %</td><td>{sentence}</td></tr></tbody></table></section></body></html>"""
SVG = """<svg viewBox="0 0 100 110"><title>{title}</title><desc>from {low} at step 1 to 2.5e-3 at step 40</desc>
<path d="M5 100H95" class="axis"/><path d="M50 5V100" class="marker"/><path d="M2 9l4 -2" class="cut"/>
<text x="5" y="108">12345</text>{marks}</svg>"""


def described(**files):
    """Return descriptions as `golden_content.describe_all` returns them."""
    return {name.replace("_", "."): value for name, value in files.items()}


def differences(stored, found, tmp_path):
    return golden_compare.file_differences(stored, found, tmp_path / "texts", tmp_path)


def test_a_difference_names_file_line_and_part(tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "stored.c").write_text("one\ntwo\n")
    (tmp_path / "net.c").write_text("one\nthree\n")
    stored = described(
        net_c={"kind": "text", "bytes": 8, "sha256": "a", "text": "stored.c"},
        net_npz={"kind": "arrays", "parts": {"conv": "<i1 [4] 12", "bias": "<i4 [4] 34"}},
        gone_txt={"kind": "prose"},
    )
    found = described(
        net_c={"kind": "text", "bytes": 10, "sha256": "b"},
        net_npz={"kind": "arrays", "parts": {"conv": "<i1 [4] 56", "bias": "<i4 [4] 34"}},
        new_txt={"kind": "prose"},
    )
    assert differences(stored, found, tmp_path) == [
        "gone.txt: is missing",
        "new.txt: is new",
        "net.c: bytes is 10 instead of 8",
        "net.c: line 2 is 'three\\n' instead of 'two\\n'",
        "net.npz: part 'conv' is <i1 [4] 56 instead of <i1 [4] 12",
    ]
    assert differences(stored, stored, tmp_path) == []


def test_the_order_of_parts_and_other_bytes_are_differences(tmp_path):
    parts = {"a": "1", "b": "2"}
    stored = described(net_npz={"kind": "arrays", "parts": parts}, net_pb={"kind": "graph", "bytes": 1, "sha256": "a"})
    found = copy.deepcopy(stored)
    found["net.npz"]["parts"] = dict(reversed(list(parts.items())))
    found["net.pb"]["sha256"] = "b"
    order, others = differences(stored, found, tmp_path)
    assert "order" in order and "bytes differ" in others


def test_a_proof_without_a_runtime_is_not_compared(tmp_path):
    proof, vectors = (
        {"kind": "proof", "schema": {"layers": ["str"]}},
        {"kind": "vectors", "parts": {"file_output": "1"}},
    )
    stored = described(net_json=proof, golden_npz=vectors)
    found = described(
        net_json={"kind": "proof", "schema": {"layers": [], "not_run": "str"}},
        golden_npz={"kind": "vectors", "parts": {}},
    )
    assert differences(stored, found, tmp_path) == differences(found, stored, tmp_path) == []
    found["net.json"]["schema"].pop("not_run")
    assert len(differences(stored, found, tmp_path)) == 2


def test_schemas_have_all_keys_and_types():
    schema = golden_content.schema_of({"a": 1, "b": [{"c": 1.5}, {"c": None, "d": [True]}], "e": []})
    assert schema == {"a": "int", "b": [{"c": "float|null", "d": ["bool"]}], "e": []}
    other = golden_content.schema_of({"a": 1.0, "b": [{"c": 1.5}], "f": ""})
    assert golden_compare.schema_differences(schema, other) == [
        "JSON lacks the key 'e'",
        "JSON has the new key 'f'",
        "a is 'float' instead of 'int'",
        "b[] lacks the key 'd'",
        "b[].c is 'float' instead of 'float|null'",
    ]


def test_values_are_compared_with_a_tolerance():
    stored = {"loss": 1.0, "steps": [1, 2], "name": "a"}
    assert golden_compare.value_differences(stored, dict(stored, loss=1.0 + 1e-9)) == []
    assert golden_compare.value_differences(stored, {"loss": 1.001, "steps": [1, 3], "name": "a"}) == [
        "loss is 1.001 instead of 1.0",
        "steps[1] is 3 instead of 2",
    ]
    assert golden_compare.value_differences(stored, {"loss": 1.0, "steps": [1], "rate": 2.0}) == [
        "steps is [1] instead of [1, 2]",
        "name is missing instead of 'a'",
        "rate is 2.0 instead of missing",
    ]


def test_a_failed_test_lists_the_first_differences():
    golden_compare.expect_none([], "it has changed")
    with pytest.raises(AssertionError) as failed:
        golden_compare.expect_none([f"line {number}" for number in range(40)], "it has changed:")
    lines = str(failed.value).splitlines()
    assert lines[0] == "it has changed:" and lines[-2:] == ["  line 29", "  and 10 more"]


def test_archives_are_compared_without_their_compression(tmp_path):
    arrays = {"conv": np.arange(100, dtype=np.int8), "file_output": np.zeros(3)}
    np.savez(str(tmp_path / "a.golden.npz"), **arrays)
    np.savez_compressed(str(tmp_path / "b.golden.npz"), **dict(arrays, file_output=np.ones(3)))
    with zipfile.ZipFile(str(tmp_path / "a.golden.npz")) as archive:
        assert archive.namelist() == ["conv.npy", "file_output.npy"]
    one, other = (golden_content.describe(tmp_path / name) for name in ("a.golden.npz", "b.golden.npz"))
    assert one == other
    np.savez(str(tmp_path / "b.golden.npz"), **dict(arrays, conv=arrays["conv"] + np.int8(1)))
    assert golden_content.describe(tmp_path / "b.golden.npz") != one


def page(marks=f'<path d="{HISTOGRAM}" class="float"/>', title="conv1.weights, before", low="0.0012", sentence=""):
    """Return the sections of a small report."""
    svg = SVG.format(title=title, low=low, marks=marks)
    return golden_page.sections_of(PAGE.format(svg=svg, sentence=sentence))


def test_a_page_is_reduced_to_its_numbers_and_outlines():
    head, course = page(sentence="It is now 3 times better than it was before")
    assert course["tables"] == [{"prose": [3], "rows": [[], ["1000", "12.3", "3"]]}]
    _, course = page(sentence="1/2")
    assert head == {"id": "", "figures": [], "tables": []}
    assert course["tables"] == [{"prose": [], "rows": [[], ["1000", "12.3", "1 2"]]}]
    (figure,) = course["figures"]
    assert figure["tensors"] == ["conv1.weights"] and figure["numbers"] == ["0.0012", "1", "2.5e-3", "40"]
    assert figure["outlines"] == [[0.5] * 8 + [1.0] * 8 + [0.25] * 8]


@pytest.mark.parametrize(
    "changed",
    [
        {"marks": f'<path d="{HISTOGRAM}" class="bars" fill="red"/>'},
        {"marks": '<path d="M20 200V120H40V40H60V160H80V200Z"/>'},
        {"marks": '<path d="m10 100v-40h10v-40h10v60h10v20z"/>'},
        {
            "marks": "".join(
                f'<rect x="{x}" y="{y}" width="10" height="{100 - y}"/>' for x, y in [(10, 60), (20, 20), (30, 80)]
            )
        },
        {"title": "Weights of conv1.weights", "low": "1.2e-3"},
        {"low": "0.00124"},
        {"sentence": "see /a/path-1/to-2"},
    ],
    ids=lambda changed: " ".join(changed),
)
def test_a_page_may_change_in_drawing_and_wording(changed):
    assert golden_page.differences(page(), page(**changed)) == []


def test_sentences_of_a_table_may_have_other_numbers():
    assert golden_page.differences(page(sentence="It was 1 of 2 in that one"), page(sentence="3 and 4 of them")) == []
    assert golden_page.differences(page(sentence="1 of 2"), page(sentence="1 of the 2 that there are in it")) == []
    assert golden_page.differences(page(sentence="1 of 2"), page(sentence="1 of the 3 that there are in it"))


@pytest.mark.parametrize(
    "changed, line",
    [
        ({"marks": '<path d="M10 100V60H20V20H30V60H40V100Z"/>'}, "nothing in it has outline 1 of 1"),
        ({"marks": ""}, "nothing in it has outline 1 of 1"),
        ({"marks": 2 * f'<path d="{HISTOGRAM}"/>'}, "1 outlines in it are new"),
        ({"title": "conv2.weights"}, "it is of ['conv2.weights']"),
        ({"low": "0.0014"}, "it is described by the numbers"),
        ({"sentence": "7 %"}, "table 1, row 1 (1000), column 3: '7' instead of ''"),
    ],
)
def test_a_page_that_shows_something_else_differs(changed, line):
    (found,) = golden_page.differences(page(), page(**changed))
    assert line in found and found.startswith("course")


def test_missing_figures_and_sections_are_differences():
    found = page()
    found[1]["figures"].clear()
    assert golden_page.differences(page(), found) == ["course: there are 0 figures instead of 1"]
    assert "sections" in golden_page.differences(page(), found[:1])[0]
