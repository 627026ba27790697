"""Recipe: settings as an ordered list of rules, each for the tensors that match a pattern; the later wins.

A recipe belongs to no network, so that the settings of one run can be given to another. In JSON::

    {"recipe": 1, "rules": [
        {"tensors": "*.weights", "settings": {"num_bits": 8, "symmetric": true}},
        {"tensors": "conv1.weights", "settings": {"num_bits": 4}},
        {"tensors": "run", "settings": {"learning_rate": 0.001}}]}

A rule's pattern is that of a path of :mod:`qatviz.protocol.settings_book` without the setting: a tensor, a layer, or
``run``.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple, Union

from qatviz.atomic_files import write_file
from qatviz.errors import SettingError, did_you_mean, prefixed
from qatviz.name_lookup import LONGEST_PATTERN
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import KINDS, QUANTIZER_SETTINGS, RUN, RUN_SETTINGS, applicable

#: Key of the version of the form, and the present one.
VERSION_KEY, VERSION = "recipe", 1
_RULES, _TENSORS, _SETTINGS = "rules", "tensors", "settings"
#: Largest size of a file with a recipe (bytes): that of rules for some 100,000 tensors.
MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class Rule:
    """Settings of the tensors that match ``pattern``, such as ``conv*.weights``; of the run for ``run``."""

    pattern: str
    settings: Tuple[Tuple[str, Any], ...]

    @property
    def assignments(self) -> Tuple[Tuple[str, Any], ...]:
        """The rule as pairs of a path and a value."""
        return tuple((f"{self.pattern}.{name}", value) for name, value in self.settings)


@dataclass(frozen=True)
class Recipe:
    """Rules in the order in which they apply."""

    rules: Tuple[Rule, ...]

    @property
    def assignments(self) -> Tuple[Tuple[str, Any], ...]:
        """The rules as pairs of a path and a value, for :meth:`SettingsBook.change`."""
        return tuple(pair for rule in self.rules for pair in rule.assignments)

    def applied(self, book: SettingsBook) -> SettingsBook:
        """Return the settings after all rules.

        Raises
        ------
        SettingError
            If no tensor matches a rule, or a value is not allowed for a tensor; the message names the rule.
        """
        for number, rule in enumerate(self.rules, 1):
            with prefixed(_where(number, rule.pattern)):
                book, _ = book.change(rule.assignments)
        return book

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON-able form."""
        rules = [{_TENSORS: rule.pattern, _SETTINGS: dict(rule.settings)} for rule in self.rules]
        return {VERSION_KEY: VERSION, _RULES: rules}

    def to_json(self) -> str:
        """Return the form of a file: one line for each rule."""
        rules = ",\n".join("  " + json.dumps(rule, allow_nan=False) for rule in self.to_dict()[_RULES])
        return f'{{"{VERSION_KEY}": {VERSION}, "{_RULES}": [\n{rules}\n]}}\n'


def recipe_of(book: SettingsBook, with_run: bool = False) -> Recipe:
    """Return the recipe of all settings of the quantizers: the most frequent ones, then those of single tensors.

    Applied to any settings of the same network, it returns those of ``book``.

    Parameters
    ----------
    with_run : bool
        True to include the settings of the run.
    """
    rules = []
    if with_run:
        rules.append(Rule(RUN, tuple((name, getattr(book.run, name)) for name in RUN_SETTINGS)))
    for kind in KINDS:
        found = {t.name: applicable(book.of(t.name), kind) for t in book.plan.tensors if t.kind == kind}
        if not found:
            continue
        names = next(iter(found.values()))
        common = {name: Counter(row[name] for row in found.values()).most_common(1)[0][0] for name in names}
        rules.append(Rule(f"*.{kind}", tuple(common.items())))
        for tensor, row in found.items():
            own = tuple((name, value) for name, value in row.items() if value != common[name])
            rules += [Rule(_literal(tensor), own)] if own else []
    return Recipe(tuple(rules))


def recipe_of_bits(bits: Mapping[str, int]) -> Recipe:
    """Return the recipe that sets the number of bits of tensors, by name, and leaves all other settings."""
    return Recipe(tuple(Rule(_literal(name), (("num_bits", width),)) for name, width in bits.items()))


