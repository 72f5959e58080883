"""One line of JSON per log entry.

Request contents never get in: an exception shows its type and place, not its text.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger("topgraft_adapter")

_FRAMES = 6


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; `extra={"fields": {...}}` adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage().strip(),
        }
        entry.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1]:
            entry["exception"] = type(record.exc_info[1]).__name__
            entry["at"] = place(record.exc_info[1])
        return json.dumps(entry, default=str)


def place(error: BaseException) -> list[str]:
    """The innermost frames of the error's traceback as `file:line function`."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def set_up() -> None:
    """Send every log of this process to stderr as JSON; the web server's only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def log(level: int, message: str, error: BaseException | None = None, **fields: Any) -> None:
    """Write one entry."""
    logger.log(level, message, exc_info=error, extra={"fields": fields})
