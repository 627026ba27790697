"""``qatviz sensitivity``: estimates by tensor and bits, and measurements."""

import pytest
import tensorflow  # noqa: F401 - loaded while pytest collects, whose filters know the warnings of its import
from cli_calls import call, error_of, write_data

import qatviz
from qatviz.analysis.sensitivity import WIDTHS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sensitivity")
    data = write_data(folder / "small.npz")
    options = ("--network", "mlp", "--data", data, "--steps", 30, "--batch-size", 8)
    answer = call("train", *options, "--quiet", "--out", folder / "run")
    assert answer.code == 0, answer.err
    return folder / "run"


def test_estimates_are_printed_by_tensor_and_bits(run):
    answer = call("sensitivity", run)
    assert answer.code == 0, answer.err
    title, head, *rows = answer.out.splitlines()
    assert title == "estimated divergence on 40 held-out examples, checkpoint final-00000030"
    assert head.split() == ["tensor", *(word for width in WIDTHS for word in (str(width), "bits")), "now"]
    names = [tensor["name"] for tensor in call("show", run, "--json").json["tensors"]]
    assert [row.split()[0] for row in rows] == names
    for row in rows:
        scores = [float(cell) for cell in row.split()[1:]]
        assert scores[0] > scores[4] >= 0, "2 bits harm more than 8"
        assert scores[4] == scores[5], "the run has 8 bits"


def test_measurements_agree_with_the_api(run):
    told = call("sensitivity", run, "--measured", "--json").json
    found = qatviz.sensitivity(run, measured=True)
    measured = found.measured
    assert set(told) == set(found.to_dict()) == {"checkpoint", "estimated", "measured"}
    for name, row in told["measured"]["tensors"].items():
        place = measured.tensors.index(name)
        assert row["alone"]["divergence"] == pytest.approx(measured.alone[place].divergence, rel=1e-3)
        assert row["without"]["accuracy"] == measured.without[place].score
    assert measured.in_float.divergence == 0.0 and measured.quantized.divergence > 0
    assert all(alone.divergence <= measured.quantized.divergence * 10 for alone in measured.alone)
    recorded = call("show", run, "--json").json["accuracy"]
    assert measured.in_float.score == recorded["float"] and measured.quantized.score == recorded["quantized"]


def test_errors_name_the_folder(run, tmp_path):
    assert "not contain the record" in error_of("sensitivity", tmp_path)
