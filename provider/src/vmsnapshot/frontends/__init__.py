"""The ways in: what the engine or a program talks to."""
