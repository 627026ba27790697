"""The program under test and the stored records, unpacked."""

import golden_cases
import pytest
from golden_program import Program


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Return the program; its process starts with the first call."""
    program = Program(tmp_path_factory.mktemp("program"))
    yield program
    program.close()


@pytest.fixture(scope="session")
def exported_records(tmp_path_factory):
    """Return the folder of the records to export from; exports add files to them."""
    return golden_cases.unpack_records(tmp_path_factory.mktemp("exported"))


@pytest.fixture
def records(tmp_path):
    """Return a folder of records that the test may change."""
    return golden_cases.unpack_records(tmp_path)
