"""The signed link: one alert, one recipient, one shift."""

from datetime import timedelta

import pytest

from alerts.errors import LinkRefused
from alerts.links import Links, LinkSigner
from tests.unit.alerts.builders import START, key

SIGNER = LinkSigner(lambda: b"s" * 32)
ALERT = key("alert")


def test_a_link_opens_what_it_was_made_for() -> None:
    opened = SIGNER.open(SIGNER.token(ALERT, "Dr Ünal", START), START + timedelta(hours=11))
    assert (opened.alert_id, opened.recipient) == (ALERT, "Dr Ünal")


def test_a_link_expires() -> None:
    with pytest.raises(LinkRefused, match="expired"):
        SIGNER.open(SIGNER.token(ALERT, "first", START), START + timedelta(hours=13))


def test_a_changed_or_foreign_link_is_refused() -> None:
    token = SIGNER.token(ALERT, "first", START)
    body, _, signature = token.partition(".")
    foreign = LinkSigner(lambda: b"x" * 32).token(ALERT, "first", START)
    for wrong in (
        "",
        ".",
        "x",
        body,
        f"{body}.",
        f".{signature}",
        f"{body[:-4]}AAAA.{signature}",
        foreign,
        "é.é",
        "A" * 5000,
    ):
        with pytest.raises(LinkRefused):
            SIGNER.open(wrong, START)


def test_without_a_signer_messages_carry_no_link() -> None:
    assert Links("http://127.0.0.1").acknowledge(ALERT, "first", START) is None
