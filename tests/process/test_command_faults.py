"""What the command says, and the status it ends with, when something is wrong."""

from __future__ import annotations

import socket

import pytest

from processes import run_to_end, write_service

pytestmark = pytest.mark.process

REFUSING = """
    from baseplate_serve import config

    NUMBER = 1

    def make_app(app_config):
        config.parse_config(app_config, {"pool_size": config.Integer})
        return print
"""

# What is in the file, beyond what makes it whole, and what the command says of it.
FAULTY_FILES = {
    "no factory": (
        {"app": "name = 1"},
        "app.ini: [app:main] factory: is missing: expected 'module' or 'module:callable'",
    ),
    "no such module": (
        {"app": "factory = no_such_package.module:make"},
        "app.ini: [app:main] factory = 'no_such_package.module:make': there is no module 'no_such_package'",
    ),
    "no such name": (
        {"app": "factory = application:make_ap"},
        (
            "app.ini: [app:main] factory = 'application:make_ap': there is no 'make_ap' in application, "
            "did you mean 'make_app'?"
        ),
    ),
    "not callable": (
        {"app": "factory = application:NUMBER"},
        "app.ini: [app:main] factory = 'application:NUMBER': is 1, which cannot be called",
    ),
    "wrong value": (
        {"server": "factory = baseplate_serve.wsgi\ndrain_time = 5 parsecs"},
        (
            "app.ini: [server:main] drain_time = '5 parsecs': expected a duration such as '30 seconds', "
            "or a number of seconds, 0 or more"
        ),
    ),
    "unknown option": (
        {"server": "factory = baseplate_serve.wsgi\nstop_timout = 5"},
        "app.ini: [server:main] stop_timout: is no option of the server, did you mean 'stop_timeout'?",
    ),
    "no such handler": (
        {"server": "factory = baseplate_serve.wsgi\nhandler = application.Handler"},
        "app.ini: [server:main] handler = 'application.Handler': there is no 'Handler' in application",
    ),
    "refused by the application": (
        {"app": "factory = application\npool_size = ten"},
        "app.ini: [app:main] pool_size: expected an integer, not 'ten'",
    ),
}


@pytest.mark.parametrize(("written", "said"), FAULTY_FILES.values(), ids=FAULTY_FILES)
def test_a_mistake_in_the_file_takes_one_line(tmp_path, written, said):
    """Whoever deploys reads the last line of the log of a pod that does not start."""
    write_service(tmp_path, code=REFUSING, **({"app": "factory = application\npool_size = 1"} | written))
    ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", "app.ini")
    assert ended.stderr == f"baseplate-serve: {said}\n"
    assert ended.returncode == 2


def test_several_mistakes_are_told_at_once(tmp_path):
    """One deploy to mend them all, not one for each."""
    write_service(
        tmp_path,
        server="factory = baseplate_serve.wsgi\nmax_concurrency = many\nhandlr = x\nstop_timeout = soon",
    )
    ended = run_to_end(tmp_path, "app.ini")
    lines = ended.stderr.splitlines()
    assert len(lines) == 3
    for option in ("max_concurrency", "handlr", "stop_timeout"):
        assert f"baseplate-serve: app.ini: [server:main] {option}" in ended.stderr
    assert ended.returncode == 2


COMMAND_LINES = {
    "missing file": (["nosuch.ini"], "nosuch.ini: cannot be read: No such file or directory"),
    "missing section": (
        ["--app-name", "mane", "app.ini"],
        "app.ini: there is no section [app:mane], did you mean 'app:main'?",
    ),
    "unusable endpoint": (
        ["--bind", "localhost", "app.ini"],
        (
            "argument --bind: 'localhost': expected host:port, [::1]:port or the path of a unix socket "
            "(see baseplate-serve --help)"
        ),
    ),
    "endpoint in a folder that is not there": (
        ["--bind", "/nonexistent/server.sock", "app.ini"],
        "/nonexistent/server.sock: cannot be bound: No such file or directory",
    ),
    "no file": ([], "the following arguments are required: app.ini (see baseplate-serve --help)"),
    "unknown option": (
        ["app.ini", "--daemonize"],
        "unrecognized arguments: --daemonize (see baseplate-serve --help)",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), COMMAND_LINES.values(), ids=COMMAND_LINES)
def test_a_mistake_on_the_command_line_takes_one_line(tmp_path, arguments, said):
    write_service(tmp_path)
    ended = run_to_end(tmp_path, *arguments)
    assert ended.stderr == f"baseplate-serve: {said}\n"
    assert ended.returncode == 2


def test_a_port_that_is_taken_takes_one_line(tmp_path):
    """The most frequent mistake of all, and it is found before a slow application is loaded."""
    write_service(tmp_path, code="raise RuntimeError('was loaded')")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run_to_end(tmp_path, "--bind", f"127.0.0.1:{port}", "app.ini")
    assert ended.stderr == f"baseplate-serve: 127.0.0.1:{port}: cannot be bound: Address already in use\n"
    assert ended.returncode == 2


