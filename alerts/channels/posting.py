"""One HTTP POST of a channel, and what each way that it can go wrong means."""

import http.client
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from alerts.channels.deadline import deadline
from alerts.errors import ChannelBroken, ChannelTimedOut, ChannelUnreachable


def post(
    connect: Callable[[], http.client.HTTPConnection], url: str, body: bytes, headers: Mapping[str, str], seconds: float
) -> tuple[int, str | None]:
    """The answer's status and its ``Retry-After``. Redirects are not followed, the answer's body is not read.

    Args:
        seconds: for the whole exchange.

    Raises:
        ChannelTimedOut: no complete answer in time.
        ChannelUnreachable: no connection, or no TLS.
        ChannelBroken: what answered does not speak HTTP.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with deadline(seconds) as conversation:
        connection = connect()
        try:
            connection.connect()
            conversation.watch(connection.sock)
            connection.request("POST", target, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.getheader("Retry-After")
        except TimeoutError:
            raise ChannelTimedOut("no answer in time") from None
        except ssl.SSLError as error:
            raise ChannelUnreachable(f"TLS failed: {type(error).__name__}") from None
        except (OSError, http.client.HTTPException) as error:
            if conversation.passed.is_set():
                raise ChannelTimedOut("no complete answer in time") from None
            if isinstance(error, OSError):
                raise ChannelUnreachable(error.strerror or type(error).__name__) from None
            raise ChannelBroken(type(error).__name__) from None
        finally:
            connection.close()
