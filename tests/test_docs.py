"""What the pages show is run: each Python block is a program of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
README = DOCS.parent / "README.md"
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


def anchors(page):
    """What GitHub makes of its headings."""
    headings = re.findall(
        r"^#+ (.*)$",
        re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL),
        re.MULTILINE,
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name
)
def test_the_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        if not target.startswith("http"):
            file = page.parent / target if target else page
            assert file.exists(), link
            assert not anchor or anchor in anchors(file), link


def test_every_page_is_listed():
    linked = re.findall(r"\]\((docs/[^)]+)\)", README.read_text())
    pages = {f"docs/{page.name}" for page in DOCS.glob("*.md")}
    assert pages <= set(linked)
