"""The INI file and the options of its server section."""

from __future__ import annotations

from datetime import timedelta

import pytest

from baseplate_serve._settings.ini import read_ini
from baseplate_serve._settings.objects import NameFault, load_object
from baseplate_serve._settings.options import OPTIONS
from baseplate_serve._settings.read import SectionErrors, parse_settings, read_settings
from baseplate_serve.errors import ApplicationError, FileError

WORKING = """
[DEFAULT]
team = ours

[server:main]
factory = baseplate_serve.thrift

[app:main]
factory = my_app:make
"""


@pytest.fixture
def ini(tmp_path):
    def write(text, **names):
        path = tmp_path / "app.ini"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_ini(str(path), **{"server_name": "main", "app_name": "main", **names})

    return write


def test_names_of_the_environment_are_expanded_everywhere(ini, monkeypatch):
    monkeypatch.setenv("MY_PATH", "/srv")
    monkeypatch.setenv("MY_FACTORY", "baseplate_serve.wsgi")
    monkeypatch.delenv("UNSET", raising=False)
    file = ini(
        "[server:main]\nfactory = $MY_FACTORY\n[app:main]\nfactory = a\nfoo = ${MY_PATH}/x\nbar = $UNSET 5%\n"
    )
    assert file.server["factory"] == "baseplate_serve.wsgi"
    assert file.app["foo"] == "/srv/x"
    assert file.app["bar"] == "$UNSET 5%"


def test_sections_are_chosen_by_name(ini):
    text = WORKING.replace(":main", ":blue")
    assert ini(text, server_name="blue", app_name="blue").app_section == "app:blue"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "there is no section [server:main]; there are none", id="empty file"),
        pytest.param(
            WORKING.replace("[server:main]", "[server:mian]"),
            "there is no section [server:main], did you mean 'server:mian'?",
            id="misspelled section",
        ),
        pytest.param("[server:main]\n[app:main]\n", "[server:main] factory: is missing", id="no factory"),
        pytest.param("factory = x\n", "line 1: 'factory = x' stands before any [section]", id="no header"),
        pytest.param(
            WORKING + "factory = again\n", "line 10: [app:main] has factory twice", id="option twice"
        ),
        pytest.param(
            WORKING + "[app:main]\n", "line 10: there are two sections [app:main]", id="section twice"
        ),
        pytest.param(
            "[server:main]\nfactory\n", "expected 'name = value' or '[section]' at line 2", id="no value"
        ),
        pytest.param(b"\xff\xfe[server]", "is not UTF-8 at byte 0", id="not utf-8"),
    ],
)
def test_a_file_that_is_wrong_gets_one_line(ini, text, problem):
    with pytest.raises(FileError) as raised:
        ini(text)
    assert problem in str(raised.value)
    assert str(raised.value).count("\n") == 0


