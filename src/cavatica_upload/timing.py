"""How long to wait, and how long things may take: one record, so that tests can wait less."""

import attrs


@attrs.frozen(kw_only=True)
class Timing:
    """Seconds."""

    connect: float = 30.0
    """Until a connection to storage is there."""
    silence: float = 60.0
    """For which storage may take or send nothing."""
    first_backoff: float = 0.5
    """The longest first pause before something is tried again; it doubles from one to the next …"""
    longest_backoff: float = 60.0
    """… up to this."""
    reset_margin: float = 1.0
    """Waited beyond the reset of the rate limit: it and the Date header are cut to whole seconds."""
