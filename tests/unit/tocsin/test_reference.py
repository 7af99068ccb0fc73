"""The documentation says what the code says."""

import re
from pathlib import Path

from tocsin import reference

ROOT = Path(__file__).parents[3]


def test_the_reference_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference.md").read_text()
    assert written == "".join(f"{line}\n" for line in reference.lines()), (
        "run: python -m tocsin.reference > docs/reference.md"
    )


def test_every_relative_link_in_the_documentation_leads_somewhere() -> None:

    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} points to {target}"
