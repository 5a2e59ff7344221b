"""A state machine that plays with a server beside a small model of it, and compares.

`model` is plain data and rules, no HTTP. `machine_uploads`, `machine_invalid` and `machine_files` make the moves.
`asserts` compares
what the server shows with the model. `play` runs it, and demands that every kind of outcome was reached: a machine that
never completes an upload finds nothing and says that all is well.
"""
