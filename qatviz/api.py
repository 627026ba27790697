"""What a user's own script calls: :func:`train`, and :func:`launch`, which does it in the window."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from qatviz import data as data_sets
from qatviz.atomic_files import atomic_file
from qatviz.cli.assignments import check_change, parse_change
from qatviz.cli.messages import say
from qatviz.cli.progress import progress_for
from qatviz.cli.watch import Watch
from qatviz.data import Dataset
from qatviz.errors import DataError, RunStateError, SettingError
from qatviz.metric import ACCURACY
from qatviz.network.graph import Network
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.session.beginning import Model, file_model, new_record, new_spec, object_model, zoo_model
from qatviz.session.folders import new_run_directory
from qatviz.settings import RunSettings
from qatviz.telemetry.outcome import Outcome
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.training.handle import FAILED, Run
from qatviz.training.quiet import keep_tensorflow_quiet

#: Where arrays of a script are kept beside the record, so that the run can go on without it; larger ones are not.
DATA_FILE, DATA_FILE_BYTES = "data.npz", 2**30
#: What the record calls data that only the script had.
ARRAYS = "arrays of a script"


class Trained:
    """A run that has ended.

    Attributes
    ----------
    network : Network
    outcome : Outcome
        ``step``, ``loss``, ``evaluations`` (step and the metric four ways), ``tensors()``, ``to_dict()``.
    directory : str or None
        Where it is recorded.
    moment : RunState
        Its state at the end: ``arrays`` by name, ``book`` (settings).
    """

    def __init__(self, spec: RunSpec, outcome: Outcome, moment: RunState, directory: Optional[str]):
        self._spec = spec
        self.network: Network = spec.network
        self.outcome, self.moment, self.directory = outcome, moment, directory

    @property
    def scores(self) -> Dict[str, float]:
        """The metric (``outcome.metric``: accuracy, or the RMSE of regression) of the last evaluation: "float",
        "weights_only", "activations_only", "quantized"; empty if there was none.
        """
        evaluations = self.outcome.evaluations
        return {name: value for name, value in evaluations[-1].items() if name != "step"} if evaluations else {}

    @property
    def accuracy(self) -> Dict[str, float]:
        """The scores of a classification; empty for regression."""
        return self.scores if self.outcome.metric is ACCURACY else {}

    def export(
        self, path: Union[str, Path], format: str = "tflite", examples: Optional[int] = None, **options: Any
    ) -> Any:
        """Write the state at the end as a file that runs elsewhere, with the proof that it computes the same.

        Parameters
        ----------
        path : str or Path
        format : str
            A name of :data:`qatviz.export.formats.FORMATS`.
        examples : int, optional
            Held-out examples to run the file on.
        **options
            Of the format.

        Returns
        -------
        qatviz.export.formats.Written
            ``paths``, and ``report``: ``to_text()``, ``faults``, ``as_expected``.

        Raises
        ------
        ExportError
        """
        from qatviz.export.formats import format_named
        from qatviz.export.source import ExportSource

        moment, spec = self.moment, self._spec
        source = ExportSource(
            spec.network,
            moment.book,
            moment.arrays,
            spec.dataset,
            moment.step,
            {"checkpoint": moment.name, "step": moment.step},
            spec.keras,
            examples,
        )
        return format_named(format).export(source, path, options)


class _New(NamedTuple):
    spec: RunSpec
    record: Optional[RunRecord]


def train(
    model: Any = "lenet", data: Any = "mnist-5k", out: Optional[str] = None, quiet: bool = False, **options: Any
) -> Trained:
    """Train with quantization, in the terminal.

    Parameters
    ----------
    model : tf.keras.Model, str or path
        Of the thread and default graph it is called in; or the name of a network of the zoo, or a file: ``.h5``,
        ``.json``.
    data : (x, y), ((x, y), (x_test, y_test)), Dataset, str or path
        Arrays as :func:`qatviz.data.from_arrays` takes them, or what :func:`qatviz.data.load` takes.
    out : str, optional
        The directory to record the run in; by default it is not recorded.
    quiet : bool
        No progress.
    steps, batch_size, optimizer, seed
        As of :class:`qatviz.protocol.run_spec.RunSpec`; ``steps=None``: until stopped with Ctrl-C.
    preset : str
        ``tflite-int8``, ``uint8-affine``, ``int4``, ``ternary`` or ``float``.
    weights, activations : dict of str to object
        Settings of all weights and of all activations, such as ``{"num_bits": 4, "per_channel": True}``.
    quant_delay : int
        Steps in float before quantization begins, to fine-tune a trained model.
    from_scratch : bool
        Leave the model's weights out.
    changes : sequence of str
        Changes of settings as on the command line: ``["500:conv1.weights.num_bits=3"]``.
    validation_fraction : float
        Share of the data that is held out where it has no test part.
    weights_path, allow_code
        Of a model's file; see :func:`qatviz.network.keras_import.load_model_file`.
    task : str
        "classification" or "regression"; by default what the data says, else it is told from ``y``: whole numbers and
        one-hot rows are classes, other floating-point numbers are to be predicted.
    **run_settings
        ``learning_rate``, ``evaluation_interval`` ... : the settings of a run (``qatviz settings``).

    Returns
    -------
    Trained

    Raises
    ------
    QatvizError
        If something is not allowed or does not fit, before anything begins.
    RunStateError
        If training failed.
    """
    keep_tensorflow_quiet()
    new = _begun(model, data, out, dict(options))
    run, outcome = Run(new.spec, new.record, recall=False), Outcome(new.spec.book, new.spec.metric)
    watch = Watch(run, outcome, progress_for(quiet, new.spec.network.name, 0, new.spec.steps))
    watch.follow()
    if watch.failed is not None:
        raise RunStateError(
            f"training failed after step {watch.failed.step}: "
            f"{watch.failed.message}\n{'' if watch.failed.explained else watch.failed.traceback}"
        )
    return Trained(new.spec, outcome, run.final, out)


def launch(
    model: Any = "lenet", data: Any = "mnist-5k", out: Optional[str] = None, **options: Any
) -> Optional[Trained]:
    """Train with quantization in the window; comes back when it is closed.

    Parameters are those of :func:`train`, but that the run is recorded in any case (by default in the user's folder of
    runs) and goes on until it is stopped. To be called in the main thread.

    Returns
    -------
    Trained or None
        The run that was begun here, as it ended; None if it failed, or did not begin.

    Raises
    ------
    QatvizError
        As of :func:`train`.
    """
    from qatviz.app.main import show
    from qatviz.gui.model.launcher import Prepared

    keep_tensorflow_quiet()
    options.setdefault("steps", None)
    name = model if isinstance(model, str) else getattr(model, "name", "model")
    out = out or new_run_directory("".join(c if c.isalnum() else "-" for c in os.path.basename(name)))
    new = _begun(model, data, out, dict(options))
    spec, run = new.spec, Run(new.spec, new.record, yields=True)
    show(
        Prepared(
            run,
            spec.network,
            spec.book,
            f"{spec.network.name} on {spec.dataset.name}",
            len(spec.dataset.x_train) / spec.batch_size,
            out,
        )
    )
    run.request_stop()
    if not run.wait(_LAST_WAIT_S) or run.state == FAILED or run.final is None:
        return None
    outcome = Outcome(spec.book, spec.metric)
    outcome.take_record(RunRecord.read(out))
    outcome.step, outcome.seconds = run.final.step, run.final.seconds
    return Trained(spec, outcome, run.final, out)


#: How long a run may take to end once the window is closed.
_LAST_WAIT_S = 30.0
_SPEC_OPTIONS = ("steps", "batch_size", "optimizer", "seed", "preset", "weights", "activations", "quant_delay")
_MODEL_OPTIONS = ("from_scratch", "weights_path", "allow_code")


def _begun(model: Any, data: Any, out: Optional[str], options: Dict[str, Any]) -> _New:
    """The spec and the record of a run; takes all ``options``."""
    fraction = options.pop("validation_fraction", 0.2)
    dataset, named = _dataset(data, fraction, options.pop("task", None))
    chosen = _model(model, dataset, {name: options.pop(name) for name in _MODEL_OPTIONS if name in options})
    for note in chosen.notes:
        say("note: " + note)
    changes = [parse_change(text) for text in options.pop("changes", ())]
    fields = {name: options.pop(name) for name in _SPEC_OPTIONS if name in options}
    unknown = set(options) - set(RunSettings().to_dict())
    if unknown:
        known = {*_SPEC_OPTIONS, *_MODEL_OPTIONS, "changes", "validation_fraction", "task", *RunSettings().to_dict()}
        raise SettingError(
            f"there is no option {', '.join(map(repr, sorted(unknown)))}; there are {', '.join(sorted(known))}"
        )
    fields.setdefault("preset", DEFAULT_PRESET)
    spec = new_spec(chosen, dataset, named or ARRAYS, run=RunSettings(**options), **fields)
    book: Any = spec.book
    schedule: List[Tuple[int, ChangeSettings]] = []
    for change in sorted(changes, key=lambda change: change.step or 0):
        book = check_change(book, change)
        if change.step is None:
            spec = replace(spec, book=book)
        else:
            schedule.append((change.step, ChangeSettings(change.assignments)))
    spec = replace(spec, schedule=tuple(schedule))
    if out is None:
        return _New(spec, None)
    keep = not named and dataset.x_train.nbytes + dataset.x_test.nbytes <= DATA_FILE_BYTES
    if keep:
        spec = replace(spec, data_spec=os.path.join(os.path.abspath(out), DATA_FILE))
    record = new_record(spec, out, validation_fraction=fraction)
    if keep:
        _write_data(dataset, spec.data_spec)
    return _New(spec, record)


def _dataset(data: Any, fraction: float, task: Optional[str]) -> Tuple[Dataset, str]:
    """The data, and how it is named in the record; empty if it has no name."""
    if isinstance(data, Dataset):
        return data, ""
    if isinstance(data, (str, os.PathLike)):
        named = any(known.name == str(data) for known in data_sets.NAMED_DATA)
        path = str(data) if named else os.path.abspath(os.path.expanduser(str(data)))
        return data_sets.load(data, fraction, task=task), path
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DataError(
            f"data is of the type {type(data).__name__}; expected (x, y), ((x, y), (x_test, y_test)), a "
            "Dataset, a name or a "
            "path"
        )
    train, test = data if isinstance(data[0], (tuple, list)) and len(data[0]) == 2 else (data, None)
    arrays = [tuple(map(np.asarray, part)) if part is not None else None for part in (train, test)]
    return data_sets.from_arrays("arrays", ARRAYS, *arrays, validation_fraction=fraction, task=task), ""


def _model(model: Any, dataset: Dataset, options: Dict[str, Any]) -> Model:
    if not isinstance(model, (str, os.PathLike)):
        return object_model(model, dataset, options.get("from_scratch", False))
    if os.path.splitext(str(model))[1] or os.path.exists(str(model)):
        return file_model(str(model), dataset, **options)
    return zoo_model(str(model), dataset)


def _write_data(dataset: Dataset, path: str) -> None:
    arrays = {name: getattr(dataset, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    with atomic_file(path) as file:
        np.savez(file, class_names=np.array(dataset.class_names, str), task=np.array(dataset.task), **arrays)
