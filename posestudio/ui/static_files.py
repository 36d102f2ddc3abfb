"""The pages' own scripts and styles under /own/, as files of `static/`; the browser asks whether each is still new."""

from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from posestudio.ui import theme

ADDRESS = "/own"


class OwnFiles(StaticFiles):
    """`static/` over HTTP. An update of the program is seen at the next load, so scripts never mix versions."""

    def __init__(self) -> None:
        super().__init__(directory=theme.STATIC)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, or 304, with the order to ask again next time."""
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer
