"""The mitmproxy adapter: what it says is what the sidecar reads; what it reads is hostile."""

from __future__ import annotations

import json
import secrets

import pytest

from bottle.core import egress
from bottle.core.egress import Credential
from bottle.core.plan import API_HOST
from bottle.sidecars.mitmproxy import configuration, record
from tests.support import plans

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


class TestConfiguration:
    def test_the_sidecar_reads_what_it_is_told(self) -> None:
        plan = plans.plan(adapter="demo")
        own, real = secrets.token_hex(20), secrets.token_hex(20)
        line = configuration(plan, upstream_ca=PEM, credentials={API_HOST: (own, real)})
        read = egress.parse(line.decode())
        assert read.allowlist == plan.allowlist
        assert (read.listen, read.port) == (plan.sidecar_address, 8080)
        assert read.pins == {pin.host: pin.address for pin in plan.pins}
        assert read.upstream_ca == PEM
        assert read.credentials == {
            API_HOST: Credential(host=API_HOST, placeholder=own, value=real)
        }

    def test_it_is_one_line(self) -> None:
        line = configuration(plans.plan(adapter="demo"), upstream_ca=PEM, credentials={})
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")

    def test_nothing_beyond_the_plan(self) -> None:
        plan = plans.plan()
        read = egress.parse(configuration(plan, upstream_ca=None, credentials={}).decode())
        assert read.pins == {}
        assert read.upstream_ca is None
        assert read.credentials == {}


class TestRecord:
    def test_a_decision(self) -> None:
        line = {
            "event": "decision",
            "stage": "request",
            "allowed": True,
            "host": "example.com",
            "port": 443,
            "reason": "listed",
            "pattern": "*.com",
            "method": "GET",
            "path": "/",
        }
        assert record(json.dumps(line)) == line

    @pytest.mark.parametrize(
        "line",
        [
            {"event": "ready", "ca": "PEM"},
            {"event": "dropped", "count": 7},
            {"event": "fault", "hook": "request", "error": "KeyError"},
        ],
    )
    def test_the_other_events(self, line: dict[str, object]) -> None:
        assert record(json.dumps(line)) == line

    @pytest.mark.parametrize(("name", "longest"), [("path", 256), ("ca", 16 * 1024)])
    def test_texts_are_cut(self, name: str, longest: int) -> None:
        found = record(json.dumps({"event": "decision", name: "x" * 40_000}))
        assert found == {"event": "decision", name: "x" * longest}

    def test_members_it_does_not_know_are_left_out(self) -> None:
        assert record('{"event":"fault","more":[1]}') == {"event": "fault"}

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "{",
            "[]",
            "null",
            '"decision"',
            "{}",
            '{"event":"other"}',
            '{"event":["decision"]}',
            '{"event":"decision","allowed":1}',
            '{"event":"decision","allowed":"true"}',
            '{"event":"decision","port":"443"}',
            '{"event":"decision","port":true}',
            '{"event":"decision","host":null}',
            '{"event":"fault","error":"' + "x" * 70_000 + '"}',
            "[" * 100_000,
        ],
    )
    def test_no_line_of_the_sidecar(self, line: str) -> None:
        assert record(line) is None
