"""The examples of operations: each is read by whoever would read it, and their numbers fit together."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
from collections import defaultdict
from contextlib import ExitStack
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from baseplate_serve import healthcheck
from baseplate_serve._command.arguments import parse_arguments
from baseplate_serve._servers.graceful import CLEAN_UP_S
from baseplate_serve._settings.ini import read_ini
from baseplate_serve._settings.read import read_settings
from deadline import DEADLINE_S, wait_for
from processes import ServerProcess, command_line, run_to_end, write_service

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "examples" / "operations"
KUBERNETES = list(yaml.safe_load_all((OPERATIONS / "kubernetes.yaml").read_text()))
UNITS = ["notes@.service", "notes@.socket", "notes.target"]
WORKERS = range(1, 5)


def kubernetes(kind):
    return next(found for found in KUBERNETES if found["kind"] == kind)


POD = kubernetes("Deployment")["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
PROBES = {name: probe for name, probe in CONTAINER.items() if name.endswith("Probe")}


def unit(name):
    """Section to option to all of its values, as systemd reads them: an option may stand several times."""
    sections = defaultdict(lambda: defaultdict(list))
    section = None
    for line in (OPERATIONS / name).read_text().splitlines():
        if line.startswith("["):
            section = sections[line.strip("[]")]
        elif line and not line.startswith("#"):
            option, _, value = line.partition("=")
            section[option].append(value)
    return sections


def service(option):
    (value,) = unit("notes@.service")["Service"][option]
    return value


def environ_of_unit():
    lines = unit("notes@.service")["Service"]["Environment"]
    return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line.replace("%i", "1")))


def environ_of_shell():
    return dict(re.findall(r"(?:export )?([A-Z_]+)=([^\s\"$]+)", (OPERATIONS / "einhorn.sh").read_text()))


def dockerfile():
    """(instruction, the rest) of each line; those that go on are one."""
    text = re.sub(r"\\\n\s*", " ", (OPERATIONS / "Dockerfile").read_text())
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [tuple(line.split(" ", 1)) for line in lines]


def environ_of_image():
    lines = [rest for instruction, rest in dockerfile() if instruction == "ENV"]
    return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))


def environ_of_pod():
    return environ_of_image() | {pair["name"]: pair["value"] for pair in CONTAINER["env"]}


ENVIRONMENTS = {
    "systemd": environ_of_unit,
    "einhorn": environ_of_shell,
    "docker": environ_of_image,
    "kubernetes": environ_of_pod,
}


@pytest.fixture
def settings(monkeypatch):
    for name, value in environ_of_image().items():
        if not name.startswith("PYTHON"):
            monkeypatch.setenv(name, value)
    return read_settings(read_ini(str(OPERATIONS / "app.ini"), server_name="main", app_name="main"))


@pytest.fixture
def longest_stop(settings):
    """For how long a process may go on after SIGTERM."""
    return settings.drain_time + settings.stop_timeout + timedelta(seconds=CLEAN_UP_S)


@pytest.mark.parametrize("environ", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_file_is_right_in_every_environment(tmp_path, environ):
    """A variable that nobody sets would stay as it is written."""
    for file in (OPERATIONS / "app.ini", ROOT / "examples" / "wsgi_notes" / "notes.py"):
        shutil.copy(file, tmp_path)
    found = environ()
    assert {"PROXIES", "METRICS_ENDPOINT"} <= set(found)
    checked = run_to_end(tmp_path, "--check", "app.ini", environ=found)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"metrics: {found['METRICS_ENDPOINT']}" in checked.stdout


@pytest.mark.parametrize("environ", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_nobody_is_believed_but_proxies(environ):
    """docs/security.md: not the whole network that clients are in, too."""
    names = environ()["PROXIES"].split(",")
    assert all(name == "unix" or ip_network(name).num_addresses <= 16 for name in names)


# Kubernetes


def valid(manifest):
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("manifest", KUBERNETES, ids=lambda manifest: manifest["kind"])
def test_kubernetes_would_take_it(manifest):
    valid(manifest)


def test_a_mistake_would_be_found():
    """What checks the manifests above does look."""
    misspelt = yaml.safe_load((OPERATIONS / "kubernetes.yaml").read_text().split("---")[0])
    misspelt["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError):
        valid(misspelt)


def test_the_manifests_speak_of_the_same_pods():
    labels = {"matchLabels": POD["metadata"]["labels"]}
    deployment = kubernetes("Deployment")
    assert deployment["spec"]["selector"] == labels
    assert kubernetes("Service")["spec"]["selector"] == labels["matchLabels"]
    assert kubernetes("PodDisruptionBudget")["spec"]["selector"] == labels
    assert kubernetes("NetworkPolicy")["spec"]["podSelector"] == labels
    scaled = kubernetes("HorizontalPodAutoscaler")["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert scaled["minReplicas"] == deployment["spec"]["replicas"]
    ports = {port["name"] for port in CONTAINER["ports"]}
    assert {port["targetPort"] for port in kubernetes("Service")["spec"]["ports"]} == ports - {"metrics"}
    assert {rule["ports"][0]["port"] for rule in kubernetes("NetworkPolicy")["spec"]["ingress"]} == ports


def test_the_pod_serves_where_it_is_asked():
    ports = {port["name"]: str(port["containerPort"]) for port in CONTAINER["ports"]}
    environ = environ_of_pod()
    assert environ["METRICS_ENDPOINT"] == f"0.0.0.0:{ports['metrics']}"
    assert POD["metadata"]["annotations"]["prometheus.io/port"] == ports["metrics"]
    (command,) = [rest for instruction, rest in dockerfile() if instruction == "CMD"]
    assert str(parse_arguments(yaml.safe_load(command)[1:]).bind) == f"0.0.0.0:{ports['http']}"
    for probe in PROBES.values():
        assert f"localhost:{ports['http']}" in probe["exec"]["command"]


def test_the_probes_are_ours_and_say_why_they_fail():
    """Kubernetes shows what a probe printed, unless it had to kill it."""
    assert set(PROBES) == {"startupProbe", "readinessProbe", "livenessProbe"}
    for name, probe in PROBES.items():
        program, *arguments = probe["exec"]["command"]
        assert program == "baseplate-healthcheck"
        asked = healthcheck._parser().parse_args(arguments)
        assert asked.kind == "wsgi"
        assert f"{asked.probe}Probe" == name
        assert asked.timeout < timedelta(seconds=probe["timeoutSeconds"])


def test_kubernetes_is_more_patient_than_the_server(longest_stop):
    assert timedelta(seconds=POD["spec"]["terminationGracePeriodSeconds"]) > longest_stop


def test_readiness_is_noticed_within_the_drain(settings):
    """By Kubernetes, where something else than a deletion stops the process, and by HAProxy and Envoy."""
    probe = PROBES["readinessProbe"]
    seconds = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert timedelta(seconds=seconds) < settings.drain_time
    haproxy = (OPERATIONS / "haproxy.cfg").read_text()
    inter, fall = re.search(r"inter (\d+)s fall (\d+)", haproxy).groups()
    wait = int(re.search(r"timeout check (\d+)s", haproxy).group(1))
    assert timedelta(seconds=(int(inter) + wait) * int(fall)) < settings.drain_time
    for cluster in envoy()["clusters"]:
        (check,) = cluster["health_checks"]
        seconds = sum(int(check[name].removesuffix("s")) for name in ("interval", "timeout"))
        assert timedelta(seconds=seconds * check["unhealthy_threshold"]) < settings.drain_time


# systemd


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="it comes with systemd")
def test_systemd_would_take_the_units(tmp_path):
    """But for the program, which isn't there."""
    for name in UNITS:
        text = (OPERATIONS / name).read_text()
        program = "/srv/notes/venv/bin/baseplate-serve"
        assert (program in text) == name.endswith("service")
        (tmp_path / name).write_text(text.replace(program, "/bin/true"))
    names = [tmp_path / name.replace("@", "@1") for name in UNITS]
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, check=False
    )
    complaints = [line for line in checked.stderr.splitlines() if "notes" in line]  # not of the machine's own
    assert complaints == []
    assert checked.returncode == 0


