"""A clock for rules that depend on time."""


class Clock:
    """Seconds that only change if a test changes them."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let seconds pass."""
        self.now += seconds
