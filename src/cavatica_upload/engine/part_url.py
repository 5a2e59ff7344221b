"""Where a part goes: its URL is asked for just in time, and kept until it expires by the server's clock."""

import attrs

from cavatica_upload.api.records import PartUrl
from cavatica_upload.engine.context import Context
from cavatica_upload.errors import ConfigError
from cavatica_upload.storage.put import Target

MARGIN = 10.0  # seconds before its end from which a URL is not begun with any more
LEAST = 5.0  # seconds for which a URL that has just come is good, whatever the clocks say
UNKNOWN = 300.0  # seconds for which a URL is good whose end the platform did not say; storage refuses it if not


def part_url(context: Context, upload_id: str, number: int) -> Target:
    """Ask for the URL of a part; raises what the API raises, and ConfigError for one that is not encrypted."""
    answer = context.api.get_part_url(upload_id, number)
    if not context.allow_http:
        refuse_plain_http(context.endpoint, answer.url)
    lifetime = UNKNOWN if answer.expires is None else context.server_clock.seconds_until(answer.expires) - MARGIN
    return attrs.evolve(target_of(answer), expires=context.clock() + max(lifetime, LEAST))


def refuse_plain_http(endpoint: str, url: str) -> None:
    """Raise ConfigError for a part URL without TLS if the API has TLS: others could read the bytes on their way."""
    if endpoint.startswith("https:") and not url.lower().startswith("https:"):
        raise ConfigError(
            "The platform gave a part URL that begins with http, though the endpoint has https: others could read the "
            "file on its way.",
            "Ask the platform's support. From Python, allow_http=True sends it all the same.",
        )


def target_of(answer: PartUrl) -> Target:
    """Return where to put a part, as the platform says; until when is for the caller to say, by its own clock."""
    return Target(
        method=answer.method,
        url=answer.url,
        headers=answer.headers,
        success_codes=frozenset(answer.success_codes),
        report_headers=answer.report_headers,
    )
