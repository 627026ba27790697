"""The TFLite files of an export: the shipped one, and those that its proof runs."""

from typing import Any, Optional

from qatviz import __version__
from qatviz.export.formats import TFLITE, Options
from qatviz.export.integers.model import IntegerModel
from qatviz.export.source import ExportSource
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflite.metadata import Attachment, attachment
from qatviz.export.tflite.written import TfliteModel

#: Description of the model in a file's metadata.
DESCRIPTION = f"a network in integers, written by qatviz {__version__}"


class Files:
    """The shipped file, and variants of it whose outputs are the logits and all tensors.

    Parameters
    ----------
    model : IntegerModel
    options : dict
        Those of :data:`qatviz.export.formats.TFLITE`.
    attached : Attachment or None
        Metadata of the shipped file; None for a file without metadata and signature.
    micro : bool
        True for files of operations that TFLite Micro has.
    """

    def __init__(self, model: IntegerModel, options: Options, attached: Optional[Attachment], micro: bool = False):
        self.model, self._options, self._micro = model, options, micro
        self.shipped = self._made(softmax=options["softmax"], attached=attached)

    @property
    def title(self) -> str:
        """Display name of the shipped file's kind."""
        return (
            f"TFLite {self.shipped.dtype.name}"
            f"{' and int4' if self.shipped.int4 else ''}"
            f"{', for kernels that round twice' if self.double_rounding else ''}"
        )

    @property
    def double_rounding(self) -> bool:
        """True if the file is for kernels that round twice."""
        return bool(self._options["double_rounding"])

    @property
    def logits(self) -> TfliteModel:
        """The file whose output is the logits."""
        return self._made() if self._options["softmax"] else self.shipped

    @property
    def layers(self) -> TfliteModel:
        """The file whose outputs are all tensors."""
        return self._made(outputs=[op.output for op in self.model.ops])

    def _made(self, **changes: Any) -> TfliteModel:
        options = self._options
        return tflite_model(
            self.model,
            multiply_codes=not options["plain_codes"],
            int4=options["int4"],
            int16=options["int16"],
            double_rounding=options["double_rounding"],
            int4_all=options["int4_all"],
            micro=self._micro,
            **changes,
        )

    def in_eight_bits(self) -> Optional[TfliteModel]:
        """Return a file of the same integers that TensorFlow 1.15's interpreter computes; None if there is none."""
        file = self.shipped
        if file.int4:
            file = self._made(softmax=self._options["softmax"], packed_int4=False)
        return None if file.only_litert else file


def file_attachment(source: ExportSource, options: Options) -> Attachment:
    """Return the metadata of the shipped file."""
    return attachment(source, "probabilities" if options["softmax"] else "logits", DESCRIPTION)


def tflm_files(model: IntegerModel, options: Options) -> Files:
    """Return the files for TFLite Micro, with the options of :data:`qatviz.export.formats.TFLM`.

    They have neither metadata nor a signature, which nothing reads on a board.
    """
    return Files(model, TFLITE.with_defaults({**options, "int4_all": options["int4"]}), None, micro=True)
