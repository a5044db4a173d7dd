"""EnvironmentRehearsal: whether an environment would come up from a checkpoint, tried with clones."""
