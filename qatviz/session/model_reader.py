"""Program that imports a model whose code the user has allowed to be run, and writes its properties to a file.

    python -m qatviz.session.model_reader ANSWER < QUESTION

The question (:class:`qatviz.session.model_info.ModelQuestion`) and the answer are JSON. The code runs in
this process, so that it can't end the user's window and training.
"""

import json
import sys

from qatviz.atomic_files import write_file
from qatviz.errors import QatvizError
from qatviz.network.keras_import import load_model
from qatviz.session.inspection import read_model, to_record
from qatviz.session.model_info import ModelQuestion
from qatviz.training.quiet import keep_tensorflow_quiet


def main(answer_path: str) -> None:
    """Answer the question on standard input."""
    keep_tensorflow_quiet()
    question = ModelQuestion(**json.load(sys.stdin))
    try:
        answer = to_record(read_model(lambda shape: load_model(question.path, question.weights, True, shape), question))
    except QatvizError as error:
        answer = {"error": str(error), "field": error.field}
    write_file(answer_path, json.dumps(answer).encode("utf-8"))


if __name__ == "__main__":
    main(sys.argv[1])
