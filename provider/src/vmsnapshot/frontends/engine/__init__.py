"""What both frontends know of the engine: how to speak to it, whether it is there, what to say of errors."""
