"""Who may associate: pure decisions, each with its reason and the answer of PS3.8 9.3.4."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


AE_TITLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,14}[\x21-\x7e])?")
"""Value representation AE without its padding (PS3.5 6.2)."""


class RejectionReason(StrEnum):
    CALLED_AE_UNKNOWN = "called_ae_unknown"
    CALLING_AE_UNKNOWN = "calling_ae_unknown"
    APPLICATION_CONTEXT = "application_context"
    TOO_MANY_ASSOCIATIONS = "too_many_associations"
    TOO_MANY_FROM_PEER = "too_many_from_peer"
    STOPPING = "stopping"
    ADDRESS_UNKNOWN = "address_unknown"
    """The connection is closed before a word is read."""
    TLS_FAILED = "tls_failed"
    """No common version or suite, or no certificate that we trust."""
    NO_REQUEST = "no_request"
    """The connection never became an association: silent, malformed, or displaced by newer ones."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result, source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

    result: int
    source: int
    diagnostic: int


PERMANENT, TRANSIENT = 1, 2
SERVICE_USER, SERVICE_PROVIDER_PRESENTATION = 1, 3

ANSWERS: dict[RejectionReason, Answer] = {
    RejectionReason.CALLED_AE_UNKNOWN: Answer(PERMANENT, SERVICE_USER, 7),
    RejectionReason.CALLING_AE_UNKNOWN: Answer(PERMANENT, SERVICE_USER, 3),
    RejectionReason.APPLICATION_CONTEXT: Answer(PERMANENT, SERVICE_USER, 2),
    RejectionReason.TOO_MANY_ASSOCIATIONS: Answer(TRANSIENT, SERVICE_PROVIDER_PRESENTATION, 2),
    RejectionReason.TOO_MANY_FROM_PEER: Answer(TRANSIENT, SERVICE_PROVIDER_PRESENTATION, 2),
    RejectionReason.STOPPING: Answer(TRANSIENT, SERVICE_PROVIDER_PRESENTATION, 1),
}


class Peer(BaseModel):
    """A known scanner. ``ae_title`` "*" stands for any title, ``address`` is an address or a CIDR network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: Annotated[str, Field(min_length=1, max_length=16)]
    address: Annotated[IPNetwork, BeforeValidator(lambda v: ipaddress.ip_network(v, strict=False))]
    common_name: str | None = None
    """A name in the certificate that the peer must show (TLS only)."""

    def matches(self, calling_ae: str, address: IPAddress, certificate_names: frozenset[str]) -> bool:
        named = self.common_name is None or self.common_name in certificate_names
        return named and self.ae_title in ("*", calling_ae) and _within(address, self.address)


def _within(address: IPAddress, network: IPNetwork) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address) in network


@dataclass(frozen=True, slots=True)
class Caps:
    """How many associations may be open."""

    total: int
    per_peer: int
    """From one address."""
    reserved: int
    """Of the total, kept free for the known peers that have none open."""


@dataclass(frozen=True, slots=True)
class AssociationFacts:
    """What is known when an association is requested."""

    called_ae: str
    calling_ae: str
    address: IPAddress
    application_context: str
    open_total: int
    open_from_address: int
    stopping: bool = False
    certificate_names: frozenset[str] = frozenset()
    """Of the peer, where TLS is on."""


APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""PS3.7 A.2.1."""


def address_may_connect(peers: Sequence[Peer], address: IPAddress) -> bool:
    """Before a word is read: is there any rule for this address?"""
    return not peers or any(_within(address, peer.address) for peer in peers)


def judge(facts: AssociationFacts, our_ae: str, peers: Sequence[Peer], caps: Caps) -> RejectionReason | None:
    """Why the association must be rejected, or None."""
    if facts.stopping:
        return RejectionReason.STOPPING
    if not AE_TITLE.fullmatch(facts.calling_ae):
        return RejectionReason.CALLING_AE_UNKNOWN
    if facts.called_ae != our_ae:
        return RejectionReason.CALLED_AE_UNKNOWN
    if facts.application_context != APPLICATION_CONTEXT:
        return RejectionReason.APPLICATION_CONTEXT
    known = any(peer.matches(facts.calling_ae, facts.address, facts.certificate_names) for peer in peers)
    if peers and not known:
        return RejectionReason.CALLING_AE_UNKNOWN
    return _judge_load(facts, caps)


def _judge_load(facts: AssociationFacts, caps: Caps) -> RejectionReason | None:
    first_of_its_address = facts.open_from_address == 0
    room = caps.total if first_of_its_address else caps.total - caps.reserved
    if facts.open_from_address >= caps.per_peer:
        return RejectionReason.TOO_MANY_FROM_PEER
    if facts.open_total >= room:
        return RejectionReason.TOO_MANY_ASSOCIATIONS
    return None
