"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for folder in ("", "docs", "docs/experiments", "bench/models")
    for path in (ROOT / folder).glob("*.md")
)


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_experiment_is_listed_by_subject():
    index = (ROOT / "docs" / "experiments.md").read_text()
    for log in (ROOT / "docs" / "experiments").glob("*.md"):
        entries = [name for name in anchors(log) if re.match(r"\d{4}-\d\d-\d\d--", name)]
        listed = re.findall(rf"^- \[.+\]\(experiments/{log.name}#(.+)\)$", index, re.MULTILINE)
        assert sorted(listed) == sorted(entries)
