"""The API for commands that upload nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from cavatica_upload.api import Api
from cavatica_upload.budget.calls import CallBudget
from cavatica_upload.cli.console import Output
from cavatica_upload.cli.options import Connection
from cavatica_upload.cli.wording import sentence
from cavatica_upload.connection import connect
from cavatica_upload.journal.journal import state_dir


@contextmanager
def open_api(connection: Connection, output: Output, budget: CallBudget | None = None) -> Iterator[Api]:
    """Connect to the platform; calls count in the budget that all processes of this user share."""
    client = connect(
        connection.token,
        connection.endpoint,
        profile=connection.profile,
        budget=budget,
        budget_store=state_dir() / "budget.sqlite",
        on_retry=lambda event: output.say(sentence(event)) if event.attempt > 2 or output.verbose else None,
    )
    try:
        yield Api(client, on_drift=lambda event: output.say(sentence(event)))
    finally:
        client.close()
