"""The resources' inputs, state and configuration, with the metadata that all else is derived from."""
