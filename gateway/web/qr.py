"""Text as a picture that a phone's camera reads."""

from __future__ import annotations

import io

import segno
from markupsafe import Markup


def qr_svg(text: str) -> Markup:
    """`text` as a QR code, an SVG that takes the size it is given. Holds no text, so nothing in it needs escaping."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=False, nl=False, svgclass=None, lineclass=None, omitsize=True, dark="#000"
    )
    return Markup(out.getvalue().decode())  # noqa: S704 - made of numbers by the library, above
