"""How long a server waits for its clients."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta


@dataclass(frozen=True)
class Patience:
    """Seconds; `inf` is for ever.  The fields are named as the options are."""

    first_byte_timeout: float
    idle_timeout: float
    head_timeout: float
    body_timeout: float
    send_timeout: float

    @classmethod
    def chosen(cls, options: Mapping[str, timedelta | None], defaults: Patience) -> Patience:
        """*options* by name, *defaults* where one is None; an option that is 0 is no limit."""
        values = {}
        for field in fields(cls):
            given = options[field.name]
            values[field.name] = (
                getattr(defaults, field.name) if given is None else given.total_seconds() or inf
            )
        return cls(**values)

    @property
    def shortest(self) -> float:
        shortest: float = min(vars(self).values())
        return shortest


# Idle: longer than the load balancers in front of us keep theirs (Google's 600 s is the longest of the usual
# ones), as who closes first may meet a request that is under way.
HTTP = Patience(first_byte_timeout=60, idle_timeout=620, head_timeout=30, body_timeout=60, send_timeout=60)
# Clients keep pools of connections, open and silent for as long as nobody calls.
THRIFT = Patience(
    first_byte_timeout=inf, idle_timeout=inf, head_timeout=inf, body_timeout=60, send_timeout=60
)
