"""Writes the dashboards; a test compares the files with what this makes."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.grafana.boards import ALL

FOLDER = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """The JSON of each dashboard, by file name."""
    encoder = JSONEncoder(sort_keys=True, indent=1)
    return {f"{name}.json": encoder.encode(board().build()) + "\n" for name, board in ALL.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file, text in documents().items():
        (FOLDER / file).write_text(text)
