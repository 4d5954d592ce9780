"""Metrics that nobody shows: for monitors that are heard of elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseplate_serve._metrics.declared import RuntimeMetrics

if TYPE_CHECKING:
    from collections.abc import Collection

    from baseplate_serve._metrics.declared import Metric


class NoMetrics(RuntimeMetrics):
    """In the place of them; prometheus_client is not imported."""

    def __init__(self) -> None:
        pass

    def __call__(self, _metric: Metric, *_labels: str) -> Any:
        return self

    def observe_all(self, values: Collection[float], metric: Metric, *labels: str) -> None:
        pass

    def _nothing(self, _value: float) -> None:
        pass

    inc = set = observe = _nothing
