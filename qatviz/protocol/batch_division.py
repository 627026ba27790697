"""Division of the batches of a run over workers or replicas, as records and lists of runs state it."""

from typing import Any, Dict, NamedTuple

from qatviz.number_format import count
from qatviz.protocol import values


class BatchDivision(NamedTuple):
    """Division of each batch; by default, it is not divided.

    Attributes
    ----------
    parts : int
        Number of parts of each batch.
    workers : int
        Number of `qatviz worker` processes that compute them; 0: the process of the run does.
    replicas : int
        Number of devices of that process that compute them.
    has_own_moments : bool
        Whether batch norm normalizes each part by its own mean and variance.
    """

    parts: int = 1
    workers: int = 0
    replicas: int = 1
    has_own_moments: bool = False

    @property
    def text(self) -> str:
        """Text such as "2 workers" or "4 parts on 2 workers"; empty if one device of the run's process has it all.

        >>> BatchDivision(4, workers=2, has_own_moments=True).text
        '4 parts on 2 workers, batch norm by part'
        """
        if self.workers:
            devices, number = count(self.workers, "worker"), self.workers
        else:
            devices, number = count(self.replicas, "replica" if self.replicas > 1 else "device"), self.replicas
        if self.parts == 1 and not self.workers:
            return ""
        parts = "" if self.parts == number else count(self.parts, "part") + " on "
        return parts + devices + (", batch norm by part" if self.has_own_moments and self.parts > 1 else "")

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON-able form."""
        return dict(self._asdict())

    @classmethod
    def from_dict(cls, row: Any) -> "BatchDivision":
        """Return the division serialized by :meth:`to_dict`; missing entries get their defaults.

        Raises
        ------
        ValueError
            If a value is invalid.
        """
        given = values.mapping(row, "batch_division")
        least = {"parts": 1, "workers": 0, "replicas": 1}
        numbers = {name: values.whole(given[name], name, low) for name, low in least.items() if name in given}
        return cls(**numbers, has_own_moments=values.boolean(given.get("has_own_moments", False), "has_own_moments"))

    @classmethod
    def described(cls, description: Any) -> "BatchDivision":
        """Return the division in the description of a run; records of version 0.2 and older have none."""
        row = description.get("batch_division")
        return cls() if row is None else cls.from_dict(row)
