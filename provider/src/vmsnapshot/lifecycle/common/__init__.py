"""What the resources share: identity of names, operations, validation, comparison and safety snapshots."""
