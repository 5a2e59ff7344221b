"""A careful look at a live platform.

It needs a project that is named for it, and makes one folder there, in which everything else goes. Files are a few
bytes. It keeps within a share of the rate limit, by the platform's own headers (`RateBudget`). What it made is taken
away at the end, also after Ctrl-C (`Cleanup`). It asks for nothing that it did not make itself: no random ids, no
other users'. Schemathesis and the raw requests are left out for that reason. It ends with where the live answers and
openapi.yaml disagree (`drift`).
"""
