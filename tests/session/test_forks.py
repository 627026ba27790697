"""Evaluations of the forks of a run."""

import pytest
from recorded_samples import record_run

from qatviz.errors import RecordError
from qatviz.session.forks import evaluations_of_forks


def fork_of(parent, step=20):
    return {"forked_from": {"run_id": "parent", "directory": str(parent), "checkpoint": "c", "step": step}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    record_run(folder / "parent", steps=40, run_id="parent")
    record_run(folder / "child", steps=60, first=20, seed=5, run_id="child", **fork_of(folder / "parent"))
    record_run(folder / "grandchild", steps=50, first=40, run_id="grandchild", **fork_of(folder / "child", 40))
    record_run(folder / "other", steps=40, run_id="other")
    return folder


def test_all_descendants_have_their_evaluations_with_settings(folder):
    found = evaluations_of_forks(str(folder / "parent"))
    steps = {}
    for each in found:
        steps.setdefault(each.name, []).append(each.result.step)
    assert steps == {"child": list(range(25, 61, 5)), "grandchild": [45, 50]}
    assert {each.directory for each in found} == {str(folder / "child"), str(folder / "grandchild")}
    assert all(each.book.of(each.book.plan.tensors[0].name).num_bits for each in found)
    assert {each.name for each in evaluations_of_forks(str(folder / "child"))} == {"grandchild"}
    assert evaluations_of_forks(str(folder / "other")) == ()


def test_runs_that_claim_to_descend_from_each_other_are_read_once(tmp_path):
    record_run(tmp_path / "a", steps=10, first=5, run_id="a", **fork_of(tmp_path / "b", 5))
    record_run(tmp_path / "b", steps=10, first=5, run_id="b", **fork_of(tmp_path / "a", 5))
    assert {each.name for each in evaluations_of_forks(str(tmp_path / "a"))} == {"b"}


def test_a_damaged_fork_is_left_out(folder, tmp_path):
    record_run(tmp_path / "parent", steps=10, run_id="parent")
    record_run(tmp_path / "fork", steps=20, first=10, run_id="fork", **fork_of(tmp_path / "parent", 10))
    assert evaluations_of_forks(str(tmp_path / "parent"))
    for path in (tmp_path / "fork").glob("run.sqlite*"):
        path.write_bytes(b"damaged")
    assert evaluations_of_forks(str(tmp_path / "parent")) == ()
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be read"):
        evaluations_of_forks(str(tmp_path / "file" / "run"))
