"""The link from a study to the site's own viewer."""

from dataclasses import dataclass
from string import Formatter
from urllib.parse import quote, urlsplit

from streams.contracts.identities import StudyIdentity

FIELDS = ("StudyInstanceUID", "AccessionNumber", "PatientID")


@dataclass(frozen=True)
class PacsLink:
    """An address with DICOM keywords in braces, such as ``https://pacs.example/viewer?study={StudyInstanceUID}``.

    Raises:
        ValueError: not an http(s) address, no keyword in it, or one that is not known.
    """

    template: str

    def __post_init__(self) -> None:
        names = [name for _, name, spec, conversion in Formatter().parse(self.template) if name is not None]
        if not names or any(name not in FIELDS for name in names):
            raise ValueError(f"must hold one or more of {', '.join(f'{{{name}}}' for name in FIELDS)}, and no other")
        parts = urlsplit(self.template)
        if parts.scheme not in ("http", "https") or not parts.hostname or "{" in parts.netloc:
            raise ValueError("must be like https://pacs.hospital.example/viewer?study={StudyInstanceUID}")

    def of(self, identity: StudyIdentity) -> str:
        """The address of one study; every value is percent-encoded."""
        return self.template.format_map({name: quote(getattr(identity, name), safe="") for name in FIELDS})
