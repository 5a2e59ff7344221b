"""Keeps keys out of what httpx logs: it writes whole URLs and headers, and the query of a signed URL is a key."""

import logging
import re

LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")

_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*", re.IGNORECASE)
_TARGET = re.compile(r"(target=b['\"][^?'\"]*)\?[^'\"]*")
_HEADER = re.compile(
    r"(b?['\"](?:x-sbg-auth-token|x-sbg-session-id|(?:proxy-)?authorization|location|set-cookie)['\"]\s*[,:]\s*b?)(['\"]).*?\2",
    re.IGNORECASE,
)


class KeysRedacted(logging.Filter):
    """Rewrites a record that shows the query of a URL or the value of a secret header; never drops one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, having cut out of the record what must not be shown."""
        text = record.getMessage()
        safe = _HEADER.sub(r"\1\2***\2", _TARGET.sub(r"\1?…", _QUERY.sub(r"\1?…", text)))
        if safe != text:
            record.msg, record.args = safe, ()
        return True


_FILTER = KeysRedacted()


def redact_logs() -> None:
    """Put the filter on the loggers of httpx; again makes no difference."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
