"""Small Keras models, trained in a second or two, whose exports are compared with the evaluation graph.

Each runtime must compute the same codes: TensorFlow 1.15's interpreter, LiteRT, compiled C, onnxruntime and a current
one. A runtime that the machine does not have is left out.
"""

import newer_onnxruntime

import qatviz
from qatviz.errors import ExportError
from qatviz.export.c.runner import NoCompiler, find_compiler
from qatviz.export.integers.lowering import integer_model
from qatviz.export.onnx.lowering import onnx_model
from qatviz.export.proof.parity import Agreement, codes_of, compare_logits
from qatviz.export.source import scaled
from qatviz.export.tflite.litert import LitertMissing, find_litert
from qatviz.metric import ACCURACY

#: Agreement that is required of current runtimes with the evaluation graph.
REQUIRED = Agreement(0.999, 1, 1.0)
_ROUND_TWICE = ("tflite", "tflm")


def trained(model, data, steps=200, **options):
    """Return the result of training a Keras model."""
    return qatviz.train(model, data, steps=steps, learning_rate=3e-3, quiet=True, **options)


def has_litert():
    try:
        return bool(find_litert())
    except LitertMissing:
        return False


def has_compiler():
    try:
        return bool(find_compiler())
    except NoCompiler:
        return False


def agreements(result, folder):
    """Yield the name of each runtime with the agreement of its output with the evaluation graph's.

    Those of further outputs have the output's name after that of the runtime.
    """
    litert = has_litert()
    report = result.export(folder / "net.tflite", "tflite", litert=litert).report
    assert not report.faults, report.to_text()
    for end, outputs in proofs_of(report):
        for name, agreement in outputs.items():
            # The file's own runtime is TensorFlow 1.15's interpreter, which rounds twice, unless it lacks a kernel.
            is_old = name == "file to evaluation graph" and report.about["runtime"].startswith("TensorFlow")
            if name.endswith(" to evaluation graph") and not is_old:
                yield name + end, agreement
    for name in ("onnx", "c") if has_compiler() else ("onnx",):
        report = result.export(folder / name / "net.onnx" if name == "onnx" else folder / name, name).report
        assert not report.faults, report.to_text()
        for end, outputs in proofs_of(report):
            yield name + end, outputs["file to evaluation graph"]
    newer = newer_onnxruntime.find()
    if newer is not None:
        state = result.final_state
        model = integer_model(result.network, state.book, state.arrays, state.step)
        data = result._spec.dataset
        images = scaled(data, slice(None))
        (outputs,) = newer_onnxruntime.run_files(newer, folder, images, onnx_model(model))
        expected = expected_codes(result, model, images)
        ends = [end for end, _ in proofs_of(report)]
        for end, head, metric, values, codes in zip(ends, model.heads, result._spec.metrics, outputs, expected):
            found = codes_of(values, head.logits)
            yield "current onnxruntime" + end, compare_logits(codes, found, metric.metric is ACCURACY)


def proofs_of(report):
    """Return pairs of the end of a name, which is empty for the first output, and the comparisons of an output."""
    further = [(f", {each.output}", each.outputs) for each in getattr(report, "report", report).further]
    return [("", report.outputs), *further]


def expected_codes(result, model, images):
    """Return the codes of the evaluation graph's outputs."""
    from qatviz.export.proof.graph import EvaluationGraph

    state = result.final_state
    with EvaluationGraph(result.network, state.book, state.arrays, state.step) as graph:
        return [codes_of(values, head.logits) for values, head in zip(graph.outputs(images), model.heads)]


def check_every_format(result, folder, without=()):
    """Export to every format; each file's outputs are as expected."""
    from qatviz.export.formats import FORMATS

    for name, form in sorted(FORMATS.items()):
        if name in without:
            continue
        try:
            written = result.export(folder / name / ("net" + form.suffix), name)
        except ExportError as error:
            raise AssertionError(f"{name}: {error}") from error
        # Runtimes that round twice have other codes in networks of more than a few layers.
        assert (written.report.as_expected or name in _ROUND_TWICE) and not written.report.faults, name
