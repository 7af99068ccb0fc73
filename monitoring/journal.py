"""The journal: one JSON object per line on standard error, the same fields in every service.

Laws: no patient's name, no identifier, no UID; a series is named by its key, an exception by its class and place.
Libraries may log what they like at DEBUG, which is off: several of ours print identities there.
"""

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

QUIET_LIBRARIES = ("kafka", "aiokafka", "pynetdicom", "pydicom", "faust", "mode", "uvicorn.access", "httpx", "PIL")


class JsonLines(logging.Formatter):
    """Formats a record, with whatever ``extra`` it carries, as one line of JSON."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = self._places(record)
        return json.dumps(line, default=str, ensure_ascii=False)

    @staticmethod
    def _places(record: logging.LogRecord) -> list[str]:
        """Where it happened; not what the exception said, which may quote a patient's data."""
        places = []
        traceback = record.exc_info[2] if record.exc_info else None
        while traceback is not None:
            code = traceback.tb_frame.f_code
            places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
            traceback = traceback.tb_next
        return places


def open_journal(service: str, level: str = "INFO") -> None:
    """Send all logging of this process to standard error as JSON lines.

    Args:
        level: threshold for our own loggers; libraries speak from WARNING on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
