"""How many inputs a fuzzing test draws: a few in the gate; ``make fuzz`` draws 10,000 new ones."""

import os

from hypothesis import HealthCheck, settings


def fuzz(in_the_gate: int) -> settings:
    return settings(
        max_examples=int(os.environ.get("TOCSIN_FUZZ_EXAMPLES", in_the_gate)),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def spoiled(data: bytes, spoils: list[tuple[int, int]], cut: int | None) -> bytes:
    """Some bytes replaced, and the end cut off."""
    out = bytearray(data)
    for position, value in spoils:
        out[position % len(out)] = value
    return bytes(out[:cut])
