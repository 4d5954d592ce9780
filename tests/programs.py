"""Programs that tests start and a machine may lack: they are skipped there, and not where `make` installed
them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def needs(what, found):
    """A mark for tests that need *what*, which is here if *found* is true.

    Where REQUIRE_PROGRAMS is in the environment, a file with a test that would be skipped is an error.
    """
    reason = f"{what} is not installed"
    if not found and os.environ.get("REQUIRE_PROGRAMS"):
        pytest.fail(reason, pytrace=False)
    return pytest.mark.skipif(not found, reason=reason)


needs_namespaces = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="mounts of a process's own need namespaces, which are not allowed here",
)
