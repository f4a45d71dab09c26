"""Turn a request into a plan: where processes run, what load they get, what is built."""
