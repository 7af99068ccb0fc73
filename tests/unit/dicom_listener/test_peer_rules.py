"""Who may associate."""

import ipaddress
from dataclasses import replace

import pytest
from pydantic import ValidationError

from dicom_listener.peers import (
    ANSWERS,
    APPLICATION_CONTEXT,
    Answer,
    AssociationFacts,
    Caps,
    Peer,
    RejectionReason,
    address_may_connect,
    judge,
)

SCANNER = ipaddress.ip_address("10.1.2.3")
PEERS = (Peer(ae_title="CT1", address="10.1.0.0/16"), Peer(ae_title="*", address="192.168.0.7"))  # type: ignore[arg-type] # the validator takes text
CAPS = Caps(total=10, per_peer=4, reserved=2)
FACTS = AssociationFacts("TOCSIN", "CT1", SCANNER, APPLICATION_CONTEXT, open_total=0, open_from_address=0)


def verdict(peers: tuple[Peer, ...] = PEERS, **changes: object) -> RejectionReason | None:
    return judge(replace(FACTS, **changes), "TOCSIN", peers, CAPS)  # type: ignore[arg-type] # fields by name


def test_a_known_scanner_comes_in() -> None:
    assert verdict() is None


def test_without_rules_anybody_comes_in() -> None:
    assert verdict(peers=(), calling_ae="WHO", address=ipaddress.ip_address("8.8.8.8")) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"called_ae": "OTHER"}, RejectionReason.CALLED_AE_UNKNOWN),
        ({"calling_ae": "CT2"}, RejectionReason.CALLING_AE_UNKNOWN),
        ({"address": ipaddress.ip_address("10.2.0.1")}, RejectionReason.CALLING_AE_UNKNOWN),
        ({"application_context": "1.2.3"}, RejectionReason.APPLICATION_CONTEXT),
        ({"open_from_address": 4}, RejectionReason.TOO_MANY_FROM_PEER),
        ({"open_total": 8, "open_from_address": 1}, RejectionReason.TOO_MANY_ASSOCIATIONS),
        ({"open_total": 10}, RejectionReason.TOO_MANY_ASSOCIATIONS),
        ({"stopping": True}, RejectionReason.STOPPING),
    ],
)
def test_is_rejected(changes: dict[str, object], reason: RejectionReason) -> None:
    assert verdict(**changes) is reason


def test_a_scanner_without_an_association_has_a_reserved_place() -> None:
    assert verdict(open_total=9) is None


def test_any_title_from_one_address() -> None:
    assert verdict(calling_ae="NEW", address=ipaddress.ip_address("192.168.0.7")) is None


def test_an_address_that_no_rule_names_is_not_even_read() -> None:
    assert address_may_connect(PEERS, SCANNER)
    assert not address_may_connect(PEERS, ipaddress.ip_address("10.2.0.1"))
    assert address_may_connect((), ipaddress.ip_address("10.2.0.1"))


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_address() -> None:
    assert address_may_connect(PEERS, ipaddress.ip_address("::ffff:10.1.2.3"))


def test_the_answers_are_those_of_the_standard() -> None:
    assert ANSWERS[RejectionReason.CALLED_AE_UNKNOWN] == Answer(1, 1, 7)
    assert ANSWERS[RejectionReason.CALLING_AE_UNKNOWN] == Answer(1, 1, 3)
    assert ANSWERS[RejectionReason.TOO_MANY_ASSOCIATIONS] == Answer(2, 3, 2)


def test_a_rule_with_no_address_is_no_rule() -> None:
    with pytest.raises(ValidationError):
        Peer.model_validate({"ae_title": "CT1", "address": "scanner.example"})


@pytest.mark.parametrize("title", ["", "x" * 17, "CT\x01", "CÖ1"])
def test_a_title_that_is_none_is_rejected(title: str) -> None:
    assert verdict(peers=(), calling_ae=title) is RejectionReason.CALLING_AE_UNKNOWN
