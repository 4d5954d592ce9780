"""Clients of other languages, by Apache Thrift's own libraries, call a service with every type there is.

`make test-languages` installs what they need and runs them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from programs import needs
from thrift_harness import serving

HERE = Path(__file__).parent
MODULES = Path(os.environ.get("NODE_PATH", ".cache/languages/node_modules")).absolute()

pytestmark = [
    pytest.mark.timeout(300),
    needs("the Thrift compiler", shutil.which("thrift")),
]


def generate(language, folder):
    command = ["thrift", "--gen", language, "-out", str(folder), str(HERE / "everything.thrift")]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The processor; the generated package stays importable."""
    folder = tmp_path_factory.mktemp("gen-py")
    generate("py", folder)
    sys.path.insert(0, str(folder))
    from everything import Languages, ttypes

    class Handler:
        notes = 0

        def ping(self):
            pass

        def mirror(self, value):
            return value

        def many(self, count):
            return [ttypes.Everything(medium=n, text=f"number {n}") for n in range(count)]

        def add(self, a, b):
            return a + b

        def refuse(self, why):
            raise ttypes.Refused(why, -5)

        def fail(self):
            raise RuntimeError("asked to")

        def note(self, text):
            assert text == "one way"
            self.notes += 1

        def noted(self):
            return self.notes

    yield Languages.Processor(Handler())
    sys.path.remove(str(folder))


def run(server, *command, **environ):
    ended = subprocess.run(
        [*map(str, command)],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert not server.in_flight()


def _has_cpp():
    if shutil.which("g++") is None:
        return False
    code = "#include <thrift/protocol/THeaderProtocol.h>"
    command = ["g++", "-E", "-x", "c++", "-"]
    tried = subprocess.run(command, input=code, text=True, capture_output=True, check=False)
    return tried.returncode == 0


@pytest.fixture(scope="module")
def cpp_client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gen-cpp")
    generate("cpp:no_skeleton", folder)
    sources = [HERE / "client.cpp", *(path for path in folder.glob("*.cpp") if "skeleton" not in path.name)]
    client = folder / "client"
    command = ["g++", "-std=c++17", "-I", folder, *sources, "-o", client, "-lthriftz", "-lthrift", "-lz"]
    built = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    return client


@needs("g++, libthrift-dev or libboost-dev", _has_cpp())
@pytest.mark.parametrize(
    "dialect",
    [
        "unframed binary",
        "unframed compact",
        "framed binary",
        "framed compact",
        "header binary",
        "header compact",
        "header zlib",
    ],
)
def test_a_client_in_cpp(service, cpp_client, dialect):
    with serving(service) as server:
        run(server, cpp_client, server.address[1], dialect)


@pytest.fixture(scope="module")
def js_types(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gen-js")
    generate("js:node", folder)
    return folder


@needs("node, or npm's package thrift", shutil.which("node") and (MODULES / "thrift").is_dir())
@pytest.mark.parametrize(
    "dialect", ["unframed binary", "unframed compact", "framed binary", "framed compact"]
)
def test_a_client_in_node(service, js_types, dialect):
    with serving(service) as server:
        run(server, "node", HERE / "client.js", js_types, server.address[1], dialect, NODE_PATH=str(MODULES))
