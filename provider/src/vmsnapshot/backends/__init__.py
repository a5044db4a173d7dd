"""The platforms: one port, and one implementation of it per platform."""
