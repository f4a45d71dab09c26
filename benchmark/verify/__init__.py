"""Check whether the history of a probe workload is linearizable."""
