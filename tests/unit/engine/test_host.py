"""Facts of the host, read from tables as Linux writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bottle.engine import host

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"


def row(destination: str, mask: str) -> str:
    return f"eth0\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n"


@pytest.mark.skipif("sys.byteorder != 'little'", reason="the table is in the machine's byte order")
@pytest.mark.parametrize(
    ("rows", "subnets"),
    [
        ([], ()),
        ([row("00000000", "00000000")], ()),  # the default route
        ([row("0000000A", "000000FF")], ()),  # 10.0.0.0/8, a tunnel
        ([row("000011AC", "0000FFFF")], ("172.17.0.0/16",)),
        ([row("E000E70A", "F0FFFFFF"), row("0100E70A", "FFFFFFFF")], None),
    ],
)
def test_narrow_routes_are_listed(
    rows: list[str],
    subnets: tuple[str, ...] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = tmp_path / "route"
    table.write_text(HEAD + "".join(rows))
    monkeypatch.setattr(host, "_ROUTES", table)
    expected = ("10.231.0.224/28", "10.231.0.1/32") if subnets is None else subnets
    assert host.routed_subnets() == expected


def test_without_a_table_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_ROUTES", tmp_path / "none")
    assert host.routed_subnets() == ()


def test_accounts_are_those_of_this_host() -> None:
    assert {0, os.getuid()} <= host.account_uids()
