"""TCP ports: a free one, or a clear word about a taken one."""

import socket

from tocsin.errors import PortTaken

LOOPBACK = "127.0.0.1"
LAST_PORT = 65535


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports on loopback that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def free_run(length: int) -> int:
    """The first of ``length`` neighbouring TCP ports on loopback that were free a moment ago."""
    while True:
        (first,) = free_ports(1)
        try:
            for port in range(first, first + length):
                demand_free(LOOPBACK, port, "a run of ports")
        except PortTaken:
            continue
        return first


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
