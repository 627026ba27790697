"""The program that golden tests call, and copies of the stored records."""

import golden_cases
import pytest
from golden_program import Program


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Return the program; it is started by the first test that calls it."""
    program = Program(tmp_path_factory.mktemp("program"))
    yield program
    program.close()


@pytest.fixture(scope="session")
def exported_records(tmp_path_factory):
    """Return copies of the records for exports, which leave their proofs in them."""
    return golden_cases.copy_records(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def records(tmp_path):
    """Return copies of the records."""
    return golden_cases.copy_records(tmp_path)
