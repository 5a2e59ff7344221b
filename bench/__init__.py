"""Measures upload clients side by side, over TLS, each in a process of its own. Nothing is asserted."""
