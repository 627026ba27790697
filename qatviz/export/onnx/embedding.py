"""Nodes of an Embedding: a Gather of rows of codes."""

# A separate module, because the lowering would be too long with it.

import numpy as np

from qatviz.export.integers.model import IntegerModel, IntegerOp
from qatviz.export.onnx.file import OnnxFile
from qatviz.export.onnx.grids import Grids, codes_name, is_wide
from qatviz.export.onnx.layout import TO_CHANNELS_FIRST, TO_CHANNELS_LAST
from qatviz.export.onnx.storage import Storage


def put_rows(file: OnnxFile, grids: Grids, storage: Storage, model: IntegerModel, op: IntegerOp, ids: str) -> None:
    """Append an Embedding; codes of more than 8 bits are numbers in float.

    ``ids`` is the name of the input's values, with channels first if there are three axes, as are images.
    """
    source, output, name = model.tensor(op.inputs[0]), model.tensor(op.output), op.name
    if len(source.shape) == 3:
        ids = file.add_step("Transpose", [ids], name + ".ids_last", perm=TO_CHANNELS_LAST)
    wide, shared = is_wide(output), op.layer.owner + ".table"
    if wide:
        codes = op.require_table().astype(np.int64) - output.zero_point
        table = file.add_constant(name + ".table", codes, np.float32, shared)
    else:
        table = file.add_constant(name + ".table", storage.stored(op.require_table()), storage.dtype, shared)
    is_image = len(output.shape) == 3
    result = name + ".rows" if wide or is_image else codes_name(output)
    rows = file.add_node("Gather", [table, ids], result, name, axis=0)
    if is_image:
        result = name + ".channels_first" if wide else codes_name(output)
        rows = file.add_node("Transpose", [rows], result, name + ".transpose", perm=TO_CHANNELS_FIRST)
    if wide:
        grids.put_relative_codes(output, rows, output.zero_point)
    else:
        grids.put_codes(output, rows)
