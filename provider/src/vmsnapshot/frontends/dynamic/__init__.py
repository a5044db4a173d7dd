"""The resources as `pulumi.dynamic` ones, which a Python program brings with it instead of a plugin."""
