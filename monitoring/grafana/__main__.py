"""`python -m monitoring.grafana` writes the dashboards' JSON, which is committed."""

import json

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.grafana.boards import edge, host, logs, overview, sandbox, slos
from monitoring.grafana.files import FOLDER

BOARDS = (overview.BOARD, sandbox.BOARD, edge.BOARD, host.BOARD, logs.BOARD, slos.BOARD)


def rendered() -> dict[str, str]:
    """Each dashboard's JSON by its file's name."""
    return {
        f"{board.uid}.json": json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for board in BOARDS
    }


def main() -> None:
    """Write them, and remove those that no board stands for any more."""
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.json"):
        file.unlink()
    for name, content in rendered().items():
        (FOLDER / name).write_text(content)


if __name__ == "__main__":
    main()
