"""Reports of the stored runs keep their figures and numbers; golden_page.py compares them."""

import golden_cases
import golden_page
import pytest
from golden_compare import expect_none


@pytest.mark.parametrize("run", golden_cases.RUNS)
def test_the_report_keeps_its_figures_and_numbers(run, program, records, tmp_path):
    found = golden_page.report(program, records / run, tmp_path / "report.html")
    stored = golden_cases.load(golden_page.stored(run))
    lines = golden_page.differences(stored, found)
    expect_none(lines, f"the report of {run} has changed:")
