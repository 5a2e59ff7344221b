"""Part URLs: asked for just in time, kept until they expire by the server's clock."""

import attrs

from cavatica_client.models import PartUrl
from cavatica_upload.engine.context import Context
from cavatica_upload.errors import UnexpectedAnswer
from cavatica_upload.http.answers import known
from cavatica_upload.storage.put import Target

MARGIN = 10.0  # seconds before its end from which a URL is not begun with any more
LEAST = 5.0  # seconds for which a URL that has just come is good, whatever the clocks say


def ask(context: Context, upload_id: str, number: int) -> Target:
    """Ask for the URL of a part; raises what the API raises, and UnexpectedAnswer where no URL can be put to."""
    answer = context.api.get_part_url(upload_id, number)
    lifetime = context.server_clock.seconds_until(answer.expires) - MARGIN
    return attrs.evolve(target_of(answer), expires=context.clock() + max(lifetime, LEAST))


def target_of(answer: PartUrl) -> Target:
    """Return where to put a part, as the platform says; until when is for the caller to say, by its own clock.

    `success_codes` stand beside `report` or inside it; the platform's documentation has both.
    """
    if not answer.url.lower().startswith(("http://", "https://")):
        raise UnexpectedAnswer(
            "The platform gave a part URL that is no web address.", "Ask the platform's support.", status=200
        )
    codes = known(answer.success_codes) or known(answer.report.success_codes) or ()
    return Target(
        method=answer.method.upper(),
        url=answer.url,
        headers={name: str(value) for name, value in answer.headers.additional_properties.items()},
        success_codes=frozenset(codes),
        report_headers=tuple(answer.report.headers),
    )
