"""Write texts and tables as LaTeX (booktabs) and as Markdown (pandoc); names of users and hosts are escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.report.tables import Table

_COLUMNS_OF_A_COLUMN = 5
"""A table with more columns spans both columns of the page."""
_MANY_COLUMNS = 8
"""A table with more columns is set tighter."""
_LATEX = {
    "\0": "{}",
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"{\char34}", "`": r"{\char96}",
    "[": "{[}", "]": "{]}",  # after \\ they would be an option
    "\N{NO-BREAK SPACE}": "~", "\N{THIN SPACE}": r"\,", "\N{EN DASH}": "--", "\N{EM DASH}": "---",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}", "\N{MICRO SIGN}": r"$\mu$", "\N{GREEK SMALL LETTER MU}": r"$\mu$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{INFINITY}": r"$\infty$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$", "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$", "\N{MINUS SIGN}": "$-$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$", "\N{SUPERSCRIPT TWO}": r"\textsuperscript{2}",
}  # fmt: skip
_SPACES = "\N{NO-BREAK SPACE}\N{THIN SPACE}"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~^$@!])")


@dataclass(frozen=True)
class Sentence:
    """A sentence without its full stop, and the keys of the works that it cites."""

    text: str
    cites: tuple[str, ...] = ()


def latex(text: str) -> str:
    """Return a text for LaTeX: its special characters are printed, never obeyed."""
    hyphens = re.sub("-(?=-)", "-\0", _clean(text))  # two in a row would become a dash
    return "".join(_LATEX.get(character, character) for character in hyphens)


def markdown(text: str) -> str:
    """Return a text for Markdown: its special characters are printed, never obeyed."""
    return _MARKDOWN.sub(r"\\\1", _clean(text))


def latex_paragraph(sentences: Sequence[Sentence]) -> str:
    """Return sentences with their citations, a line each."""
    marks = [rf"~\cite{{{','.join(each.cites)}}}" if each.cites else "" for each in sentences]
    return "".join(f"{latex(each.text)}{mark}.\n" for each, mark in zip(sentences, marks, strict=True))


def markdown_paragraph(sentences: Sequence[Sentence]) -> str:
    """Return sentences with their citations as pandoc reads them, a line each."""
    marks = [f" [{'; '.join(f'@{key}' for key in each.cites)}]" if each.cites else "" for each in sentences]
    return "".join(f"{markdown(each.text)}{mark}.\n" for each, mark in zip(sentences, marks, strict=True))


def latex_figure(name: str, caption: str) -> str:
    """Return a figure that includes the PDF file `name` at its own size."""
    lines = (r"\begin{figure}[t]", r"  \centering", rf"  \includegraphics{{{name}.pdf}}",
             rf"  \caption{{{latex(caption)}}}", rf"  \label{{fig:{name}}}", r"\end{figure}")  # fmt: skip
    return "\n".join(lines) + "\n"


def latex_table(table: Table) -> str:
    """Return a table with booktabs; details of a row, such as intervals, are small in a second row."""
    wide = "*" if len(table.columns) > _COLUMNS_OF_A_COLUMN or table.prose else ""
    kinds = ("l" if table.prose else "r") * (len(table.columns) - 1)
    size = r"  \footnotesize\setlength{\tabcolsep}{3pt}" if len(table.columns) > _MANY_COLUMNS else r"  \small"
    head = (rf"\begin{{table{wide}}}[t]", r"  \centering", size, rf"  \caption{{{latex(table.caption)}}}",
            rf"  \label{{tab:{table.name}}}", rf"  \begin{{tabular}}{{@{{}}l{kinds}@{{}}}}", r"    \toprule",
            f"    {_latex_row(table.columns)}", r"    \midrule")  # fmt: skip
    body = []
    for row in table.rows:
        body.append(f"    {_latex_row([cell.text for cell in row])}")
        if any(cell.detail for cell in row):
            details = [rf"{{\scriptsize {latex(cell.detail)}}}" if cell.detail else "" for cell in row]
            body += [f"    {' & '.join(details)} \\\\", r"    \addlinespace"]
    foot = (r"    \bottomrule", r"  \end{tabular}", rf"\end{{table{wide}}}")
    return "\n".join((*head, *body, *foot)) + "\n"


def _latex_row(texts: Sequence[str]) -> str:
    return f"{' & '.join(map(latex, texts))} \\\\"


def markdown_table(table: Table) -> str:
    """Return a table with pipes; details, such as intervals, are in parentheses."""
    rows = [[f"{each.text} ({each.detail})" if each.detail else each.text for each in row] for row in table.rows]
    marks = [":--", *([":--" if table.prose else "--:"] * (len(table.columns) - 1))]
    lines = [[markdown(text) for text in table.columns], marks, *([markdown(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _clean(text: str) -> str:
    """Return a text in one line, without control characters."""
    return "".join(each if each.isprintable() or each in _SPACES else " " for each in text)
