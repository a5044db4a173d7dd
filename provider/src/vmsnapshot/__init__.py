"""VM snapshots, reverts and whole-environment checkpoints as Pulumi resources."""
