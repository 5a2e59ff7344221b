"""How Hypothesis looks for examples."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure, and a run that failed can be run again: the examples are the same each time.
# pytest --hypothesis-profile random looks for others.
settings.register_profile("same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", settings.get_profile("same"), derandomize=False)
settings.load_profile("same")
