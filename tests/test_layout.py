"""The architecture, as tests: imports go one way, and what is generated is current."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "baseplate_serve"

# From the ground up: a module may import from floors below its own, and from its own package.
FLOORS = [
    ["errors", "config", "_lifecycle.phase", "_lifecycle.forked"],
    ["state", "health", "asgi", "monitoring"],
    ["_settings", "_sockets", "_logs"],
    ["_metrics", "_lifecycle"],
    ["_servers", "_monitors"],
    ["_drop_in"],
    ["thrift", "wsgi", "healthcheck"],
    ["_command"],
    ["__main__"],
    ["_overlay"],
]


def floor_of(module):
    """The index in FLOORS of the longest entry that *module* is in."""
    found = [
        (len(entry), index)
        for index, floor in enumerate(FLOORS)
        for entry in floor
        if module == entry or module.startswith(entry + ".")
    ]
    return max(found)[1]


def modules():
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        if name and not name.startswith("health."):
            yield pytest.param(name, file, id=name)


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("baseplate_serve"):
            base = node.module.removeprefix("baseplate_serve").lstrip(".")
            for alias in node.names:
                whole = f"{base}.{alias.name}".lstrip(".")
                path = PACKAGE / Path(*whole.split("."))
                yield whole if path.is_dir() or path.with_suffix(".py").exists() else base
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("baseplate_serve.")
                for alias in node.names
                if alias.name.startswith("baseplate_serve.")
            )


@pytest.mark.parametrize(("module", "file"), [*modules()])
def test_imports_go_one_way(module, file):
    here = floor_of(module)
    folder = module.partition(".")[0]
    upwards = [
        other
        for other in imports(file)
        if other and floor_of(other) >= here and other.partition(".")[0] != folder
    ]
    assert not upwards, f"{module} is on floor {here} and imports {upwards}"


def test_a_bare_import_of_the_package_loads_nothing_heavy():
    """`import baseplate_serve.config` in an application's own tests must not patch or need gevent."""
    heavy = "[name for name in ('gevent', 'thrift', 'asyncio') if name in sys.modules]"
    script = f"import sys, baseplate_serve.config; print({heavy})"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_generated_pages_are_current():
    checked = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == ""
    assert checked.returncode == 0


def test_compat_stands_alone():
    files = sorted((ROOT / "src" / "compat").glob("*.py"))
    assert files
    for file in files:
        assert "baseplate_serve" not in file.read_text(), file.name


def test_compat_works_without_the_servers(tmp_path):
    """Another program may take it as it is."""
    shutil.copytree(ROOT / "src" / "compat", tmp_path / "compat")
    script = f"""
import sys
sys.modules["baseplate_serve"] = None  # where it is installed, too
sys.path.insert(0, {str(tmp_path)!r})
from gevent import monkey; monkey.patch_all()
import asyncio, compat

async def main():
    return await compat.sync_to_async(str.upper)(await asyncio.sleep(0.001, "alone"))

print(compat.__file__.startswith({str(tmp_path)!r}), compat.wait(main()))
print(asyncio.Runner(loop_factory=compat.new_event_loop).run(main()))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "True ALONE\nALONE\n"


NEITHER = {"asyncio", "compat", "baseplate_serve._monitors"}


@pytest.mark.parametrize(
    ("server", "unused"),
    [
        pytest.param("thrift", NEITHER | {"httptools", "baseplate_serve.wsgi"}, id="thrift"),
        pytest.param("wsgi", NEITHER | {"thrift"}, id="wsgi"),
    ],
)
def test_importing_a_server_imports_nothing_of_another(server, unused):
    """A synchronous service doesn't pay for what it doesn't use."""
    script = f"import sys, baseplate_serve.{server}, baseplate_serve._command.serve; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not unused & {*found.stdout.split()}
