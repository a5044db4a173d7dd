"""Models of inputs, state and configuration; diff, schema and docs are derived from them."""
