"""Autobahn's fuzzing client, the usual conformance suite for WebSockets, against an echo that we serve.

It is a program for Python 2.7, in a process of its own.  A case that goes wrong and isn't in
`known_autobahn` is an error, and so is one of those that doesn't.
"""

import fcntl
import glob
import json
import os
import shutil
import subprocess

import pytest

from asgi_harness import serving, url
from known_autobahn import CASES, EITHER, KNOWN
from workers import CACHE, compare, here

RELEASE = "25.10.1"
INSTALL_S = 300
SUITE_S = 150
FEWEST = 290
RUN = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"


def find_python2():
    """One with pip, on the PATH or under pyenv, whose shims stand there for versions that aren't chosen."""
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    for python in (shutil.which("python2.7"), *glob.glob(f"{pyenv}/versions/2.7.*/bin/python")):
        pip = python and [python, "-m", "pip", "--version"]
        if pip and subprocess.run(pip, capture_output=True, check=False).returncode == 0:
            return python
    return None


@pytest.fixture
def fuzzing_client():
    """The command that runs it, without the arguments."""
    python = find_python2()
    if python is None:
        pytest.skip("Autobahn's suite is for Python 2.7, and no python2.7 with pip is here")
    folder = os.path.abspath(os.path.join(CACHE, f"autobahntestsuite-{RELEASE}"))
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held while it is installed: two runs may want it at a time
        if not os.path.exists(folder):
            install(python, folder)
    return [python, "-c", RUN, folder, "--mode", "fuzzingclient"]


def install(python, folder):
    half = f"{folder}.half"
    shutil.rmtree(half, ignore_errors=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--target", half, f"autobahntestsuite=={RELEASE}"],
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"could not install Autobahn's suite: {done.stderr}", pytrace=False)
    os.rename(half, folder)


async def echo(_scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({**message, "type": "websocket.send"})


@pytest.mark.timeout(INSTALL_S + SUITE_S + 30)
def test_the_suite_passes_on_our_server(fuzzing_client, tmp_path, caplog):
    caplog.set_level("ERROR")  # we warn of each case that breaks the protocol
    reports = tmp_path / "reports"
    with serving(echo) as server:
        spec = {"servers": [{"agent": "ours", "url": url(server, scheme="ws")}], "cases": CASES}
        (tmp_path / "spec.json").write_text(
            json.dumps({**spec, "outdir": str(reports), "exclude-cases": [], "exclude-agent-cases": {}})
        )
        done = subprocess.run(
            [*fuzzing_client, "--spec", tmp_path / "spec.json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SUITE_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout
    assert not caplog.records
    results = json.loads((reports / "index.json").read_text())["ours"]
    assert len(results) > FEWEST, done.stdout
    compare({case: difference(case, result) for case, result in results.items()}, here(KNOWN))


def difference(case, result):
    """What the suite finds wrong with *case*, or None.  Informational: the RFC leaves it open."""
    right = {"OK", "INFORMATIONAL"}
    if case in here(EITHER):
        right.add("NON-STRICT")
    behaviour, close = result["behavior"], result["behaviorClose"]
    if behaviour in right and close in right:
        return None
    return f"behaviour {behaviour}, close {close} (code {result['remoteCloseCode']})"
