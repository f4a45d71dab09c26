"""Texts and tables as LaTeX and Markdown."""

from __future__ import annotations

import pytest

from benchmark.report.paper_markup import (
    Sentence,
    latex,
    latex_figure,
    latex_paragraph,
    latex_table,
    markdown,
    markdown_paragraph,
    markdown_table,
)
from benchmark.report.tables import Cell, Table

TABLE = Table(
    "loads",
    "Medians, 75 %.",
    ("load", "mean_s & p99"),
    [[Cell("60"), Cell("135 ms", "125\N{EN DASH}160, 75 %")], [Cell("90"), Cell("|x|")]],
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a_b & 5% of #1 {x} $y$", r"a\_b \& 5\% of \#1 \{x\} \$y\$"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("~ ^ < > |", r"\textasciitilde{} \textasciicircum{} \textless{} \textgreater{} \textbar{}"),
        ("--name=x", "-{}-name=x"),
        ("---", "-{}-{}-"),
        ("1\N{NO-BREAK SPACE}s \N{PLUS-MINUS SIGN} 2\N{MICRO SIGN}s", r"1~s $\pm$ 2$\mu$s"),
        ("one\ntwo\x00\x1b[31m", r"one two  {[}31m"),
    ],
)
def test_special_characters_are_printed_by_latex(text: str, expected: str) -> None:
    assert latex(text) == expected


def test_special_characters_are_printed_by_markdown() -> None:
    assert markdown("a_b|c\n# <b> [x](y) @key") == r"a\_b\|c \# \<b\> \[x\](y) \@key"


def test_sentences_cite_at_their_end() -> None:
    sentences = [Sentence("One & two", ("a", "b")), Sentence("Three"), Sentence("Three")]
    assert latex_paragraph(sentences) == "One \\& two~\\cite{a,b}.\nThree.\nThree.\n"
    assert markdown_paragraph(sentences) == "One & two [@a; @b].\nThree.\nThree.\n"


def test_table_has_details_in_small_print_below() -> None:
    lines = [line.strip() for line in latex_table(TABLE).splitlines()]
    assert r"\caption{Medians, 75 \%.}" in lines
    assert lines[lines.index(r"\toprule") + 1] == r"load & mean\_s \& p99 \\"
    assert lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")] == [
        r"60 & 135 ms \\",
        r"& {\scriptsize 125--160, 75 \%} \\",
        r"\addlinespace",
        r"90 & \textbar{}x\textbar{} \\",
    ]
    wide = Table("wide", "Wide", tuple("abcdef"), [[Cell("1")] * 6])
    assert latex_table(wide).startswith(r"\begin{table*}")


def test_markdown_table_has_details_in_parentheses() -> None:
    assert markdown_table(TABLE).splitlines() == [
        r"| load | mean\_s & p99 |",
        "| :-- | --: |",
        "| 60 | 135 ms (125\N{EN DASH}160, 75 %) |",
        r"| 90 | \|x\| |",
    ]


def test_figure_is_included_at_its_own_size() -> None:
    assert r"\includegraphics{curve.pdf}" in latex_figure("curve", "A & B")
    assert r"\caption{A \& B}" in latex_figure("curve", "A & B")
