"""Each example does exactly what its README says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deadline import DEADLINE_S
from processes import ServerProcess
from programs import needs

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"
READMES = sorted(EXAMPLES.glob("*/README.md"))
PROGRAMS = {
    "python": [sys.executable],
    "baseplate-serve": [sys.executable, "-m", "baseplate_serve"],
    "baseplate-healthcheck": [sys.executable, "-m", "baseplate_serve.healthcheck"],
}


def commands(readme):
    """(command line, what it prints) of each ``$`` line in the README's console blocks, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", readme.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return [(line, "".join(f"{text}\n" for text in printed)) for line, printed in found]


def words(line, endpoint):
    program, *rest = shlex.split(line.replace("localhost:9090", endpoint))
    return [*PROGRAMS.get(program, [program]), *rest]


def test_there_are_examples():
    assert len(READMES) >= 4


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_an_example_does_what_its_readme_says(readme, tmp_path):
    """But for the ports: 9090 and 6060 may be taken where tests run."""
    folder = tmp_path / readme.parent.name
    shutil.copytree(readme.parent, folder)
    ini = folder / "app.ini"
    ini.write_text(ini.read_text().replace("[server:main]", "[server:main]\nmetrics.endpoint = 127.0.0.1:0"))
    (start, _), *calls = commands(readme)
    assert start.startswith("baseplate-serve ")
    assert calls
    with ServerProcess(folder, command=words(start, "127.0.0.1:0")) as server:
        host, port = server.wait_until_ready()
        for line, printed in calls:
            called = subprocess.run(
                words(line, f"{host}:{port}"),
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            assert called.stdout == printed, called.stderr
        assert server.stop() == 0


@needs("the Thrift compiler", shutil.which("thrift"))
@pytest.mark.parametrize(
    ("idl", "generated"),
    [
        pytest.param("examples/thrift_greeter/greeter.thrift", "greeter_idl", id="greeter"),
        pytest.param("tests/gen/testing.thrift", "testing_idl", id="testing"),
    ],
)
def test_generated_code_is_what_the_compiler_makes(idl, generated, tmp_path):
    root = EXAMPLES.parent
    includes = root / "src" / "baseplate_serve" / "health"
    subprocess.run(["thrift", "-I", includes, "--gen", "py", "-out", tmp_path, root / idl], check=True)
    for made in (tmp_path / generated).glob("*.py"):
        kept = (root / idl).parent / generated / made.name
        # The first lines name the compiler's version.
        assert made.read_text().split("\n")[2:] == kept.read_text().split("\n")[2:]
