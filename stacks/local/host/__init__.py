"""One local host: its namespaces, its files, its services."""
