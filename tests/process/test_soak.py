"""Some seconds of `make soak`."""

from __future__ import annotations

import pytest

import soak

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]


def test_nothing_grows_under_mixed_load():
    assert soak.run(9.0) == []
