"""Systems described in a YAML file."""
