"""TCP ports: a free one, or a clear word about a taken one."""

import secrets
import socket

from tocsin.errors import PortTaken

LOOPBACK = "127.0.0.1"
LAST_PORT = 65535
BELOW_OUTGOING = range(10_000, 32_000)
"""Linux gives outgoing connections ports from 32768 on (``ip_local_port_range``), others from 49152 (RFC 6335)."""


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports on loopback that were free a moment ago, and that no outgoing connection will take."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(BELOW_OUTGOING)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def free_run(length: int) -> int:
    """The first of ``length`` such ports that are neighbours."""
    while True:
        first = secrets.choice(BELOW_OUTGOING[:-length])
        if all(_is_free(port) for port in range(first, first + length)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def demand_free(host: str, port: int, purpose: str) -> None:
    """Check that we could listen there.

    Raises:
        PortTaken: another process listens on it, or the address is not this machine's.
    """
    if not 0 < port <= LAST_PORT:
        raise PortTaken(f"{port}, wanted for {purpose}, is no port: 1 to {LAST_PORT}.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"Port {port} on {host}, wanted for {purpose}, cannot be used: {error.strerror}. "
                "Choose another port, or stop what is listening there."
            ) from None
