"""``python -m monitoring.probe PORT``: is the service behind this side door ready? For container health checks.

Exit status 0 when ``/readyz`` answers 200; otherwise 1, with the reason on standard output.
"""

import sys
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 4.0


def probe(port: int) -> str | None:
    """Why the service is not ready, in words; None when it is."""
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return error.read(1000).decode(errors="replace")
    except OSError as error:
        return f"{url} does not answer: {error}"


if __name__ == "__main__":
    reason = probe(int(sys.argv[1]))
    if reason is not None:
        print(reason)  # noqa: T201 - what the container platform shows
        sys.exit(1)
