"""Data sets with targets for several outputs of a network."""

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.data.build import from_arrays
from qatviz.data.data_input import DataInput
from qatviz.data.dataset import Dataset, Note
from qatviz.data.example_weights import convert_weights
from qatviz.data.several import are_several, listed, names_in_network
from qatviz.data.split import random_split
from qatviz.data_options import AUTO
from qatviz.errors import DataError
from qatviz.heads import by_output, output_named
from qatviz.name_lookup import by_name

#: Arrays of targets by name of the output, or in the order of the outputs.
Targets = Union[Mapping[str, Any], Sequence[Any]]
#: Names of the classes; for targets of several outputs, by name of the output.
ClassNames = Union[Sequence[str], Mapping[str, Sequence[str]], None]


def from_heads(
    name: str,
    source: str,
    train: Tuple[Any, Targets],
    test: Optional[Tuple[Any, Targets]] = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    where: Optional[Mapping[str, str]] = None,
    tasks: Mapping[str, str] = {},
    class_names: Mapping[str, Sequence[str]] = {},
    inputs: Tuple[DataInput, ...] = (),
    weights: Any = None,
    notes: Sequence[Note] = (),
) -> Dataset:
    """Check and convert raw arrays with targets for several outputs.

    Parameters
    ----------
    name, source, validation_fraction, seed, inputs, notes
        See :func:`qatviz.data.build.from_arrays`. Without `test`, some examples are held out at random, for any task.
    train, test : (ndarray, targets)
        Examples and their :data:`Targets`; outputs without names are named by their indices, "0", "1", ....
    where : mapping of str to str, optional
        Names in messages for "x_train" and "x_test", and for "y_train" and "y_test" with a slot for the output, such as
        ``"<file>: y_train_{}"``.
    tasks : mapping of str to str
        Tasks by name or index of the output; by default inferred.
    class_names : mapping of str to sequence of str
        Names of classes or labels, by name of the output; see :func:`qatviz.data.build.from_arrays`.
    weights : ndarray, mapping or sequence, optional
        Weight of each example of `train` in the losses of all outputs, or by name or index of the output, or in the
        order of the outputs; None is 1.

    Returns
    -------
    Dataset
        That of the first output; those of the others are :attr:`Dataset.further`.

    Raises
    ------
    DataError
        If the arrays do not fit; the message names what was found, where, and what is expected.
    SettingError
        If `validation_fraction` or `seed` is out of range.
    """
    names = {**{key: f"{source}: {key}" for key in ("x_train", "x_test")}, **(where or {})}
    slots = {key: names.get(key, f"{source}: {key} of output '{{}}'") for key in ("y_train", "y_test")}
    targets = by_name(train[1])
    held_out = None if test is None else by_name(test[1])
    if not targets:
        raise DataError(f"{source}: found no targets; expected an array for each output")
    if held_out is not None and set(held_out) != set(targets):
        raise DataError(
            f"{source}: found test targets of {listed(list(held_out))}; expected {listed(list(targets))} as for "
            "training"
        )
    weights = _weights_by_output(weights, list(targets), len(np.asarray(train[0])), source)
    everything = slice(None)
    parts: Tuple[Any, Any] = (everything, everything)
    if test is None:
        parts = random_split(len(np.asarray(train[0])), validation_fraction, seed)
    examples = (train[0], train[0] if test is None else test[0])
    x_train, x_test = (np.asarray(x)[part] for x, part in zip(examples, parts))
    heads: List[Dataset] = []
    for output, array in targets.items():
        labels = (array, array if held_out is None else held_out[output])
        own = {key: output.join(slot.rsplit("{}", 1)) for key, slot in slots.items()}
        y_train, y_test = (
            _checked_rows(y, x, where)[part] for y, x, where, part in zip(labels, examples, own.values(), parts)
        )
        found = from_arrays(
            name,
            source,
            (x_train, y_train),
            (x_test, y_test),
            class_names.get(output),
            where={**names, **own},
            task=tasks.get(output, tasks.get(str(len(heads)))),
            inputs=inputs,
            weights=weights[output][parts[0]] if output in weights else None,
        )
        x_train, x_test = found.x_train, found.x_test  # converted once
        heads.append(replace(found, output=output))
    if test is None:
        heads[0] = replace(heads[0], assumed=heads[0].assumed._replace(held_out=validation_fraction))
    heads[0] = replace(heads[0], notes=tuple(notes))
    return with_heads(heads)


