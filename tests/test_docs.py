"""What the pages show is run: each Python block is a program of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["asyncio.md", "adopting-async.md"]


def programs():
    for page in PAGES:
        blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
        assert blocks
        for number, block in enumerate(blocks, 1):
            yield pytest.param(block, id=f"{page}-{number}")


@pytest.mark.parametrize("program", [*programs()])
def test_the_programs_run(program):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
