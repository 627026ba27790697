"""Data sets for networks with several inputs."""

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.data.build import converted_examples, from_arrays
from qatviz.data.data_input import DataInput, data_inputs, in_order, packed
from qatviz.data.dataset import Dataset, Note, equal_up_to_unit_axis
from qatviz.data.heads import from_heads
from qatviz.data.several import are_several, listed, names_in_network
from qatviz.data.streamed import Array, StreamedArray
from qatviz.errors import DataError
from qatviz.name_lookup import by_name
from qatviz.scaling import UNIT, UNSCALED, joined_scalings

#: Arrays of examples by name of the input, or in the order of the inputs.
Examples = Union[Mapping[str, Any], Sequence[Any]]
#: Names of the classes; for targets of several outputs, by name of the output.
ClassNames = Union[Sequence[str], Mapping[str, Sequence[str]], None]
#: Characters that names of inputs cannot have, because scalings are stated with them.
_RESERVED = "=;"


def from_inputs(
    name: str,
    source: str,
    train: Tuple[Examples, Any],
    test: Optional[Tuple[Examples, Any]] = None,
    class_names: ClassNames = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    where: Optional[Mapping[str, str]] = None,
    task: Optional[str] = None,
    notes: Sequence[Note] = (),
    weights: Any = None,
    tasks: Mapping[str, str] = {},
    stated_scalings: Mapping[str, str] = {},
) -> Dataset:
    """Check and convert raw arrays of several inputs, with targets of one output or of several.

    Parameters
    ----------
    name, source, class_names, validation_fraction, seed, task, notes, weights
        As of :func:`qatviz.data.build.from_arrays`.
    train, test : (examples, targets)
        Arrays by name of the input, or in the order of the inputs, which get their numbers as names. Each array has a
        form of :func:`qatviz.data.checks.convert_examples`, or is streamed: the examples of the result then are, too.
        Targets as of :func:`~qatviz.data.build.from_arrays`, or of several outputs as of
        :func:`qatviz.data.heads.from_heads`.
    where : mapping of str to str, optional
        Names in messages for "y_train" and "y_test", and for "x_train" and "x_test" with a slot for the input:
        ``"<file>: x_train_{}"``.
    tasks : mapping of str to str
        Tasks by name or index of the output, if there are targets of several.
    stated_scalings : mapping of str to str
        Scalings of some inputs: integers are scaled so, floating-point examples are already.

    Raises
    ------
    DataError
        If the arrays do not fit.
    """
    names = dict(where or {})
    slots = {key: names.pop(key, f"{source}: {key} of input {{!r}}") for key in ("x_train", "x_test")}
    given = _by_input(train[0], source)
    held_out = None if test is None else _by_input(test[0], source)
    if held_out is not None and set(held_out) != set(given):
        raise DataError(
            f"{source}: found test examples of the inputs {listed(list(held_out))}; expected {listed(list(given))} "
            "as for training"
        )
    parts = [converted_examples(array, slots["x_train"].format(own)) for own, array in given.items()]
    _check_rows(list(given), parts, slots["x_train"])
    tested: List[Array] = []
    if held_out is not None:
        tested = [
            converted_examples(held_out[own], slots["x_test"].format(own), pixels=part.dtype == np.uint8)
            for own, part in zip(given, parts)
        ]
        _check_rows(list(given), tested, slots["x_test"])
        for own, part, other in zip(given, parts, tested):
            if other.shape[1:] != part.shape[1:] or other.dtype != part.dtype:
                raise DataError(
                    f"{slots['x_test'].format(own)}: found {other.dtype} examples of shape {list(other.shape[1:])}; "
                    f"expected {part.dtype} of shape {list(part.shape[1:])} as for training"
                )
    integers = [own for own, array in given.items() if array.dtype.kind in "iu"]
    have = {own: scaling for own, scaling in stated_scalings.items() if own not in integers}
    usual = [UNIT if part.dtype == np.uint8 else have.get(own, UNSCALED) for own, part in zip(given, parts)]
    inputs = data_inputs(list(given), parts, usual)
    rows = packed(parts, source)
    examples = (rows, train[1])
    tests = None if test is None else (packed(tested, source), test[1])
    found = _with_targets(
        name,
        source,
        examples,
        tests,
        class_names,
        validation_fraction,
        seed,
        names,
        task,
        notes,
        weights,
        tasks,
        inputs,
    )
    if not stated_scalings:
        return found
    return found.with_scaling(joined_scalings({**dict(zip(given, usual)), **stated_scalings}))


