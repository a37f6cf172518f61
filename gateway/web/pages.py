"""Templates into answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from gateway.web.reader import Reader

ROOM = Path(__file__).parent
STATIC = ROOM / "static"


class Pages:
    """The templates, escaped by default; an unknown variable in one is an error, never an empty string."""

    def __init__(self, *, reader: Reader) -> None:
        self.reader = reader
        self.static_url = f"/static/{_digest_of(STATIC)}"
        self._templates = Environment(
            loader=FileSystemLoader(ROOM / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=["jinja2.ext.i18n"],
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.install_gettext_translations(reader.translations, newstyle=True)  # type: ignore[attr-defined]

    def text(self, template: str, **context: Any) -> str:
        """A template with its values, as HTML."""
        return self._templates.get_template(template).render(
            reader=self.reader,
            static_url=self.static_url,
            **context,
        )

    def answer(
        self, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
    ) -> HTMLResponse:
        """The same as a response; `status` is its HTTP status."""
        return HTMLResponse(self.text(template, **context), status_code=status, headers=headers)

    def static_files(self) -> Mount:
        """The route of the static files. Their address holds a hash of their contents, so they never go stale."""
        return Mount(self.static_url, _Forever(directory=STATIC))


class _Forever(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _digest_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
