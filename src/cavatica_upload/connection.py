"""`connect()`: the generated client, made safe.

What it returns is an `AuthenticatedClient`, so that any generated function takes it, asynchronous ones too.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from cavatica_upload.budget.calls import CallBudget
from cavatica_upload.config import find_settings
from cavatica_upload.errors import UsageError
from cavatica_upload.events import Retrying
from cavatica_upload.http.client import SafeClient
from cavatica_upload.http.guard import Guard
from cavatica_upload.http.retry import Policy
from cavatica_upload.redact import Secret, protect, redact_logs


def connect(
    token: str | None = None,
    endpoint: str | None = None,
    *,
    profile: str | None = None,
    timeout: float = 60.0,
    budget: CallBudget | None = None,
    budget_store: Path | None = None,
    attempts: int = 5,
    deadline: float = 900.0,
    retry_for: float = 0.0,
    on_retry: Callable[[Retrying], None] | None = None,
    cancel: threading.Event | None = None,
    allow_http: bool = False,
) -> SafeClient:
    """Return a client for the generated functions of `cavatica_client`.

    `token`, `endpoint`, `profile` and `allow_http`: as in `find_settings`. `timeout` is how long the server may be
    silent, in seconds. A call is tried `attempts` times, and for `deadline` seconds in all, waits for the rate limit
    not counted; while no answer comes at all, for `retry_for` seconds at least, `deadline` or not. `on_retry` is
    called before every pause. Setting `cancel` ends every wait with Interrupted. Calls are
    counted in `budget`, or in one of this client's own, shared with other processes through the file `budget_store`.

    With this client every generated function raises the errors of `cavatica_upload.errors`, and never returns an
    ApiError model. The token goes to the endpoint's scheme, host and port alone; redirects are not followed. A call
    that may have been done already is made again only if that does no harm. Raises ConfigError.
    """
    settings = find_settings(token, endpoint, profile, allow_http=allow_http)
    if attempts < 1 or deadline <= 0 or timeout <= 0:
        raise UsageError("attempts must be 1 or more, and deadline and timeout more than 0 seconds.")
    protect(settings.token)
    redact_logs()
    if budget is None:
        budget = CallBudget(budget_store, CallBudget.key_for(settings.endpoint, settings.token))
    guard = Guard(
        endpoint=settings.endpoint,
        token=Secret(settings.token),
        policy=Policy(attempts=attempts, deadline=max(deadline, 2 * retry_for), retry_for=retry_for),
        budget=budget,
        on_retry=on_retry,
        cancel=cancel,
    )
    return SafeClient(guard, settings.source, timeout)