def test_the_service_is_started_as_our_command_line_wants_it():
    program, *arguments = shlex.split(service("ExecStart"))
    assert Path(program).name == "baseplate-serve"
    assert parse_arguments(arguments).config_file == "app.ini"
    assert service("Type") == "notify"
    (socket,) = unit("notes@.socket")["Socket"]["ListenStream"]
    for number in WORKERS:
        assert f"unix@{socket.replace('%i', str(number))}\n" in (OPERATIONS / "haproxy.cfg").read_text()


def test_systemd_is_more_patient_than_the_server(settings, longest_stop):
    assert timedelta(seconds=int(service("TimeoutStopSec"))) > longest_stop
    watchdog = timedelta(seconds=int(service("WatchdogSec")))
    assert watchdog > 10 * settings.blocked_hub  # the log tells of it long before


def test_there_are_descriptors_for_all_connections(settings):
    """Each may have as many again to other services."""
    assert int(service("LimitNOFILE")) > 4 * settings.max_concurrency


def test_a_check_gets_in_whatever_the_load(settings):
    """One that waits behind clients' connections fails, and a busy worker counts as a dead one."""
    (most,) = re.findall(r"default-server maxconn (\d+)", (OPERATIONS / "haproxy.cfg").read_text())
    assert int(most) < settings.max_concurrency