def _with_targets(
    name: str,
    source: str,
    examples: Tuple[Array, Any],
    tests: Optional[Tuple[Array, Any]],
    class_names: ClassNames,
    validation_fraction: float,
    seed: int,
    names: Dict[str, str],
    task: Optional[str],
    notes: Sequence[Note],
    weights: Any,
    tasks: Mapping[str, str],
    inputs: Tuple[DataInput, ...],
) -> Dataset:
    """Return the data set of rows with the values of all inputs, and of targets of one output or of several."""
    if are_several(examples[1], len(examples[0])):
        of_all = {} if task is None else dict.fromkeys(by_name(examples[1]), task)
        tasks = {**of_all, **tasks}
        return from_heads(
            name,
            source,
            examples,
            tests,
            validation_fraction,
            seed,
            names,
            tasks,
            class_names if isinstance(class_names, Mapping) else {},
            inputs,
            weights,
            notes,
        )
    assert not isinstance(class_names, Mapping), "names by output are those of several outputs"
    return from_arrays(
        name, source, examples, tests, class_names, validation_fraction, seed, names, task, notes, weights, inputs
    )


def for_inputs(dataset: Dataset, inputs: Sequence[Tuple[str, Tuple[int, ...]]]) -> Dataset:
    """Return the same data for the inputs of a network, in their order and with their names and shapes.

    Examples are those of the inputs of their names, or if they have numbers for names, in their order. Their shapes may
    differ in a last axis of length 1 only.

    Raises
    ------
    DataError
        If the examples are not those of the inputs.
    """
    names = [name for name, _ in inputs]
    if not dataset.inputs or len(inputs) < 2:
        if not dataset.inputs and len(inputs) == 1:
            return dataset.with_input_shape(inputs[0][1])
        own = f"examples of the inputs {listed([each.name for each in dataset.inputs])}" if dataset.inputs else ""
        takes = "one input" if len(names) == 1 else f"the inputs {listed(names)}"
        remedy = "" if dataset.inputs else ", by name in a script, or as x_NAME in an .npz file"
        raise DataError(
            f"{dataset.name} has {own or 'examples of one input'}, but the network has {takes}: expected examples of "
            f"each{remedy}"
        )
    found = [each.name for each in dataset.inputs]
    known = names_in_network(found, names)
    if known is None:
        raise DataError(
            f"{dataset.name} has examples of the inputs {listed(found)}, but the network has the inputs "
            f"{listed(names)}: expected the same names"
        )
    by_name: Dict[str, DataInput] = {known[each.name]: each for each in dataset.inputs}
    for name, shape in inputs:
        if not equal_up_to_unit_axis(by_name[name].shape, shape):
            raise DataError(
                f"{dataset.name} has examples of the shape {list(by_name[name].shape)} for the input {name!r}, but the "
                f"network expects {list(shape)}"
            )
    fitted = tuple(by_name[name]._replace(name=name, shape=tuple(shape)) for name, shape in inputs)
    if fitted == dataset.inputs:
        return dataset
    order = [by_name[name].name for name in names]
    examples = {key: in_order(dataset.inputs, order, getattr(dataset, key)) for key in ("x_train", "x_test")}
    return replace(dataset, **examples, inputs=fitted)


def _by_input(examples: Examples, source: str) -> Dict[str, Array]:
    """Return examples by name of the input: those of a mapping in the order of the names, whatever its own is.

    Arrays of one axis have one feature for each example.
    """
    found = by_name(examples)
    if isinstance(examples, Mapping):
        # Numbers in the order of their values.
        found = {
            name: found[name] for name in sorted(found, key=lambda name: (int(name) if name.isdecimal() else 0, name))
        }
    reserved = [name for name in found if any(character in name for character in _RESERVED)]
    if len(found) < 2 or reserved or "" in found:
        raise DataError(
            f"{source}: found examples of the inputs {listed(list(found))}; expected two or more, whose names have "
            f"none of the characters {' '.join(_RESERVED)}"
        )
    arrays: Dict[str, Array] = {
        name: array if isinstance(array, StreamedArray) else np.asarray(array) for name, array in found.items()
    }
    return {name: array.reshape((len(array), 1)) if array.ndim == 1 else array for name, array in arrays.items()}


def _check_rows(names: Sequence[str], parts: Sequence[Array], where: str) -> None:
    for name, part in zip(names, parts):
        if len(part) != len(parts[0]):
            raise DataError(
                f"{where.format(name)}: found {len(part):,} examples, but {len(parts[0]):,} of the input {names[0]!r}; "
                "expected as many"
            )
