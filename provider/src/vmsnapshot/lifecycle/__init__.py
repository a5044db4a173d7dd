"""The verbs of each resource (check, diff, create, read, update, delete), over the model alone."""
