"""The contract suite: does a server do what openapi.yaml says, no more and no less?

    python -m tests.contract run      on the mock, or on BASE_URL
    python -m tests.contract live     on a live platform, with care
    python -m tests.contract mutants  on servers that are broken on purpose: each has to be caught

Four phases look at one server from four sides: schemathesis' command line sends what the document allows and what it
forbids (`schemathesis`), a state machine compares the server with a small model (`model`), raw requests go
where no generator goes (`requests`), and scripted faults bring out the statuses that nothing else does
(`forced_statuses`).
"""
