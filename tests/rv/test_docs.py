"""The examples of docs/rv.md run."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "rv.md"


def test_examples_of_the_page_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert printed.startswith("calibrated: true/modelled variance 1.")
    assert "Doubled" in printed