def test_a_missing_file_gets_one_line(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.ini: cannot be read: No such file or directory"):
        read_ini(str(tmp_path / "nowhere.ini"), server_name="main", app_name="main")


def test_options_are_parsed_with_their_units():
    settings = parse_settings(
        {
            "stop_timeout": "30",
            "drain_time": "5 seconds",
            "max_concurrency": "100",
            "metrics.enabled": "false",
        }
    )
    assert settings.stop_timeout == timedelta(seconds=30)
    assert settings.drain_time == timedelta(seconds=5)
    assert settings.max_concurrency == 100
    assert settings.metrics_enabled is False


def test_absent_means_stop_at_once_and_no_drain():
    settings = parse_settings({})
    assert settings.stop_timeout == settings.drain_time == timedelta(0)
    assert settings.max_concurrency is None


def test_all_faults_are_reported_together_each_with_its_place(ini):
    with pytest.raises(SectionErrors) as raised:
        read_settings(
            ini(
                WORKING.replace(
                    "thrift\n",
                    "thrift\ndrain_time = 5 parsecs\nmax_concurrency = 0\nstop_timout = 3\nhandler = a:b\n"
                    "stop_timeout = 30 ; seconds\n",
                )
                + "metrics.enabled = perhaps\n"
            )
        )
    lines = [line.partition(": ")[2] for line in str(raised.value).splitlines()]
    expected = "expected a duration such as '30 seconds', or a number of seconds, 0 or more"
    assert lines == [
        f"[server:main] stop_timeout = '30 ; seconds': {expected} (a comment needs a line of its own)",
        f"[server:main] drain_time = '5 parsecs': {expected}",
        "[server:main] max_concurrency = '0': expected a whole number, 1 or more",
        "[app:main] metrics.enabled = 'perhaps': expected true or false",
        "[server:main] stop_timout: is no option of the server, did you mean 'stop_timeout'?",
        "[server:main] handler: is no option of the thrift server",
    ]


def test_metrics_may_be_switched_in_the_app_section(ini):
    """Where Baseplate reads it; the server section wins."""
    file = ini(WORKING + "metrics.enabled = false\n")
    assert read_settings(file).metrics_enabled is False
    file.server["metrics.enabled"] = "true"
    assert read_settings(file).metrics_enabled is True


def test_the_statsd_endpoint_of_an_application_is_not_our_exporters(ini):
    """The same name in another section: Baseplate's metrics client sends there."""
    file = ini(WORKING + "metrics.namespace = my_app\nmetrics.endpoint = statsd.local:8125\n")
    assert str(read_settings(file).metrics_endpoint) == "0.0.0.0:6060"


def test_another_servers_options_are_its_own_business(ini):
    file = ini(
        WORKING.replace("baseplate_serve.thrift", "somebody.else\nbroker = amqp://\ndrain_time = 1 second")
    )
    assert read_settings(file).drain_time == timedelta(seconds=1)


def test_a_key_of_the_default_section_is_no_mistake(ini):
    assert "team" in ini(WORKING).server
    read_settings(ini(WORKING))


def test_every_option_says_what_it_expects_and_what_its_absence_means():
    for option in OPTIONS.values():
        assert option.kind
        assert option.absent
        assert option.sentence.endswith(".")


# -- names ------------------------------------------------------------------------------------------------


@pytest.fixture
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "named_pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text("class Handler: pass\ndef make_app(config): pass\n")
    (package / "broken.py").write_text("import named_pkg.good\n1 / 0\n")
    (package / "lacking.py").write_text("import module_that_is_not_installed\n")
    (package / "syntax.py").write_text("def broken(:\n")
    return package


@pytest.mark.parametrize(
    ("name", "default"),
    [
        pytest.param("named_pkg.good:make_app", None, id="colon"),
        pytest.param("named_pkg.good", "make_app", id="default"),
        pytest.param("named_pkg.good.make_app", None, id="dots"),
    ],
)
@pytest.mark.usefixtures("modules")
def test_objects_are_found_by_name(name, default):
    assert load_object(name, default=default).__name__ == "make_app"


@pytest.mark.parametrize(
    ("name", "default", "problem"),
    [
        pytest.param("nowhere_at_all:x", None, "there is no module 'nowhere_at_all'", id="no module"),
        pytest.param(
            "named_pkg.godo:x", None, "no module 'named_pkg.godo', did you mean 'named_pkg.good'", id="near"
        ),
        pytest.param(
            "named_pkg.good:make_ap",
            None,
            "no 'make_ap' in named_pkg.good, did you mean 'make_app'",
            id="name",
        ),
        pytest.param("named_pkg.good.deep:x", None, "no module 'named_pkg.good.deep'", id="not a package"),
        pytest.param(":x", None, "expected module:name", id="no module name"),
        pytest.param("x", None, "expected module:name", id="no name"),
        pytest.param("..:x", "make_app", "is no module's name", id="relative"),
    ],
)
@pytest.mark.usefixtures("modules")
def test_a_name_that_leads_nowhere_says_so(name, default, problem):
    with pytest.raises(NameFault) as raised:
        load_object(name, default=default)
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        pytest.param("named_pkg.broken:x", ZeroDivisionError, id="raises"),
        pytest.param("named_pkg.lacking:x", ModuleNotFoundError, id="imports what is not there"),
        pytest.param("named_pkg.syntax:x", SyntaxError, id="does not parse"),
    ],
)
@pytest.mark.usefixtures("modules")
def test_a_module_that_fails_keeps_its_own_failure(name, cause):
    with pytest.raises(ApplicationError) as raised:
        load_object(name)
    assert isinstance(raised.value.__cause__, cause)
