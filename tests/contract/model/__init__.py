"""A state machine that plays with a server beside a small model of it, and compares.

`model` is plain data and rules, and what a play shares. `machine_uploads` and `machine_files` make the moves.
`asserts` compares what the server shows with the model. `run` plays, and demands that every kind of outcome was
reached: a machine that never completes an upload finds nothing and says that all is well.
"""
