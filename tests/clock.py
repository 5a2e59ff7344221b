"""A clock for rules that ask what time it is."""


class Clock:
    """Seconds that stand still until they are told to go on."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        """Let seconds pass."""
        self.now += seconds
