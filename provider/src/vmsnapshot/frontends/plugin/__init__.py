"""The plugin that the Pulumi engine starts and talks to over gRPC."""