# The module, the first frame of the traceback, and the last lines.
FAILING_MODULES = {
    "import raises": (
        "def helper():\n    raise KeyError('inner')\nhelper()",
        "line 3, in <module>",
        "KeyError: 'inner'\nbaseplate-serve: application could not be imported",
    ),
    "import of a dependency": (
        "import json\nimport no_such_dependency",
        "line 2, in <module>",
        (
            "ModuleNotFoundError: No module named 'no_such_dependency'\n"
            "baseplate-serve: application could not be imported"
        ),
    ),
    "syntax": (
        "x = 1\ndef make_app(:",
        "line 2",
        "SyntaxError: invalid syntax\nbaseplate-serve: application could not be imported",
    ),
    "factory raises": (
        "def make_app(config):\n    helper()\ndef helper():\n    raise OSError('no database')",
        "line 2, in make_app",
        "OSError: no database\nbaseplate-serve: the application factory application failed",
    ),
    "handler's module raises": (
        "class Handler: pass\nraise KeyError('inner')",
        "line 2, in <module>",
        "KeyError: 'inner'\nbaseplate-serve: application could not be imported",
    ),
}


@pytest.mark.parametrize(("code", "first", "last"), FAILING_MODULES.values(), ids=FAILING_MODULES)
def test_a_failing_application_is_shown_with_its_own_traceback(tmp_path, code, first, last):
    """It starts in their code and ends with a line that says what was being done; how we got there is no
    help."""
    write_service(tmp_path, code=code)
    ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", "app.ini")
    frames = [line for line in ended.stderr.splitlines() if line.startswith('  File "')]
    assert frames[0] == f'  File "{tmp_path / "application.py"}", {first}'
    assert "baseplate_serve/" not in ended.stderr
    assert "importlib" not in ended.stderr
    assert ended.stderr.endswith(last + "\n")
    assert ended.returncode == 1


def test_a_factory_with_the_wrong_signature_fails_without_our_frames(tmp_path):
    """The mistake is made in their `def`, and noticed in our call of it."""
    write_service(tmp_path, code="def make_app(): pass")
    ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", "app.ini")
    assert ended.stderr == (
        "TypeError: make_app() takes 0 positional arguments but 1 was given\n"
        "baseplate-serve: the application factory application failed\n"
    )
    assert ended.returncode == 1


def test_what_caused_a_failure_is_shown_too(tmp_path):
    """The first cause is often the one that matters."""
    code = """
        def make_app(config):
            try:
                {}["dsn"]
            except KeyError as error:
                raise OSError("no database") from error
    """
    write_service(tmp_path, code=code)
    ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", "app.ini")
    assert "KeyError: 'dsn'" in ended.stderr
    assert "The above exception was the direct cause" in ended.stderr
    assert "baseplate_serve/" not in ended.stderr


def test_an_application_may_end_the_process_itself(tmp_path):
    """`sys.exit(3)` in a factory means 3."""
    write_service(tmp_path, code="import sys\ndef make_app(config):\n    sys.exit(3)")
    ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", "app.ini")
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr


WRONG_APPLICATIONS = {
    "thrift": ("factory = baseplate_serve.thrift", "the thrift server needs a TProcessor"),
    "wsgi": ("factory = baseplate_serve.wsgi", "the wsgi server needs a WSGI or an ASGI application"),
}


@pytest.mark.parametrize(("server", "said"), WRONG_APPLICATIONS.values(), ids=WRONG_APPLICATIONS)
def test_what_a_server_cannot_serve_is_refused(tmp_path, server, said):
    """A factory that forgets its `return` is found at the start, not by the first request."""
    write_service(tmp_path, server=server, code="def make_app(config):\n    config = {}")
    ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", "app.ini")
    assert ended.stderr == f"baseplate-serve: {said}, the factory returned None\n"
    assert ended.returncode == 1


CHECKED = {
    "whole": ("def make_app(config): pass", "app.ini: ok", 0),
    "fails to import": ("raise KeyError('inner')", "", 1),
    "names nothing": ("def make_ap(config): pass", "", 2),
}


@pytest.mark.parametrize(("code", "printed", "status"), CHECKED.values(), ids=CHECKED)
def test_check_loads_everything_and_binds_nothing(tmp_path, code, printed, status):
    """In CI and beside a running server, whose port is taken."""
    write_service(tmp_path, code=code)
    with socket.create_server(("127.0.0.1", 0)) as other:
        endpoint = f"127.0.0.1:{other.getsockname()[1]}"
        ended = run_to_end(tmp_path, "--check", "--bind", endpoint, "app.ini")
    assert ended.returncode == status
    assert ended.stdout.partition("\n")[0] == printed
    assert (endpoint in ended.stdout) == (status == 0)
    assert bool(ended.stderr) == (status != 0)


def test_a_server_that_cannot_be_stopped_is_a_crash(tmp_path):
    """Its failure is shown, and the platform is told by the status."""
    code = """
        import gevent, os, signal

        def make_app(config): pass

        def make_server(config, listener, app):
            return Server()

        class Server:
            def start(self):
                gevent.spawn(os.kill, os.getpid(), signal.SIGTERM)  # once it serves

            def stop(self):
                raise RuntimeError("queue is stuck")
    """
    write_service(tmp_path, server="factory = application", code=code)
    ended = run_to_end(tmp_path, "--bind", "127.0.0.1:0", "app.ini")
    assert f'  File "{tmp_path / "application.py"}", line 14, in stop' in ended.stderr
    assert ended.stderr.endswith(
        "RuntimeError: queue is stuck\nbaseplate-serve: the server could not be stopped\n"
    )
    assert ended.returncode == 1
