"""CONVENTIONS.md is true: its blocks run."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "CONVENTIONS.md"


def test_every_statement_of_the_page_holds():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert sum(block.count("assert ") for block in blocks) >= 15
    scope = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), scope)
