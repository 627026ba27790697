"""The two forms of batch norm in training, of one and of two convolutions, export the same integers."""

from dataclasses import replace

import pytest
from small_runs import convnet, spec
from training_cases import Driver

from qatviz.export.formats import format_named
from qatviz.session.export import state_source

#: The names of the forms by the setting that chooses them.
FORMS = {"double": False, "single": True}
INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}


@pytest.fixture(scope="module")
def states():
    """Return the spec of each form with a state that was trained in it; the settings differ in the form only."""
    found = {}
    for name, is_single in FORMS.items():
        run_spec = spec(convnet(), steps=30, weights=INT8, run={"single_convolution": is_single})
        with Driver(run_spec) as driver:
            driver.finish()
        found[name] = replace(run_spec, start=driver.run.final)
    return found


def exported(run_spec, is_single, format_, path):
    """Return the files of an export of the state under a form, by name."""
    book, _ = run_spec.start.book.change([("run.single_convolution", is_single)])
    assert book.run.single_convolution == is_single
    path.parent.mkdir()
    source = state_source(replace(run_spec, book=book), replace(run_spec.start, book=book))
    format_named(format_).export(source, path)
    return {file.name: file.read_bytes() for file in path.parent.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "trained, format_, main",
    [
        *((name, *files) for name in FORMS for files in [("tflite", "model.tflite"), ("npz", "model.npz")]),
        ("single", "c", "tiny_conv.c"),  # whose proof compiles it: seconds
    ],
)
def test_exports_of_a_state_are_the_same_in_both_forms(states, tmp_path, trained, format_, main):
    path = "model" if format_ == "c" else main
    files = [exported(states[trained], is_single, format_, tmp_path / name / path) for name, is_single in FORMS.items()]
    assert sorted(files[0]) == sorted(files[1])
    compared = [name for name in files[0] if name.endswith((main.rpartition(".")[2], ".h"))]
    assert main in compared
    for name in compared:
        assert files[0][name] == files[1][name], name


def test_states_trained_in_the_two_forms_differ(states):
    """Otherwise, the setting had no effect, and there would be nothing to compare."""
    double, single = (run_spec.start.arrays["conv.weights"] for run_spec in states.values())
    assert (double != single).any()
