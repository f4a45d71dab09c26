"""The works that a methods paragraph may cite, as BibTeX."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

REFERENCES: Mapping[str, str] = {
    "conover1999": """@book{conover1999,
  author = {Conover, W. J.},
  title = {Practical Nonparametric Statistics},
  edition = {3rd},
  publisher = {Wiley},
  year = {1999}
}""",
    "efron1993": """@book{efron1993,
  author = {Efron, Bradley and Tibshirani, Robert J.},
  title = {An Introduction to the Bootstrap},
  publisher = {Chapman \\& Hall},
  year = {1993}
}""",
    "fisher1935": """@book{fisher1935,
  author = {Fisher, Ronald A.},
  title = {The Design of Experiments},
  publisher = {Oliver and Boyd},
  year = {1935}
}""",
    "hdrhistogram": """@misc{hdrhistogram,
  author = {Tene, Gil},
  title = {{HdrHistogram}: A High Dynamic Range Histogram},
  howpublished = {\\url{https://hdrhistogram.org}}
}""",
    "herlihy1990": """@article{herlihy1990,
  author = {Herlihy, Maurice P. and Wing, Jeannette M.},
  title = {Linearizability: A Correctness Condition for Concurrent Objects},
  journal = {ACM Transactions on Programming Languages and Systems},
  volume = {12},
  number = {3},
  pages = {463--492},
  year = {1990}
}""",
    "hoad2010": """@article{hoad2010,
  author = {Hoad, Kathryn and Robinson, Stewart and Davies, Ruth},
  title = {Automating Warm-up Length Estimation},
  journal = {Journal of the Operational Research Society},
  volume = {61},
  number = {9},
  pages = {1389--1403},
  year = {2010}
}""",
    "holm1979": """@article{holm1979,
  author = {Holm, Sture},
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  journal = {Scandinavian Journal of Statistics},
  volume = {6},
  number = {2},
  pages = {65--70},
  year = {1979}
}""",
    "lehmann1975": """@book{lehmann1975,
  author = {Lehmann, Erich L.},
  title = {Nonparametrics: Statistical Methods Based on Ranks},
  publisher = {Holden-Day},
  year = {1975}
}""",
    "mann1947": """@article{mann1947,
  author = {Mann, Henry B. and Whitney, Donald R.},
  title = {On a Test of Whether One of Two Random Variables is Stochastically Larger than the Other},
  journal = {The Annals of Mathematical Statistics},
  volume = {18},
  number = {1},
  pages = {50--60},
  year = {1947}
}""",
    "maritz1978": """@article{maritz1978,
  author = {Maritz, J. S. and Jarrett, R. G.},
  title = {A Note on Estimating the Variance of the Sample Median},
  journal = {Journal of the American Statistical Association},
  volume = {73},
  number = {361},
  pages = {194--196},
  year = {1978}
}""",
    "schmeiser1982": """@article{schmeiser1982,
  author = {Schmeiser, Bruce},
  title = {Batch Size Effects in the Analysis of Simulation Output},
  journal = {Operations Research},
  volume = {30},
  number = {3},
  pages = {556--568},
  year = {1982}
}""",
    "schroeder2006": """@inproceedings{schroeder2006,
  author = {Schroeder, Bianca and Wierman, Adam and Harchol-Balter, Mor},
  title = {Open Versus Closed: A Cautionary Tale},
  booktitle = {3rd Symposium on Networked Systems Design and Implementation (NSDI)},
  publisher = {USENIX Association},
  year = {2006}
}""",
    "vanelteren1960": """@article{vanelteren1960,
  author = {van Elteren, Ph.},
  title = {On the Combination of Independent Two-Sample Tests of {Wilcoxon}},
  journal = {Bulletin of the International Statistical Institute},
  volume = {37},
  pages = {351--361},
  year = {1960}
}""",
    "white1997": """@article{white1997,
  author = {White, K. Preston},
  title = {An Effective Truncation Heuristic for Bias Reduction in Simulation Output},
  journal = {Simulation},
  volume = {69},
  number = {6},
  pages = {323--334},
  year = {1997}
}""",
}


def bibliography(keys: Iterable[str]) -> str:
    """Return the BibTeX entries of the works cited, each once, by key."""
    return "\n".join(f"{REFERENCES[key]}\n" for key in sorted(set(keys)))