def from_targets(
    name: str,
    source: str,
    train: Tuple[Any, Any],
    test: Optional[Tuple[Any, Any]] = None,
    class_names: ClassNames = None,
    task: Optional[str] = None,
    tasks: Mapping[str, str] = {},
    ignored_label: str = AUTO,
    **others: Any,
) -> Dataset:
    """Return the data set of targets of one output, by `from_arrays`, or of several, by :func:`from_heads`.

    Parameters
    ----------
    class_names : ClassNames
    task : str, optional
        Task of all outputs that are not in ``tasks``.
    tasks : mapping of str to str
        Tasks by name or index of the output, if there are targets of several.
    ignored_label : str
        Used for one output.
    **others
        Other parameters that both functions have.
    """
    if are_several(train[1], len(train[0])) or (test is not None and are_several(test[1], len(test[0]))):
        of_all = {} if task is None else dict.fromkeys(by_name(train[1]), task)
        names = class_names if isinstance(class_names, Mapping) else {}
        return from_heads(name, source, train, test, tasks={**of_all, **tasks}, class_names=names, **others)
    assert not isinstance(class_names, Mapping), "names by output are those of several outputs"
    return from_arrays(name, source, train, test, class_names, task=task, ignored_label=ignored_label, **others)


def with_heads(heads: Sequence[Dataset]) -> Dataset:
    """Return the data set whose :attr:`Dataset.heads` are these, which have the same examples."""
    first, *further = (replace(head, further=()) for head in heads)
    return replace(first, further=tuple(further))


def for_outputs(dataset: Dataset, names: Sequence[str], shapes: Sequence[Tuple[int, ...]]) -> Dataset:
    """Return the same data with its targets in the order of the outputs of a network, and with the outputs' names.

    Targets belong to the output of the same name; if they are named by indices, to the output of this index. Targets
    that are images get the shape of their output, see :meth:`Dataset.with_target_shape`.

    Parameters
    ----------
    dataset : Dataset
    names : sequence of str
        Names of the outputs.
    shapes : sequence of tuple of int
        Shapes of the outputs for one example.

    Raises
    ------
    DataError
        If the data does not have targets of exactly these outputs.
    """
    if not dataset.further and len(names) == 1:
        return dataset.with_target_shape(shapes[0])
    known = outputs_of_targets(dataset.name, [head.output for head in dataset.heads], names)
    targets = {known[head.output]: head for head in dataset.heads}
    heads = [
        replace(targets[name], output=name, further=()).with_target_shape(shape) for name, shape in zip(names, shapes)
    ]
    fitted = with_heads(heads)
    object.__setattr__(fitted, "_fingerprint", dataset.fingerprint)
    return fitted


def _weights_by_output(weights: Any, outputs: Sequence[str], num_examples: int, source: str) -> Dict[str, np.ndarray]:
    """Return the weights of the examples, float32 ``[num_examples]``, for the outputs that have some."""
    is_sequence = isinstance(weights, (tuple, list)) and len(weights) == len(outputs)
    if not isinstance(weights, Mapping) and not (
        is_sequence and all(each is None or np.ndim(each) > 0 for each in weights)
    ):
        weights = {} if weights is None else dict.fromkeys(outputs, weights)
    found: Dict[str, np.ndarray] = {}
    for key, array in by_output(weights).items():
        output = output_named(key, outputs)
        if output is None:
            raise DataError(f"{source}: found weights of the output {key!r}; expected those of {listed(outputs)}")
        found[output] = convert_weights(array, num_examples, f"{source}: w_train of output {output!r}")
    return found


def outputs_of_targets(name: str, own: Sequence[str], names: Sequence[str]) -> Dict[str, str]:
    """Return the name of the output of a network for each name of targets.

    Parameters
    ----------
    name : str
        Name of the data.
    own, names : sequence of str
        Names of targets and outputs; a single one may have any names.

    Raises
    ------
    DataError
        If the targets are not those of the outputs.
    """
    if len(own) == len(names) == 1:
        return {own[0]: names[0]}
    if len(names) != len(own):
        found = f"targets of the outputs {listed(own)}" if len(own) > 1 else "targets of one output"
        raise DataError(
            f"{name} has {found}, but the network has the output{'s' * (len(names) > 1)} {listed(names)}: expected "
            "targets of each"
        )
    known = names_in_network(own, names)
    if known is None:
        raise DataError(
            f"{name} has targets of {listed(own)}, but the network has the outputs {listed(names)}: expected the "
            "same names"
        )
    return known


def _checked_rows(targets: Any, examples: Any, where: str) -> np.ndarray:
    """Return targets as an array; raise a `DataError` unless they have a row for each example."""
    array, count = np.asarray(targets), len(np.asarray(examples))
    if array.ndim == 0 or len(array) != count:
        found = len(array) if array.ndim else "no"
        raise DataError(f"{where}: found {found} rows for {count} examples; expected one row per example")
    return array
