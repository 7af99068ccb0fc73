"""DICOM over TLS: both sides show a certificate (PS3.15 B.12, BCP 195: RFC 9325).

TLS 1.2 at least, 1.3 where the peer has it; only forward-secret suites with authenticated encryption.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicom_listener.errors import CannotStart

CIPHERS_OF_TLS_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!eNULL"
"""RFC 9325 4.2; the suites of TLS 1.3 are all of this kind."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate (chain), its key, and the authorities whose peers we trust."""

    certificate: Path
    key: Path
    authorities: Path


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises CannotStart where a file is missing, malformed, or does not fit the others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS_OF_TLS_1_2)
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.authorities)
    except (OSError, ssl.SSLError) as error:
        names = f"{files.certificate}, {files.key}, {files.authorities}"
        raise CannotStart(f"the TLS files ({names}) cannot be used: {error.strerror or error}") from error
    return context


def names_of_peer(connection: object) -> frozenset[str]:
    """Common name and DNS names of the certificate that the peer showed; empty without TLS."""
    if not isinstance(connection, ssl.SSLSocket):
        return frozenset()
    certificate: Any = connection.getpeercert() or {}
    common = {value for entry in certificate.get("subject", ()) for kind, value in entry if kind == "commonName"}
    others = {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
    return frozenset(common | others)
