"""The settings of what writes the status page. The only place in this process that reads the environment."""

from pathlib import Path
from typing import Annotated

from app.process.settings import FROM_JSON, ProcessSettings


class StatusSettings(ProcessSettings):
    """Each field is the variable STATUS_<FIELD>."""

    prefix = "STATUS_"

    title: str
    """the name of what the page is about, as visitors know it."""
    url: str
    """the public URL of the page, without a slash at its end."""
    routes: Annotated[tuple[str, ...], FROM_JSON]
    """the routes that the page shows, as a JSON list of the values of the label `route` of their probes."""
    prometheus: str | None = None
    """the URL of Prometheus, which has the probes. Unset: the page has incidents and planned work alone."""
    folder: Path
    """the folder to write the files to."""
    notices: Path | None = None
    """the folder of notices: a Markdown file for each incident or piece of planned work. Unset: there are none."""
