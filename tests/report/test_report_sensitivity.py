"""The report's section on sensitivities."""

from dataclasses import replace

import numpy as np
from report_cases import recorded

from qatviz.analysis.sensitivity import WIDTHS, RunSensitivity, Sensitivity
from qatviz.report.page import page
from qatviz.report.run_data import read_run
from qatviz.telemetry.record.run_record import RunRecord


def test_the_table_is_drawn_if_the_sensitivity_is_known(tmp_path):
    run = recorded(tmp_path / "run", lambda run: run.advance(3))
    data = read_run(RunRecord.read(tmp_path / "run"))
    assert "Sensitivity" not in page(data)
    names = tuple(tensor.name for tensor in run.plan.tensors)
    scores = np.full((len(names), len(WIDTHS)), 0.25)
    found = Sensitivity(names, WIDTHS, scores, scores[:, 0].copy(), 3, 256)
    text = page(replace(data, sensitivity=RunSensitivity("step-3", found)))
    section = text[text.index('id="sensitivity"') :].split("</section>")[0]
    assert "step 3 on 256 held-out examples" in section
    assert section.count(">0.25<") == len(names) * (len(WIDTHS) + 1) and all(name in section for name in names)
