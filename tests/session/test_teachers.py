"""Keras models as teachers: they are checked, recorded, and read again when the run is continued."""

import numpy as np
import pytest
from small_runs import mlp, spec

from qatviz.errors import NetworkError
from qatviz.protocol.run_spec import RunSpec, Teacher
from qatviz.session.begin import new_record
from qatviz.session.teachers import recorded_teacher
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.parameters import initial_parameters


def test_a_teacher_is_read_from_the_record_as_it_was(tmp_path):
    teacher = Teacher(mlp(), initial_parameters(mlp(), 5))
    run_spec = spec(teacher=teacher)
    new_record(run_spec, str(tmp_path / "run")).close()
    reader = RunRecord.read(tmp_path / "run")
    found = recorded_teacher(reader)
    assert found.network == teacher.network
    assert sorted(found.parameters) == sorted(teacher.parameters)
    for name, value in teacher.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], value)
    resumed = RunSpec.from_description(reader.description, run_spec.dataset, teacher=found)
    assert resumed.teacher.network == teacher.network


def test_a_run_without_teacher_has_none_in_its_record(tmp_path):
    new_record(spec(), str(tmp_path / "run")).close()
    assert recorded_teacher(RunRecord.read(tmp_path / "run")) is None


def test_a_teacher_with_other_outputs_is_refused():
    other = mlp(classes=4)
    with pytest.raises(NetworkError, match="expected the network's"):
        spec(teacher=Teacher(other, initial_parameters(other, 0)))
