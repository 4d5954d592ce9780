"""Where listeners come from, and how they are left."""

from __future__ import annotations

import os
import socket

import pytest

from baseplate_serve._sockets import systemd
from baseplate_serve._sockets.acquire import acquire
from baseplate_serve._sockets.bind import bind
from baseplate_serve._sockets.einhorn import EinhornWorker, worker_of
from baseplate_serve._sockets.leave import refuse_handshakes
from baseplate_serve.config import Endpoint
from baseplate_serve.errors import EndpointError
from deadline import DEADLINE_S

EINHORN = {
    "EINHORN_MASTER_PID": "12",
    "EINHORN_FD_COUNT": "2",
    "EINHORN_FD_0": "6",
    "EINHORN_FD_1": "7",
    "EINHORN_SOCK_PATH": "/tmp/einhorn.sock",
    "EINHORN_CHILD_INDEX": "3",
}


def test_a_child_of_einhorn_is_its_worker():
    assert worker_of(EINHORN, parent_pid=12) == EinhornWorker(12, (6, 7), "/tmp/einhorn.sock", "3")


@pytest.mark.parametrize(
    ("environ", "parent_pid"),
    [
        pytest.param({}, 12, id="no einhorn"),
        pytest.param(EINHORN, 13, id="a grandchild inherits the variables"),
        pytest.param({**EINHORN, "EINHORN_MASTER_PID": "no pid"}, 12, id="not a pid"),
    ],
)
def test_who_is_no_worker(environ, parent_pid):
    assert worker_of(environ, parent_pid=parent_pid) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"EINHORN_FD_COUNT": "many"}, "EINHORN_FD_COUNT: .* got 'many'", id="count"),
        pytest.param({"EINHORN_FD_COUNT": "3"}, "EINHORN_FD_2: .* it is not set", id="descriptor missing"),
        pytest.param({"EINHORN_FD_1": "-1"}, "EINHORN_FD_1: .* got '-1'", id="negative"),
    ],
)
def test_variables_that_no_einhorn_sets_are_named(change, problem):
    with pytest.raises(EndpointError, match=problem):
        worker_of({**EINHORN, **change}, parent_pid=12)


@pytest.mark.parametrize(
    ("environ", "fds"),
    [
        pytest.param({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, (3, 4), id="two sockets"),
        pytest.param({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, (), id="meant for another process"),
        pytest.param({"LISTEN_FDS": "2"}, (), id="for nobody"),
        pytest.param({}, (), id="no systemd"),
    ],
)
def test_descriptors_of_systemd(environ, fds):
    assert systemd.passed_fds(environ, pid=7) == fds


def test_systemd_is_notified(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
        service_manager.bind(str(tmp_path / "notify"))
        service_manager.settimeout(DEADLINE_S)
        systemd.notify({"NOTIFY_SOCKET": str(tmp_path / "notify")}, "READY=1")
        assert service_manager.recv(100) == b"READY=1"


def test_a_notify_socket_that_is_gone_is_no_reason_to_fail(tmp_path, caplog):
    systemd.notify({"NOTIFY_SOCKET": str(tmp_path / "gone")}, "READY=1")
    assert "could not send READY=1" in caplog.text


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_einhorns_socket_is_adopted_whatever_its_family(tmp_path, family):
    """No Einhorn says the family; the descriptor does."""
    with socket.socket(family) as donor:
        donor.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "sock"))
        donor.listen()
        fd = os.dup(donor.fileno())
        listener = acquire(Endpoint("localhost:1"), EinhornWorker(1, (fd,), None, None), {})
        assert (listener.origin, listener.sock.family) == ("Einhorn", family)
        assert not os.get_inheritable(listener.sock.fileno())
        listener.close()


def test_systemds_socket_is_adopted(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as donor:
        fd = os.dup(donor.fileno())
        monkeypatch.setattr(systemd, "FIRST_FD", fd)
        listener = acquire(Endpoint("localhost:1"), None, {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
        assert listener.origin == "systemd"
        assert listener.name == f"127.0.0.1:{donor.getsockname()[1]}"
        listener.close()


def test_what_is_handed_over_must_be_a_stream_socket(tmp_path):
    with open(tmp_path / "file", "w") as file, pytest.raises(EndpointError, match="is no socket"):
        acquire(Endpoint("localhost:1"), EinhornWorker(1, (file.fileno(),), None, None), {})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with pytest.raises(EndpointError, match="no stream socket"):
            acquire(Endpoint("localhost:1"), EinhornWorker(1, (os.dup(udp.fileno()),), None, None), {})


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_tcp_listeners_share_their_port_and_do_not_wait_for_acks(text):
    listener = bind(Endpoint(text))
    port = listener.getsockname()[1]
    with listener, bind(Endpoint(text.replace(":0", f":{port}"))) as other:
        assert other.getsockname()[1] == port
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)  # not before it is ready


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("no-such-host.invalid:1", "cannot be bound", id="no such host"),
        pytest.param("192.0.2.1:1", "Cannot assign requested address", id="not ours"),
        pytest.param("/nowhere/at/all.sock", "No such file or directory", id="no such folder"),
    ],
)
def test_an_endpoint_that_cannot_be_bound_says_why(text, problem):
    with pytest.raises(EndpointError, match=problem):
        bind(Endpoint(text))


def test_a_port_in_use_says_so():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(EndpointError, match="Address already in use"):
            bind(Endpoint(f"127.0.0.1:{taken.getsockname()[1]}"))


def test_a_stale_socket_file_is_replaced_and_a_live_one_is_not(tmp_path):
    path = str(tmp_path / "service.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()  # the file stays, as after kill -9
    with bind(Endpoint(path)) as live:
        live.listen()
        with pytest.raises(EndpointError, match="another server listens there"):
            bind(Endpoint(path))
        live.remove_file()
    assert not os.path.exists(path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(EndpointError, match="no socket stands there"):
        bind(Endpoint(str(tmp_path / "precious")))
    assert (tmp_path / "precious").read_text() == "data"


def test_another_servers_socket_file_is_not_removed(tmp_path):
    """A successor has replaced our file with its own while we drained."""
    path = str(tmp_path / "service.sock")
    with bind(Endpoint(path)) as ours:
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as successor:
            successor.bind(path)
            ours.remove_file()
            assert os.path.exists(path)


def test_a_deaf_listener_takes_no_new_handshakes_but_keeps_its_connections():
    """And the client is not refused: it asks again, and by then the port is another worker's."""
    with bind(Endpoint("127.0.0.1:0")) as leaving:
        leaving.listen()
        before = socket.create_connection(leaving.getsockname())
        assert refuse_handshakes(leaving)
        late = socket.socket()
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.connect(leaving.getsockname())
        served, _ = leaving.accept()
        before.sendall(b"hello")
        assert served.recv(5) == b"hello"
        for sock in (before, late, served):
            sock.close()