def read_recipe(path: Union[str, "os.PathLike[str]"]) -> Recipe:
    """Return the recipe in a file; the error of :func:`parse_recipe`, or one that says why it can't be read, names it.

    Raises
    ------
    SettingError
    """
    with prefixed(os.fspath(path)):
        try:
            with open(path, "rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SettingError(f"can't be read: {error.strerror or error}") from error
        return parse_recipe(content)


def write_recipe(path: Union[str, "os.PathLike[str]"], recipe: Recipe) -> None:
    """Write a recipe to a file; an existing file is replaced.

    Raises
    ------
    SettingError
        If the file can't be written; an existing one then stays.
    """
    try:
        write_file(path, recipe.to_json().encode("utf-8"))
    except OSError as error:
        raise SettingError(f"{os.fspath(path)}: can't be written: {error.strerror or error}") from error


def parse_recipe(content: bytes) -> Recipe:
    """Return the recipe in a file; in one with further keys, such as the record of an export, that of "recipe".

    Raises
    ------
    SettingError
        If it is no JSON, or no recipe; the message names the rule, the key, the value and what is allowed.
    """
    if len(content) > MAX_BYTES:
        raise SettingError(f"is too large: expected a recipe of at most {MAX_BYTES:,} bytes")
    try:
        row = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingError(f"is no JSON: {error}") from error
    return recipe_from(row)


def recipe_from(row: Any) -> Recipe:
    """Return the recipe serialized by :meth:`Recipe.to_dict`; see :func:`parse_recipe`."""
    if isinstance(row, Mapping) and isinstance(row.get(VERSION_KEY), Mapping):
        row = row[VERSION_KEY]
    if not isinstance(row, Mapping) or VERSION_KEY not in row:
        raise SettingError(f'is no recipe: expected {{"{VERSION_KEY}": {VERSION}, "{_RULES}": [...]}}')
    if type(row[VERSION_KEY]) is not int or row[VERSION_KEY] != VERSION:
        raise SettingError(f"{VERSION_KEY} is {_short(row[VERSION_KEY])}: expected {VERSION}, the version of the form")
    _check_keys("recipe", row, (VERSION_KEY, _RULES))
    rules = row[_RULES]
    if not isinstance(rules, list):
        raise SettingError(f"{_RULES} is {_short(rules)}: expected a list of rules")
    return Recipe(tuple(_rule(number, rule) for number, rule in enumerate(rules, 1)))


def _rule(number: int, row: Any) -> Rule:
    where = f"rule {number}"
    if not isinstance(row, Mapping):
        raise SettingError(
            f'{where} is {_short(row)}: expected {{"{_TENSORS}": "conv1.weights", "{_SETTINGS}": {{"num_bits": 4}}}}'
        )
    _check_keys(where, row, (_TENSORS, _SETTINGS))
    pattern, settings = row[_TENSORS], row[_SETTINGS]
    if not isinstance(pattern, str) or not pattern.strip():
        raise SettingError(f"{where}: {_TENSORS} is {_short(pattern)}: expected a tensor, a layer, a pattern or {RUN}")
    pattern = pattern.strip()
    if len(pattern) > LONGEST_PATTERN:
        raise SettingError(
            f"{where}: {_TENSORS} has {len(pattern):,} characters: expected a pattern of at most {LONGEST_PATTERN:,}"
        )
    where = _where(number, pattern)
    if not isinstance(settings, Mapping):
        raise SettingError(f"{where}: {_SETTINGS} is {_short(settings)}: expected values by the names of settings")
    known = RUN_SETTINGS if pattern == RUN else QUANTIZER_SETTINGS
    values: List[Tuple[str, Any]] = []
    for name, value in settings.items():
        if name not in known:
            raise SettingError(
                f"{where}: there is no setting {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}"
            )
        with prefixed(where):
            # Words that depend on the kind of tensor are checked when the rule meets tensors.
            values.append((name, known[name].check(value, name)))
    return Rule(pattern, tuple(values))


def _check_keys(where: str, row: Mapping[str, Any], keys: Tuple[str, ...]) -> None:
    for key in row:
        if key not in keys:
            raise SettingError(f"{where}: there is no key {key!r}; there are {' and '.join(keys)}")
    for key in keys:
        if key not in row:
            raise SettingError(f"{where}: the key {key!r} is missing")


def _where(number: int, pattern: str) -> str:
    return f"rule {number} ({pattern})"


def _literal(name: str) -> str:
    """Return the pattern that matches only this name."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _short(value: Any) -> str:
    """Return a value for a message, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
