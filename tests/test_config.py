"""What applications call as ``baseplate.lib.config``."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baseplate_serve import config
from baseplate_serve.config import (
    Base64,
    Boolean,
    ConfigNamespace,
    ConfigurationError,
    DefaultFromEnv,
    DictOf,
    Endpoint,
    Fallback,
    File,
    Float,
    InfiniteTimespan,
    Integer,
    InternetAddress,
    OneOf,
    Optional,
    Parser,
    Percent,
    String,
    Timespan,
    TimespanOrInfinite,
    TimespanWithLegacyFallback,
    TupleOf,
    UnixGroup,
    UnixUser,
    parse_config,
)

CARDS = OneOf(clubs=1, spades=2)


# --- one value -------------------------------------------------------------------------------------------

# Every row was run through baseplate 2.7.1's own parsers with the same result.
SAME_AS_BASEPLATE = [
    pytest.param(String, "café, 1%", "café, 1%", id="string"),
    pytest.param(Float, "1e3", 1000.0, id="float"),
    pytest.param(Float, "inf", float("inf"), id="float-inf"),
    pytest.param(Integer, "-12", -12, id="integer"),
    pytest.param(Integer, "1_000", 1000, id="integer-underscore"),
    pytest.param(Integer(base=16), "ff", 255, id="integer-base-16"),
    pytest.param(Integer(base=8), "0644", 420, id="integer-base-8"),
    pytest.param(Integer(base=0), "0x10", 16, id="integer-base-by-prefix"),
    pytest.param(Boolean, "TRUE", True, id="true"),
    pytest.param(Boolean, "False", False, id="false"),
    pytest.param(Percent, "37.5%", 0.375, id="percent"),
    pytest.param(Percent, "0%", 0.0, id="percent-least"),
    pytest.param(Percent, "100 %", 1.0, id="percent-most-with-space"),
    pytest.param(Base64, "aHVudGVyMg==", b"hunter2", id="base64"),
    pytest.param(Base64, "aHVu\ndGVyMg==", b"hunter2", id="base64-folded-line"),
    pytest.param(Endpoint, "a.example:80", (socket.AF_INET, ("a.example", 80)), id="endpoint-host"),
    pytest.param(Endpoint, ":9090", (socket.AF_INET, ("", 9090)), id="endpoint-no-host"),
    pytest.param(Endpoint, "h:0", (socket.AF_INET, ("h", 0)), id="endpoint-least-port"),
    pytest.param(Endpoint, "h:65535", (socket.AF_INET, ("h", 65535)), id="endpoint-most-port"),
    pytest.param(Endpoint, "/run/x.sock", (socket.AF_UNIX, "/run/x.sock"), id="endpoint-path"),
    pytest.param(Endpoint, "./a:1", (socket.AF_UNIX, "./a:1"), id="endpoint-path-with-colon"),
    pytest.param(Timespan, "250 milliseconds", timedelta(milliseconds=250), id="milliseconds"),
    pytest.param(Timespan, "1 second", timedelta(seconds=1), id="second"),
    pytest.param(Timespan, "30  minutes", timedelta(minutes=30), id="minutes-two-spaces"),
    pytest.param(Timespan, "2 hour", timedelta(hours=2), id="hours-singular"),
    pytest.param(Timespan, "3 days", timedelta(days=3), id="days"),
    pytest.param(Timespan, "-1 days", timedelta(days=-1), id="negative"),
    pytest.param(TimespanWithLegacyFallback, "30 seconds", timedelta(seconds=30), id="legacy-timespan"),
    pytest.param(TimespanWithLegacyFallback, "0.5", timedelta(seconds=0.5), id="legacy-number"),
    pytest.param(TimespanOrInfinite, "5 seconds", timedelta(seconds=5), id="finite"),
    pytest.param(UnixUser, "root", 0, id="user-name"),
    pytest.param(UnixUser, "54321", 54321, id="user-id-without-name"),
    pytest.param(UnixGroup, "root", 0, id="group-name"),
    pytest.param(UnixGroup, "54321", 54321, id="group-id-without-name"),
    pytest.param(CARDS, "spades", 2, id="one-of"),
    pytest.param(TupleOf(Integer), " 1,2 , 3", [1, 2, 3], id="tuple-is-a-list"),
    pytest.param(TupleOf(String), "a,,b,", ["a", "b"], id="tuple-skips-empty-items"),
    pytest.param(TupleOf(String), ",", [], id="tuple-of-no-items"),
    pytest.param(Optional(Integer), "", None, id="optional-absent"),
    pytest.param(Optional(Integer, default=7), "", 7, id="optional-default"),
    pytest.param(Optional(Integer, default=7), "8", 8, id="optional-present"),
    pytest.param(Fallback(Timespan, Integer), "1 day", timedelta(days=1), id="fallback-primary"),
    pytest.param(Fallback(Timespan, Integer), "90", 90, id="fallback-secondary"),
    pytest.param(DefaultFromEnv(Integer, "NOT_SET_ANYWHERE", 5), "", 5, id="env-fallback"),
    pytest.param(DefaultFromEnv(Integer, "NOT_SET_ANYWHERE", 5), "6", 6, id="env-configured"),
]


@pytest.mark.parametrize(("parser", "text", "expected"), SAME_AS_BASEPLATE)
def test_a_parser_returns_what_baseplates_does(parser, text, expected):
    parsed = parser(text)

    assert parsed == expected
    assert type(parsed) is type(expected) or isinstance(
        parsed, tuple
    )  # True is no 1; endpoints are NamedTuples


@pytest.mark.parametrize(
    ("parser", "text", "message"),
    [
        pytest.param(String, "", "no value", id="string-absent"),
        pytest.param(Float, "1,5", "expected a number, not '1,5'", id="float-comma"),
        pytest.param(Integer, "1.5", "expected an integer, not '1.5'", id="integer-fraction"),
        pytest.param(Integer(base=16), "fg", "in base 16", id="integer-base"),
        pytest.param(Boolean, "yes", "expected one of 'true', 'false'", id="boolean-yes"),
        pytest.param(Percent, "37", "expected a percentage such as", id="percent-no-sign"),
        pytest.param(Percent, "x%", "expected a percentage such as", id="percent-no-number"),
        pytest.param(Percent, "1%%", "expected a percentage such as", id="percent-two-signs"),
        pytest.param(Percent, "100.1%", "from 0% to 100%", id="percent-above"),
        pytest.param(Percent, "-1%", "from 0% to 100%", id="percent-below"),
        pytest.param(Percent, "nan%", "from 0% to 100%", id="percent-nan"),
        pytest.param(Base64, "", "expected base64 data", id="base64-absent"),
        pytest.param(Base64, "aHVud", "expected base64 data", id="base64-cut-off"),
        pytest.param(Base64, "a-_b", "expected base64 data", id="base64-url-safe-alphabet"),
        pytest.param(Base64, "é", "expected base64 data", id="base64-not-ascii"),
        pytest.param(Timespan, "30", "^expected a duration such as '30 seconds'$", id="timespan-no-unit"),
        pytest.param(
            Timespan, "1.5 seconds", "^expected a duration such as '30 seconds'$", id="timespan-1.5"
        ),
        pytest.param(Timespan, "5 parsecs", "units are milliseconds, seconds", id="timespan-unknown-unit"),
        pytest.param(Timespan, "5 secondsss", "expected a duration", id="timespan-too-plural"),
        pytest.param(Timespan, "5 s", "expected a duration", id="timespan-short-unit"),
        pytest.param(Timespan, "9999999999 days", "too long", id="timespan-overflow"),
        pytest.param(TimespanWithLegacyFallback, "soon", "or a number of seconds", id="legacy-neither"),
        pytest.param(TimespanWithLegacyFallback, "inf", "or a number of seconds", id="legacy-inf"),
        pytest.param(TimespanWithLegacyFallback, "nan", "or a number of seconds", id="legacy-nan"),
        pytest.param(TimespanOrInfinite, "forever", "or 'infinite'", id="infinite-misspelt"),
        pytest.param(File(), "/does/not/exist", "'/does/not/exist': No such file", id="file-absent"),
        pytest.param(File(), "", "could not open file ''", id="file-unnamed"),
        pytest.param(UnixUser, "no such", "the name or the id of a user", id="user-unknown"),
        pytest.param(UnixGroup, "no such", "the name or the id of a group", id="group-unknown"),
        pytest.param(CARDS, "hearts", "expected one of 'clubs', 'spades'", id="one-of-others"),
        pytest.param(TupleOf(String), "", "no values", id="tuple-absent"),
        pytest.param(TupleOf(Timespan), "1 day, 2", "^item 2: expected a duration", id="tuple-second-item"),
        pytest.param(Fallback(Timespan, Integer), "x", "expected an integer", id="fallback-neither"),
        pytest.param(Endpoint, "", "no endpoint specified", id="endpoint-absent"),
        pytest.param(Endpoint, "localhost", "no port specified", id="endpoint-no-port"),
        pytest.param(Endpoint, "localhost:", "port from 0 to 65535", id="endpoint-empty-port"),
        pytest.param(Endpoint, "h:http", "port from 0 to 65535, not 'http'", id="endpoint-named-port"),
        pytest.param(Endpoint, "h:65536", "port from 0 to 65535", id="endpoint-port-above"),
        pytest.param(Endpoint, "h:-1", "port from 0 to 65535", id="endpoint-port-below"),
        pytest.param(Endpoint, "::1:80", "in brackets", id="endpoint-bare-v6"),
        pytest.param(Endpoint, "[::1]", "after the brackets", id="endpoint-v6-no-port"),
        pytest.param(Endpoint, "[::1]80", "after the brackets", id="endpoint-v6-no-colon"),
        pytest.param(Endpoint, "[::1", "after the brackets", id="endpoint-v6-unclosed"),
        pytest.param(Endpoint, "[localhost]:80", "localhost", id="endpoint-name-in-brackets"),
    ],
)
def test_a_parser_says_what_it_expected(parser, text, message):
    with pytest.raises(ValueError, match=message):
        parser(text)


def test_a_bad_base64_text_is_not_repeated():
    """It is most often a secret, and the message ends in a log."""
    with pytest.raises(ValueError) as caught:
        Base64("hunter2!")

    assert "hunter2" not in str(caught.value)


def test_an_ipv6_endpoint_is_written_in_brackets():
    endpoint = Endpoint("[fe80::1]:9090")

    assert endpoint == (socket.AF_INET6, InternetAddress("fe80::1", 9090))
    assert str(endpoint) == "[fe80::1]:9090"


@pytest.mark.parametrize("text", ["localhost:9090", ":80", "/run/x.sock", "[::1]:1"])
def test_an_endpoint_prints_as_it_was_written(text):
    assert str(Endpoint(text)) == text


def test_infinity_is_one_object():
    """Applications compare with ``is``, and their configuration may have been copied."""
    assert TimespanOrInfinite("infinite") is InfiniteTimespan
    assert copy.deepcopy(InfiniteTimespan) is InfiniteTimespan
    assert pickle.loads(pickle.dumps(InfiniteTimespan)) is InfiniteTimespan


def test_a_text_file_is_read_as_utf_8_whatever_the_locale(tmp_path):
    (tmp_path / "menu").write_bytes("café".encode())

    with File()(str(tmp_path / "menu")) as file:
        assert (file.read(), file.encoding.upper()) == ("café", "UTF-8")


def test_a_binary_file_is_read_as_bytes(tmp_path):
    """In Baseplate, mode='rb' fails for every file: it passes an encoding with it."""
    (tmp_path / "blob").write_bytes(b"\xff\x00")

    with File(mode="rb")(str(tmp_path / "blob")) as file:
        assert file.read() == b"\xff\x00"


def test_a_file_may_be_opened_to_write(tmp_path):
    with File(mode="w")(str(tmp_path / "log")) as file:
        file.write("é")

    assert (tmp_path / "log").read_bytes() == "é".encode()


class TestDefaultFromEnv:
    def test_the_variable_stands_in_for_an_absent_option(self, monkeypatch):
        monkeypatch.setenv("BASEPLATE_DEFAULT_VALUE", "12")

        assert DefaultFromEnv(Integer, "BASEPLATE_DEFAULT_VALUE", 5)("") == 12

    def test_the_option_wins(self, monkeypatch):
        monkeypatch.setenv("BASEPLATE_DEFAULT_VALUE", "12")

        assert DefaultFromEnv(Integer, "BASEPLATE_DEFAULT_VALUE", 5)("13") == 13

    def test_nothing_anywhere_names_the_variable(self, monkeypatch):
        monkeypatch.delenv("BASEPLATE_DEFAULT_VALUE", raising=False)

        with pytest.raises(ValueError, match="environment variable BASEPLATE_DEFAULT_VALUE"):
            DefaultFromEnv(String, "BASEPLATE_DEFAULT_VALUE")("")

    def test_a_bad_variable_is_a_fault_of_the_option_that_needs_it(self, monkeypatch):
        monkeypatch.setenv("BASEPLATE_DEFAULT_VALUE", "twelve")
        parser = DefaultFromEnv(Integer, "BASEPLATE_DEFAULT_VALUE")

        assert parser("13") == 13
        with pytest.raises(
            ValueError, match="environment variable BASEPLATE_DEFAULT_VALUE: expected an integer"
        ):
            parser("")

    @pytest.mark.parametrize(("parser", "text", "expected"), [(Integer, "0", 0), (Boolean, "false", False)])
    def test_a_false_value_is_a_value(self, monkeypatch, parser, text, expected):
        """Baseplate says 'no value provided' to ``enabled = false``."""
        monkeypatch.setenv("BASEPLATE_DEFAULT_VALUE", text)

        assert DefaultFromEnv(parser, "BASEPLATE_DEFAULT_VALUE")(text) is expected
        assert DefaultFromEnv(parser, "BASEPLATE_DEFAULT_VALUE")("") is expected
        assert DefaultFromEnv(parser, "NOT_SET_ANYWHERE", expected)("") is expected


TEXTS = st.one_of(
    st.text(st.characters()),  # lone surrogates too: an expanded environment variable may bring them
    st.from_regex(r"[-+]?[0-9_]{1,400} (millisecond|second|minute|hour|day)s{0,2}", fullmatch=True),
    st.from_regex(r"[-+.0-9e_]{1,30}%?", fullmatch=True),
    st.from_regex(r"\[?[0-9a-f:.%]{0,20}\]?:[-0-9]{0,7}", fullmatch=True),
    st.sampled_from(["nan", "-inf", "1e999", "9" * 5000, "9" * 5000 + " days", "nan%", "a\0b", "/a\0b", "%"]),
)


@pytest.mark.parametrize(
    "parser",
    [
        pytest.param(parser, id=name)
        for name, parser in {
            "String": String,
            "Float": Float,
            "Integer": Integer,
            "Integer-36": Integer(base=36),
            "Boolean": Boolean,
            "Percent": Percent,
            "Base64": Base64,
            "Endpoint": Endpoint,
            "Timespan": Timespan,
            "TimespanWithLegacyFallback": TimespanWithLegacyFallback,
            "TimespanOrInfinite": TimespanOrInfinite,
            "UnixUser": UnixUser,
            "UnixGroup": UnixGroup,
            "OneOf": CARDS,
            "TupleOf": TupleOf(Timespan),
            "Optional": Optional(Endpoint),
            "DefaultFromEnv": DefaultFromEnv(Percent, "NOT_SET_ANYWHERE"),
            "Fallback": Fallback(Integer, Base64),
        }.items()
    ],
)
@given(text=TEXTS)
@settings(deadline=None)  # the user database may be a network away
def test_no_text_makes_a_parser_raise_anything_but_value_error(parser, text):
    """`Fallback` and applications catch ValueError; an OverflowError would go past them."""
    with suppress(ValueError):
        parser(text)


@given(st.text(st.characters()).map(lambda text: "/nowhere/" + text))
def test_no_path_makes_file_raise_anything_but_value_error(path):
    with pytest.raises(ValueError):
        File()(path)


@given(st.integers(-(10**6), 10**6), st.sampled_from(["milliseconds", "seconds", "minutes", "hours", "days"]))
def test_a_timespan_is_exact(count, unit):
    assert Timespan(f"{count} {unit}") == timedelta(**{unit: count})


@given(st.binary(min_size=1))
def test_base64_decodes_what_was_encoded(data):
    assert Base64(base64.b64encode(data).decode()) == data


# --- sections --------------------------------------------------------------------------------------------


def test_a_section_is_parsed_to_attributes_and_items():
    cfg = parse_config({"port": "80", "not_in_the_spec": "x"}, {"port": Integer, "host": Optional(String)})

    assert cfg == {"port": 80, "host": None}
    assert (cfg.port, cfg["port"], cfg.host) == (80, 80, None)


def test_dotted_keys_nest():
    raw = {"noodles.blah": "one, two, three", "noodles.deep.er": "1 day"}

    cfg = parse_config(raw, {"noodles": {"blah": TupleOf(String), "deep": {"er": Timespan}}})

    assert cfg.noodles.blah == ["one", "two", "three"]
    assert cfg.noodles.deep.er == timedelta(days=1)


def test_an_option_may_have_the_name_of_a_dict_method():
    cfg = parse_config({"items": "3", "values": "4"}, {"items": Integer, "values": Integer})

    assert (cfg.items, cfg.values) == (3, 4)
    assert list(dict.items(cfg)) == [("items", 3), ("values", 4)]


def test_what_the_spec_does_not_name_is_none():
    """As in Baseplate, whose services read ``cfg.something or default``."""
    assert ConfigNamespace().nothing is None
    with pytest.raises(KeyError):
        ConfigNamespace()["nothing"]


@pytest.mark.parametrize(
    "duplicate",
    [
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda cfg: pickle.loads(pickle.dumps(cfg)), id="pickle"),
    ],
)
def test_a_namespace_can_be_copied(duplicate):
    cfg = duplicate(parse_config({"a.b": "1"}, {"a": {"b": Integer}}))

    cfg.c = 2
    assert type(cfg) is type(cfg.a) is ConfigNamespace
    assert cfg == {"a": {"b": 1}, "c": 2}
    assert cfg.a.b == 1


class TestDictOf:
    def test_scalars(self):
        raw = {"population.cn": "1", "population.br": "2", "populations.xx": "x", "other": "y"}

        cfg = parse_config(raw, {"population": DictOf(Integer)})

        assert cfg.population == {"cn": 1, "br": 2}
        assert list(cfg.population) == ["cn", "br"]
        assert cfg.population.br == 2

    def test_nested_specs(self):
        raw = {"c.cn.people": "1", "c.cn.capital": "Beijing", "c.br.people": "2", "c.br.capital": "Brasília"}

        cfg = parse_config(raw, {"c": DictOf({"people": Integer, "capital": String})})

        assert cfg.c["cn"].capital == "Beijing"
        assert cfg.c.br == {"people": 2, "capital": "Brasília"}

    def test_dicts_of_dicts(self):
        cfg = parse_config({"a.b.c": "1", "a.b.d": "2", "a.e.f": "3"}, {"a": DictOf(DictOf(Integer))})

        assert cfg == {"a": {"b": {"c": 1, "d": 2}, "e": {"f": 3}}}

    def test_a_whole_section(self):
        assert parse_config({"a": "1", "b": "2"}, DictOf(Integer)) == {"a": 1, "b": 2}

    def test_no_keys_at_all_is_an_empty_dict(self):
        assert parse_config({"pool": "x", "pool.": "y"}, {"pool": DictOf(Integer)}) == {"pool": {}}

    def test_a_key_is_text_not_a_pattern(self):
        """Baseplate builds a regular expression of the key, where '(' is an error."""
        raw = {"a.b(+.c": "1", "a.b.c": "2"}

        assert parse_config(raw, {"a": DictOf(DictOf(Integer))}) == {"a": {"b(+": {"c": 1}, "b": {"c": 2}}}

    def test_a_key_with_a_missing_part_is_a_fault_of_that_part(self):
        with pytest.raises(ConfigurationError) as caught:
            parse_config({"c.cn.people": "1"}, {"c": DictOf({"people": Integer, "capital": String})})

        assert caught.value.key == "c.cn.capital"


class TestFaults:
    def test_one_fault_is_exactly_that(self):
        with pytest.raises(ConfigurationError) as caught:
            parse_config({"a.b": "x", "c": "1"}, {"a": {"b": Integer}, "c": Integer})

        fault = caught.value
        assert fault.key == "a.b"
        assert isinstance(fault.error, ValueError)
        assert fault.__cause__ is fault.error
        assert fault.errors == (fault,)
        assert str(fault) == "a.b: expected an integer, not 'x'"

    def test_several_are_reported_together_in_the_order_of_the_spec(self):
        """One restart per mistake is one too many."""
        spec = {"a": Integer, "fine": String, "b": {"c": Timespan, "d": {"e": String}}, "f": DictOf(Percent)}
        raw = {"f.y": "101%", "f.x": "2", "a": "x", "b.c": "1", "fine": "fine"}

        with pytest.raises(ConfigurationError) as caught:
            parse_config(raw, spec)

        faults = caught.value
        assert [fault.key for fault in faults.errors] == ["a", "b.c", "b.d.e", "f.y", "f.x"]
        assert all(fault.errors == (fault,) for fault in faults.errors)
        assert str(faults).splitlines() == [
            "a: expected an integer, not 'x'",
            "b.c: expected a duration such as '30 seconds'",
            "b.d.e: no value specified",
            "f.y: expected a percentage from 0% to 100%",
            "f.x: expected a percentage such as '37.5%'",
        ]
        assert (faults.key, faults.error) == ("a", faults.errors[0].error)
        assert faults.__cause__ is faults.error

    def test_applications_may_raise_it_themselves(self):
        fault = ConfigurationError("secrets.path", "not mounted")

        assert str(fault) == "secrets.path: not mounted"
        assert (fault.key, fault.error, fault.errors) == ("secrets.path", "not mounted", (fault,))

    def test_they_survive_a_pickle(self):
        with pytest.raises(ConfigurationError) as caught:
            parse_config({}, {"a": Integer, "b": String})

        again = pickle.loads(pickle.dumps(caught.value))

        assert str(again) == str(caught.value)
        assert [fault.key for fault in again.errors] == ["a", "b"]

    def test_whatever_an_applications_own_parser_raises_is_a_fault_of_its_option(self):
        def broken(text):
            raise LookupError("no such thing")

        with pytest.raises(ConfigurationError) as caught:
            parse_config({}, {"a": broken})

        assert isinstance(caught.value.error, LookupError)

    def test_an_order_to_stop_is_no_fault(self):
        """gevent.Timeout, GreenletExit and KeyboardInterrupt derive from BaseException."""

        def interrupted(text):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            parse_config({}, {"a": interrupted})


def test_an_applications_own_parser_sees_its_path_and_the_whole_section():
    class Everything(Parser):
        def parse(self, key_path, raw_config):
            return key_path, raw_config

    raw = {"a": "1"}

    cfg = parse_config(raw, {"b": {"c": Everything(), "d": Optional(Integer)}})

    assert cfg.b.c == ("b.c", raw)
    assert cfg.b.d is None


def test_a_parser_and_a_dict_are_specs_already():
    parser = DictOf(Integer)

    assert Parser.from_spec(parser) is parser
    assert Parser.from_spec({"a": Integer}).parse("x", {"x.a": "1"}) == {"a": 1}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"a": 1}, id="not-a-parser"),
        pytest.param({"a": None}, id="none"),
        pytest.param({"a.b": Integer}, id="dots-in-a-key"),
    ],
)
def test_a_wrong_spec_is_the_programmers_error(spec):
    """Not a ConfigurationError: no change of the file would help. Baseplate raises the same."""
    with pytest.raises(AssertionError):
        parse_config({"a": "1", "a.b": "1"}, spec)


# --- the module ------------------------------------------------------------------------------------------


def test_every_public_name_is_there():
    assert [name for name in config.__all__ if not hasattr(config, name)] == []


def test_it_needs_the_standard_library_alone():
    """Scripts and tests of a service read its configuration without a server or gevent around."""
    code = (
        "import sys; before = set(sys.modules); import baseplate_serve.config;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - sys.stdlib_module_names))"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.split() == ["baseplate_serve"]
