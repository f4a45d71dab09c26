"""The live page: follows the files of a run and shows them in a browser; from results and nothing else."""
