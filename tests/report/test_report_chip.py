"""The report's section on the network on a chip."""

from dataclasses import replace

from report_cases import recorded

from qatviz.analysis.chip.estimate import estimate
from qatviz.analysis.chip.targets import target
from qatviz.report.page import page
from qatviz.report.run_data import read_run
from qatviz.session.chip import network_graph
from qatviz.session.report import write_recorded
from qatviz.telemetry.record.run_record import RunRecord


def test_the_section_has_summary_picture_layers_and_sources(tmp_path):
    recorded(tmp_path / "run", lambda run: run.advance(3))
    data = read_run(RunRecord.read(tmp_path / "run"))
    assert "On a chip" not in page(data)
    found = estimate(network_graph(data.network, data.book), target("cortex-m33"))
    text = page(replace(data, chip=found))
    section = text[text.index('id="chip"') :].split("</section>")[0]
    assert "CMSIS-NN on Cortex-M33 at 160 MHz" in section and "± 25 %" in section and "<svg" in section
    assert all(layer.layer in section for layer in found.layers) and "(peak)" in section
    assert "https://github.com/mlcommons/tiny_results_v1.0" in section


def test_a_written_report_estimates_the_present_settings(tmp_path):
    recorded(tmp_path / "run", lambda run: run.advance(3))
    written = write_recorded(str(tmp_path / "run"), str(tmp_path / "report.html"))
    assert "CMSIS-NN on Cortex-M7 at 216 MHz" in written.path.read_text("utf-8")
    written = write_recorded(str(tmp_path / "run"), str(tmp_path / "report.html"), goal=target("cortex-m4"))
    assert "CMSIS-NN on Cortex-M4 at 120 MHz" in written.path.read_text("utf-8")
