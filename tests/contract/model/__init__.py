"""A state machine that plays with a server beside a small model of it, and compares.

`world` is the model: plain data and rules, no HTTP. `machine`, `misuse` and `files` make the moves. `looks` compares
what the server shows with the world. `play` runs it, and demands that every kind of outcome was reached: a machine that
never completes an upload finds nothing and says that all is well.
"""
