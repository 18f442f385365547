"""Settings: the stand-in's configuration, read once and strictly."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any, Final

VERSION: Final = 1
SCRIPTS: Final = ("demo", "answer")
_KEYS: Final = {
    "version": int,
    "names": list,
    "listen": str,
    "script": str,
    "answer": str,
    "record": bool,
    "unlisted": str,
    "forbidden": str,
}
_NAME: Final = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_URL: Final = re.compile(r"http://[a-z0-9.-]+(:[0-9]+)?/")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which names to serve where, and what to say."""

    names: tuple[str, ...]
    listen: str
    script: str
    answer: str
    record: bool
    unlisted: str
    """A host that the demo's agent asks for although no list has it."""
    forbidden: str
    """A URL that the demo's agent tries directly, past the proxy."""


def parse(line: str) -> Settings:
    """Read the configuration line; raise ValueError or RecursionError when it is none."""
    values = json.loads(line)
    if not isinstance(values, dict) or values.keys() != _KEYS.keys():
        raise ValueError(f"the configuration needs exactly the keys {', '.join(_KEYS)}")
    for key, kind in _KEYS.items():
        if type(values[key]) is not kind:
            raise ValueError(f"{key} has to be of type {kind.__name__}")
    if values.pop("version") != VERSION:
        raise ValueError(f"the version has to be {VERSION}")
    _check(values)
    return Settings(**{**values, "names": tuple(values["names"])})


def _check(values: dict[str, Any]) -> None:
    ipaddress.IPv4Address(values["listen"])
    if values["script"] not in SCRIPTS:
        raise ValueError(f"the script has to be one of {', '.join(SCRIPTS)}")
    if not values["names"] or not all(map(_is_name, values["names"])):
        raise ValueError("names has to hold lower-case host names, at least one")
    # these two become part of a shell command
    if not _is_name(values["unlisted"]) or not _URL.fullmatch(values["forbidden"]):
        raise ValueError("unlisted has to be a host name, forbidden an http URL without a path")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(_NAME.fullmatch(value))
