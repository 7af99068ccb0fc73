"""Health of one service: is it alive, and is it ready to do its job.

``/healthz`` fails when the process should be restarted; ``/readyz`` when it should get no work yet. Each check is a
named function that returns None when all is well and otherwise the reason in words.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

Check = Callable[[], str | None]


@dataclass
class Health:
    """The checks of one service. Register before the server starts; evaluation never raises."""

    liveness: dict[str, Check] = field(default_factory=dict)
    readiness: dict[str, Check] = field(default_factory=dict)

    def alive(self) -> dict[str, str]:
        """Reasons, by check, why the process should be restarted; empty when there are none."""
        return _failures(self.liveness)

    def ready(self) -> dict[str, str]:
        """Reasons, by check, why the service cannot work now; a dead process is not ready either."""
        return _failures({**self.liveness, **self.readiness})


def _failures(checks: dict[str, Check]) -> dict[str, str]:
    return {name: reason for name, check in checks.items() if (reason := _outcome(check)) is not None}


def _outcome(check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that breaks is a failed check, never a dead health page
        return f"the check itself failed: {type(error).__name__}"
