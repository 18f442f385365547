"""Credential: what has a token's shape, and that placeholders have it too."""

from __future__ import annotations

import secrets

import pytest

from bottle.agents.credential import HEX_DIGITS, is_token, placeholder

HEAD = "sk-ant-oat01-"


@pytest.mark.parametrize("length", [16, 95, 500])
def test_a_token(length: int) -> None:
    assert is_token(HEAD + secrets.token_hex(length)[:length])


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEAD,
        HEAD + "a" * 15,
        HEAD + "a" * 501,
        HEAD + "a" * 20 + "\n",
        "\n" + HEAD + "a" * 20,
        " " + HEAD + "a" * 20,
        HEAD + "a" * 20 + " ",
        HEAD + "a" * 20 + "\0",
        HEAD + "ä" * 20,
        "sk-ant-oat\u0661\u0661-" + "a" * 20,
        "sk-ant-oat1-" + "a" * 20,
        "sk-ant-api03-" + "a" * 20,
        HEAD.upper() + "a" * 20,
    ],
)
def test_no_token(text: str) -> None:
    assert not is_token(text)


def test_a_placeholder_has_a_tokens_shape_and_length() -> None:
    made = placeholder(secrets.token_hex(64))
    assert is_token(made)
    assert len(made) == 108


def test_other_digits_give_another_placeholder() -> None:
    digits = secrets.token_hex(HEX_DIGITS)[:HEX_DIGITS]
    changed = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    assert placeholder(digits) != placeholder(changed)
    assert placeholder(digits) == placeholder(digits + "ff")


def test_a_placeholder_is_never_made_of_less() -> None:
    with pytest.raises(ValueError, match="92 digits"):
        placeholder("a" * (HEX_DIGITS - 1))
