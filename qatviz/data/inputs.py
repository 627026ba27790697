"""Data sets for networks with several inputs."""

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from qatviz.data.build import check_same_form, converted_examples
from qatviz.data.data_input import data_inputs, in_order, packed
from qatviz.data.dataset import Dataset, Note, equal_up_to_unit_axis
from qatviz.data.heads import ClassNames, from_targets
from qatviz.data.several import listed, names_in_network
from qatviz.data.streamed import Array, StreamedArray
from qatviz.errors import DataError
from qatviz.name_lookup import by_name
from qatviz.scaling import UNIT, UNSCALED, joined_scalings

#: Arrays of examples by name of the input, or in the order of the inputs.
Examples = Union[Mapping[str, Any], Sequence[Any]]
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
        As in :func:`qatviz.data.build.from_arrays`.
    train, test : (examples, targets)
        Arrays by name of the input, or in the order of the inputs, which get their indices as names. Each array has a
        form of :func:`qatviz.data.checks.convert_examples`, or is streamed: the examples of the result then are, too.
        Targets as in :func:`~qatviz.data.build.from_arrays`, or of several outputs as in
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
    parts = [converted_examples(array, slots["x_train"].format(own)) for own, array in given.items()]
    _check_rows(list(given), parts, slots["x_train"])
    tested = None if test is None else _held_out_parts(test[0], dict(zip(given, parts)), source, slots)
    integers = [own for own, array in given.items() if array.dtype.kind in "iu"]
    have = {own: scaling for own, scaling in stated_scalings.items() if own not in integers}
    usual = [UNIT if part.dtype == np.uint8 else have.get(own, UNSCALED) for own, part in zip(given, parts)]
    found = from_targets(
        name,
        source,
        (packed(parts, source), train[1]),
        None if test is None or tested is None else (packed(tested, source), test[1]),
        class_names,
        task,
        tasks,
        validation_fraction=validation_fraction,
        seed=seed,
        where=names,
        notes=notes,
        weights=weights,
        inputs=data_inputs(list(given), parts, usual),
    )
    if not stated_scalings:
        return found
    return found.with_scaling(joined_scalings({**dict(zip(given, usual)), **stated_scalings}))


def _held_out_parts(
    examples: Examples, trained: Mapping[str, Array], source: str, slots: Mapping[str, str]
) -> List[Array]:
    """Return the converted test examples of each input, in the order and form of the training examples ``trained``."""
    given = _by_input(examples, source)
    if set(given) != set(trained):
        raise DataError(
            f"{source}: found test examples of the inputs {listed(list(given))}; expected {listed(list(trained))} as "
            "for training"
        )
    parts: List[Array] = []
    for name, first in trained.items():
        where = slots["x_test"].format(name)
        parts.append(converted_examples(given[name], where, pixels=first.dtype == np.uint8))
        check_same_form(parts[-1], first, where, slots["x_train"].format(name))
    _check_rows(list(trained), parts, slots["x_test"])
    return parts


def for_inputs(dataset: Dataset, inputs: Sequence[Tuple[str, Tuple[int, ...]]]) -> Dataset:
    """Return the same data for the inputs of a network, in their order and with their names and shapes.

    Examples are those of the inputs of their names, or if they have indices for names, in their order. Their shapes may
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
    own_inputs = {known[each.name]: each for each in dataset.inputs}
    for name, shape in inputs:
        if not equal_up_to_unit_axis(own_inputs[name].shape, shape):
            raise DataError(
                f"{dataset.name} has examples of the shape {list(own_inputs[name].shape)} for the input {name!r}, but "
                f"the network expects {list(shape)}"
            )
    fitted = tuple(own_inputs[name]._replace(name=name, shape=tuple(shape)) for name, shape in inputs)
    if fitted == dataset.inputs:
        return dataset
    order = [own_inputs[name].name for name in names]
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
