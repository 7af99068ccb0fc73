"""Makes a service of ours die at a chosen instruction: loaded by Python itself where this folder is on PYTHONPATH.

Besides: with FAULT_KAFKA_PORT set, the embedded Kafka tells its clients to come by that port (a fault proxy's); and
where FAULT_DIR holds a file ``planted``, the listener's spool has a bug, which the checker must find.

The folder named by FAULT_DIR holds a file ``armed`` with one line: ``service point when n``. The n-th call of that
point in that service, counted from the arming, ends the process with ``os._exit(9)``, before or after it; the file is
renamed to ``fired`` first, so that it happens once. Nothing of this is in the product.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("FAULT_DIR", "/nonexistent"))
SERVICE = next(iter(sys.orig_argv[sys.orig_argv.index("-m") + 1 :]), "") if "-m" in sys.orig_argv else ""

_count = 0
_counted_for = ""


def _reached(point: str, when: str) -> None:
    """Die here if this is the instruction."""
    global _count, _counted_for
    try:
        armed = (FOLDER / "armed").read_text()
    except OSError:
        return
    service, wanted_point, wanted_when, number = armed.split()
    if (service, wanted_point, wanted_when) != (SERVICE, point, when):
        return
    if _counted_for != armed:
        _count, _counted_for = 0, armed
    _count += 1
    if _count >= int(number):
        os.rename(FOLDER / "armed", FOLDER / "fired")
        os._exit(9)


def _around(owner: Any, name: str, point: str, wanted: Callable[..., bool] = lambda *_a, **_k: True) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not wanted(*args, **kwargs):
            return original(*args, **kwargs)
        _reached(point, "before")
        result = original(*args, **kwargs)
        _reached(point, "after")
        return result

    setattr(owner, name, wrapped)


def _around_async(owner: Any, name: str, point: str) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        _reached(point, "before")
        result = await original(*args, **kwargs)
        _reached(point, "after")
        return result

    setattr(owner, name, wrapped)


if SERVICE == "dicom_listener":
    import kafka

    _around(os, "fdatasync", "fsync")
    _around(kafka.KafkaProducer, "send", "produce")

    from dicom_listener.errors import SpoolError
    from dicom_listener.spool.journal import Spool

    _append = Spool.append

    def _careless(self: Any, *messages: Any, **options: Any) -> None:
        """The planted bug: what the disk did not take counts as durable."""
        try:
            _append(self, *messages, **options)
        except SpoolError:
            if not (FOLDER / "planted").exists():
                raise

    Spool.append = _careless  # type: ignore[method-assign]
elif SERVICE == "streams":
    import aiokafka

    _around_async(aiokafka.AIOKafkaProducer, "send", "produce")
    _around_async(aiokafka.AIOKafkaConsumer, "commit", "commit")
elif SERVICE == "alerts":
    import http.client

    import kafka
    from sqlalchemy.engine.default import DefaultDialect

    _around(http.client.HTTPConnection, "request", "send")
    _around(http.client.HTTPConnection, "getresponse", "answer")
    _around(DefaultDialect, "do_commit", "database_commit")
    _around(kafka.KafkaConsumer, "commit", "commit")
    _around(kafka.KafkaProducer, "send", "produce")
elif SERVICE == "tocsin" and "FAULT_KAFKA_PORT" in os.environ:
    from tocsin.kafka.broker import EmbeddedBroker

    _properties = EmbeddedBroker._properties

    def _by_proxy(self: EmbeddedBroker) -> str:
        own, proxy = f"PLAINTEXT://127.0.0.1:{self.port}", f"PLAINTEXT://127.0.0.1:{os.environ['FAULT_KAFKA_PORT']}"
        return _properties(self).replace(f"advertised.listeners={own}", f"advertised.listeners={proxy}")

    EmbeddedBroker._properties = _by_proxy  # type: ignore[method-assign]
