"""A program of its own: imports a model whose code the user allows to run, and writes down what it is.

    python -m qatviz.app.model_reader ANSWER < QUESTION

The question (:class:`qatviz.gui.model.looks.ModelQuestion`) and the answer are JSON. Whatever the code does to this
process, the user's window and training stay.
"""

import json
import sys

from qatviz.app.looks import of_open_shape, record_of
from qatviz.atomic_files import write_file
from qatviz.errors import QatvizError
from qatviz.gui.model.looks import ModelQuestion
from qatviz.network.keras_import import load_model_file, load_model_script, parse_script_spec
from qatviz.training.quiet import keep_tensorflow_quiet


def main(answer_path: str) -> None:
    """Answer the question on standard input."""
    keep_tensorflow_quiet()
    question = ModelQuestion(**json.load(sys.stdin))
    script = parse_script_spec(question.path)

    def load(shape):
        if script is not None:
            return load_model_script(script, True, shape)
        return load_model_file(question.path, question.weights, True, shape)

    try:
        answer = record_of(of_open_shape(load, question))
    except QatvizError as error:
        answer = {"error": str(error), "field": error.field}
    write_file(answer_path, json.dumps(answer).encode("utf-8"))


if __name__ == "__main__":
    main(sys.argv[1])
