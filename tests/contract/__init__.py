"""The contract suite: does a server do what openapi.yaml says, no more and no less?

    python -m tests.contract run      on the mock, or on BASE_URL
    python -m tests.contract live     on a live platform, with care
    python -m tests.contract mutants  on servers that are broken on purpose: each has to be caught
    python -m tests.contract replay   sends the requests of a finding again

Four phases look at one server from four sides: schemathesis' command line sends what the document allows and what it
forbids (`schemathesis`), a state machine compares the server with a small model (`model`), raw requests go
where no generator goes (`requests`), and scripted faults bring out the statuses that nothing else does
(`forced_statuses`).

Every claim has a layer: contract is judged on any server, transport on one of ours; a gateway in front of another may
answer what no client sends in its own way, and that is a note. Findings of one cause stand once (`findings`), with the
requests that lead to it (`trace`) as lines for a shell (`reproduce`).
"""