# The others


def envoy():
    return yaml.safe_load((OPERATIONS / "envoy.yaml").read_text())["static_resources"]


def test_envoy_has_the_same_workers_and_checks_as_haproxy():
    """All that can be said without Envoy."""
    haproxy = (OPERATIONS / "haproxy.cfg").read_text()
    text = (OPERATIONS / "envoy.yaml").read_text()
    assert re.findall(r"pipe: {path: (\S+?)}", text) == re.findall(r"unix@(\S+)", haproxy)
    assert re.findall(r"text: ([0-9a-f]+)", text) == re.findall(r"binary ([0-9a-f]+)", haproxy)
    clusters = {cluster["name"] for cluster in envoy()["clusters"]}
    assert clusters == set(re.findall(r"^backend (\S+)", haproxy, re.MULTILINE))


def test_the_image_is_made_of_what_is_there():
    copied = []
    for instruction, rest in dockerfile():
        assert instruction in {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "CMD"}
        if instruction == "COPY":
            copied += rest.split()[:-1]
    for path in copied:
        assert (ROOT / path).exists(), path
    # What the package is built of.
    assert {"pyproject.toml", "src", "README.md", "LICENSE"} <= set(copied)
    version = re.match(r"python:(\S+)-slim", dict(dockerfile())["FROM"]).group(1)
    assert f"Programming Language :: Python :: {version}" in (ROOT / "pyproject.toml").read_text()
    assert dict(dockerfile())["USER"] == str(POD["spec"]["securityContext"]["runAsUser"])


def test_einhorn_is_started_as_it_wants_it():
    script = OPERATIONS / "einhorn.sh"
    subprocess.run(["sh", "-n", script], check=True)
    line = script.read_text().replace("\\\n", " ").splitlines()[-1]
    _exec, program, *words = shlex.split(line)
    assert program == "einhorn"
    assert words[:2] == ["-m", "manual"]
    ours = words.index("baseplate-serve")
    assert parse_arguments(words[ours + 1 :]).config_file == "app.ini"


def test_no_example_is_forgotten():
    """Each file stands in a test above, or in test_haproxy.py."""
    known = {*UNITS, "app.ini", "Dockerfile", "kubernetes.yaml", "einhorn.sh", "haproxy.cfg", "envoy.yaml"}
    assert {file.name for file in OPERATIONS.iterdir()} == known
    page = (ROOT / "docs" / "operations.md").read_text()
    for name in known:
        assert f"`{name}`" in page


def test_a_server_out_of_descriptors_serves_again_when_there_are_some(tmp_path):
    """It waits a second at most before it tries again, and closes nobody whom it serves."""
    write_service(tmp_path)
    limited = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh", *command_line("--bind", "127.0.0.1:0", "app.ini")]
    with ServerProcess(tmp_path, command=limited) as server, ExitStack() as stack:
        address = server.wait_until_ready()
        clients = [stack.enter_context(socket.create_connection(address, DEADLINE_S)) for _ in range(60)]
        wait_for(lambda: "Too many open files" in server.output, "nothing is left")
        clients[0].sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 200 " in clients[0].recv(1000)
        for client in clients[1:30]:
            client.close()
        clients[-1].sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 200 " in clients[-1].recv(1000)
        assert server.stop() == 0
