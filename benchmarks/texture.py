"""The texture of the code: lines, paragraphs, comments, long lines, repeated runs of lines.

    python benchmarks/texture.py [PATH ...] [--files]

Without a path it measures `src`. It needs nothing but the standard library, so it also runs on older
checkouts.
"""

import argparse
import ast
import io
import tokenize
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

RUN = 6
"""Lines that must be equal, one after another, for a place to count as repeated."""


@dataclass(frozen=True)
class Texture:
    """Counts of one file; they add up."""

    lines: int
    function_lines: int
    """Lines inside functions, their docstrings left out."""
    blank_in_functions: int
    comment_lines: int
    """Lines that hold nothing but a comment."""
    longest: int

    def __add__(self, other: "Texture") -> "Texture":
        return Texture(
            self.lines + other.lines,
            self.function_lines + other.function_lines,
            self.blank_in_functions + other.blank_in_functions,
            self.comment_lines + other.comment_lines,
            max(self.longest, other.longest),
        )

    @property
    def row(self) -> str:
        """One line of the table."""
        blank = 100 * self.blank_in_functions / max(1, self.function_lines)
        comments = 100 * self.comment_lines / max(1, self.lines)
        return f"{self.lines:7,d}  {blank:5.1f} %  {comments:6.1f} %  {self.longest:6d}"


def texture(path: Path) -> Texture:
    """The counts of a file."""
    source = path.read_text()
    lines = source.split("\n")

    # comments that stand alone on their line
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }

    # lines of functions; nested functions are counted once
    inside: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            if body:
                inside.update(range(body[0].lineno, (node.end_lineno or node.lineno) + 1))
    blank = sum(not lines[number - 1].strip() for number in inside)

    return Texture(
        lines=len(lines) - 1,
        function_lines=len(inside),
        blank_in_functions=blank,
        comment_lines=len(comments),
        longest=max(map(len, lines)),
    )


def repeated_runs(paths: list[Path]) -> int:
    """Runs of at least `RUN` equal lines that stand in several places, imports and blank lines left out.

    A run of any length counts once for each pair of a place and its first copy.
    """
    places: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
    files = [_code_lines(path) for path in paths]
    for file, lines in enumerate(files):
        for start in range(len(lines) - RUN + 1):
            places[tuple(lines[start : start + RUN])].append((file, start))

    # windows that continue the one before them belong to the same run
    pairs = {(found[0], other) for found in places.values() if len(found) > 1 for other in found[1:]}
    return sum(((a, i - 1), (b, j - 1)) not in pairs for (a, i), (b, j) in pairs)


def _code_lines(path: Path) -> list[str]:
    """Lines without indentation; blank lines, imports and lone brackets left out."""
    stripped = (line.strip() for line in path.read_text().split("\n"))
    return [
        line for line in stripped if len(line) > 3 and not line.startswith(("import ", "from ", "#", '"""'))
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, default=[Path("src")])
    parser.add_argument("--files", action="store_true", help="a row for each file")
    options = parser.parse_args()
    files = [
        file for path in options.paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])
    ]

    print("  lines    blank  comments  longest")
    counts = {file: texture(file) for file in files}
    if options.files:
        for file, count in counts.items():
            print(f"{count.row}  {file}")
    print(f"{sum(counts.values(), Texture(0, 0, 0, 0, 0)).row}  all of {len(files)} files")
    print(f"runs of {RUN} equal lines and more: {repeated_runs(files)}")


if __name__ == "__main__":
    main()
