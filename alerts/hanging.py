"""Pictures from ``ct.pictures.v1`` into the gallery, and out of it again when they are old.

Laws: nothing of this touches a finding: it has a consumer, a group and a database of its own.
"""

import logging
from datetime import timedelta

from alerts.errors import BrokerUnavailable, StoreRefused, StoreUnavailable
from alerts.intake import Incoming, SetAside, Taken, why_aside
from alerts.metrics import AlertMetrics
from alerts.ports import Clock, Stop
from alerts.store.gallery import Gallery, hang, take_down
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.errors import MalformedEvent
from streams.contracts.pictures import HEAT_MAP_HEADER, PICTURE_HEADER, SlicePictured

log = logging.getLogger(__name__)

TAKE_DOWN_EVERY_SECONDS = 600.0


class PictureIntake:
    def __init__(self, gallery: Gallery, clock: Clock, metrics: AlertMetrics, set_aside: SetAside) -> None:
        self._gallery = gallery
        self._clock = clock
        self._metrics = metrics
        self._set_aside = set_aside

    def take(self, message: Incoming) -> Taken:
        """Keep one picture.

        Raises:
            StoreUnavailable, BrokerUnavailable: the same message must be taken again.
        """
        try:
            return self._hang(message)
        except (StoreUnavailable, BrokerUnavailable):
            raise
        except (MalformedEvent, StoreRefused) as error:
            is_ours = isinstance(error, StoreRefused)
            reason = DeadLetterReason.INTERNAL_ERROR if is_ours else DeadLetterReason.MALFORMED_MESSAGE
            self._set_aside(message, why_aside(message, reason, str(error), self._clock.now()))
            self._metrics.set_aside.labels(reason).inc()
            log.error("a picture was set aside", extra={"offset": message.offset, "reason": reason})
            return Taken.SET_ASIDE

    def _hang(self, message: Incoming) -> Taken:
        headers = dict(message.headers)
        event = SlicePictured.decode(headers.get(PICTURE_HEADER, b""))
        with self._gallery.writing() as session:
            is_new = hang(session, event, message.value or b"", headers.get(HEAT_MAP_HEADER), self._clock.now())
        if is_new:
            self._metrics.pictures.inc()
        return Taken.KEPT if is_new else Taken.KNOWN


def take_down_until(stop: Stop, gallery: Gallery, clock: Clock, keep: timedelta) -> None:
    """The life of the thread that removes old pictures."""
    while not stop.is_set():
        try:
            with gallery.writing() as session:
                count = take_down(session, clock.now() - keep)
            if count:
                log.info("old pictures removed", extra={"count": count})
        except StoreUnavailable:
            log.warning("the gallery is not available")
        stop.wait(TAKE_DOWN_EVERY_SECONDS)
