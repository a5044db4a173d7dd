"""The one place that says which version this is; the build and the plugin read it."""

__version__ = "0.1.0"
