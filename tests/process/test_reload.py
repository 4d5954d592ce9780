"""--reload: the code changes under a developer's hands, the port answers on."""

from __future__ import annotations

import http.client
import signal
from pathlib import Path

import gevent
import pytest

from deadline import wait_for
from processes import run_to_end, serve, write_service

pytestmark = pytest.mark.process

NO_WATCHFILES = "raise ImportError('as if it were not installed')"


def code(answer, *, first=""):
    return f"""{first}
def make_app(config):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [("{answer}" + config.get("more", "")).encode()]
    return app
"""


def reloading(folder, **options):
    return serve(folder, "--reload", **options)


def answers(server, answer):
    wait_for(lambda: server.get() == answer, f"{answer!r} is answered")


def test_a_saved_module_is_served(tmp_path):
    write_service(tmp_path, code=code("old"))
    with reloading(tmp_path) as server:
        assert server.get() == b"old"
        (tmp_path / "application.py").write_text(code("new"))  # as long, and perhaps in the same second
        answers(server, b"new")
        assert f"baseplate-serve: {tmp_path / 'application.py'} changed, restarting" in server.output
        (tmp_path / "application.py").write_text(code("yet newer"))
        answers(server, b"yet newer")


def test_a_module_that_is_imported_late_is_watched_too(tmp_path):
    """Modules are imported inside functions; and editors save by renaming."""
    late = "import late\n        return [late.ANSWER]"
    write_service(tmp_path, code=code("x").replace("return [", f"{late}\n        return ["))
    (tmp_path / "late.py").write_text("ANSWER = b'old'")
    with reloading(tmp_path) as server:
        assert server.get() == b"old"
        (tmp_path / "late.py.new").write_text("ANSWER = b'new'")
        # The child tells its files once a second: a change before that is seen as well.
        (tmp_path / "late.py.new").rename(tmp_path / "late.py")
        answers(server, b"new")


def test_a_syntax_error_is_reported_and_the_next_save_recovers(tmp_path):
    """Half of what is saved while somebody types does not parse."""
    write_service(tmp_path, code=code("old"))
    with reloading(tmp_path) as server:
        assert server.get() == b"old"
        (tmp_path / "application.py").write_text("def make_app(:")
        wait_for(lambda: "waiting for a file to change" in server.output, "it waits")
        assert "SyntaxError" in server.output
        assert "application could not be imported" in server.output
        (tmp_path / "application.py").write_text(code("new"))
        answers(server, b"new")
        assert server.output.count("waiting for a file to change") == 1


def test_an_application_that_fails_from_the_start_recovers(tmp_path):
    """A name that is wrong, in a module that is not watched yet."""
    write_service(tmp_path, code="import helper\n" + code("new"))
    (tmp_path / "helper.py").write_text("no_such_name")
    with reloading(tmp_path) as server:
        wait_for(lambda: "waiting for a file to change" in server.output, "it waits")
        (tmp_path / "helper.py").write_text("")
        answers(server, b"new")


def test_the_file_is_watched(tmp_path):
    write_service(tmp_path, code=code("hello"))
    with reloading(tmp_path) as server:
        assert server.get() == b"hello"
        with (tmp_path / "app.ini").open("a") as file:
            file.write("more = !\n")
        answers(server, b"hello!")


def test_a_mistake_in_the_file_is_reported_and_recovered_from(tmp_path):
    write_service(tmp_path, code=code("hello"))
    right = (tmp_path / "app.ini").read_text()
    (tmp_path / "app.ini").write_text(right.replace("[app:main]", "stop_timeout = soon\n[app:main]"))
    with reloading(tmp_path) as server:
        wait_for(lambda: "stop_timeout = 'soon': expected a duration" in server.output, "the mistake is told")
        (tmp_path / "app.ini").write_text(right)
        answers(server, b"hello")


class Hammer:
    """Greenlets that connect, ask and read in a loop; `failures` has whatever was not answered."""

    def __init__(self, address, clients):
        self.answers = []
        self.failures = []
        self._address = address
        self._stopped = False
        self._greenlets = [gevent.spawn(self._run) for _ in range(clients)]

    def stop(self):
        self._stopped = True
        gevent.joinall(self._greenlets, timeout=20)

    def _run(self):
        while not self._stopped:
            connection = http.client.HTTPConnection(*self._address, timeout=20)
            try:
                connection.request("GET", "/", headers={"Connection": "close"})
                self.answers.append(connection.getresponse().read())
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()


def test_no_connection_is_refused_or_reset_across_restarts(tmp_path):
    """A browser or a test suite that hits the moment of a restart waits, instead of failing."""
    write_service(tmp_path, server="factory = baseplate_serve.wsgi\nstop_timeout = 10", code=code("0"))
    with reloading(tmp_path) as server:
        hammer = Hammer(server.wait_until_ready(), 8)
        for answer in ("0", "1", "2", "3"):
            (tmp_path / "application.py").write_text(code(answer))
            wait_for(lambda: answer.encode() in hammer.answers[-1:], f"{answer} is answered")  # noqa: B023
        hammer.stop()
    assert not hammer.failures
    assert len(hammer.answers) > 100


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=lambda signum: signum.name)
def test_a_stop_signal_stops_parent_and_child(tmp_path, signum):
    write_service(tmp_path)
    with reloading(tmp_path) as server:
        child = server.pid_of_server
        assert child != server.process.pid
        server.signal(signum)
        assert server.wait() == 0
        assert not Path(f"/proc/{child}").exists()
        assert "Traceback" not in server.output


def test_a_child_whose_parent_was_killed_ends(tmp_path):
    """kill -9, or an IDE's stop button: a server that nobody sees would hold the port."""
    write_service(tmp_path)
    with reloading(tmp_path) as server:
        server.wait_until_ready()
        server.signal(signal.SIGKILL)
        server.wait()
        wait_for(lambda: any("stopped" in message for message in server.messages), "the child stops")


def test_without_watchfiles_one_line_says_what_to_install(tmp_path):
    """It is an extra: production images do not need it."""
    write_service(tmp_path)
    (tmp_path / "watchfiles.py").write_text(NO_WATCHFILES)
    ended = run_to_end(tmp_path, "--reload", "app.ini")  # the current directory comes first on the path
    assert (
        ended.stderr == "baseplate-serve: --reload needs watchfiles: pip install 'baseplate-serve[reload]'\n"
    )
    assert ended.returncode == 2


def test_a_module_that_was_missing_is_noticed_when_it_comes(tmp_path):
    """The factory is written before its module, or `git stash pop` brings it."""
    write_service(tmp_path, app="factory = later")
    with serve(tmp_path, "--reload") as server:
        wait_for(lambda: "waiting for a file to change" in server.output, "the first start fails")
        (tmp_path / "later.py").write_text((tmp_path / "application.py").read_text())
        assert server.get() == b"hello"


def test_a_file_that_was_missing_is_noticed_when_it_comes(tmp_path):
    with serve(tmp_path, "--reload") as server:
        wait_for(lambda: "waiting for a file to change" in server.output, "the first start fails")
        write_service(tmp_path)
        assert server.get() == b"hello"
