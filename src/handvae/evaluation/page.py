"""A self-contained HTML page: no script, style, font or picture comes from elsewhere."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from handvae.evaluation.plots import Plot, svg

_STYLE = (
    "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1180px;padding:0 1em;color:#222}"
    "h1{font-size:1.6em}"
    "h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid #ddd}"
    "figure{display:inline-block;margin:8px 12px 8px 0;vertical-align:top}"
    "figcaption{color:#555;max-width:520px}"
    "img+figcaption{max-width:none}"
    "figcaption b{color:#222}"
    "img{max-width:100%}"
    "svg text{font:12px system-ui,sans-serif;fill:#444}"
    ".legend span{margin-right:1em;white-space:nowrap}"
    ".legend i{display:inline-block;width:14px;height:4px;margin-right:5px;vertical-align:middle}"
    "table{border-collapse:collapse}"
    "td,th{padding:3px 10px;border-bottom:1px solid #e4e4e4;text-align:left;vertical-align:top}"
    "td.n{text-align:right;white-space:nowrap}"
    "td.p{color:#555;font-size:12px}"
    "pre{background:#f4f4f4;padding:1em;overflow:auto}"
)


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, as HTML."""

    title: str
    body: str


def page(title: str, sections: Sequence[Section]) -> str:
    """The whole page."""
    body = "".join(f"<section><h2>{html.escape(s.title)}</h2>{s.body}</section>" for s in sections)
    title = html.escape(title)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en">{head}<h1>{title}</h1>{body}</html>\n'


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{html.escape(text)}</p>"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], protocol: bool = True) -> str:
    """A table; the first column is a name, the last one a protocol (if there is one), those between are
    numbers."""
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = []
    for row in rows:
        kinds = [' class="n"'] * len(row)
        kinds[0] = ""
        if protocol:
            kinds[-1] = ' class="p"'

        body.append(
            "<tr>"
            + "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
            + "</tr>"
        )

    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


def plot(figure: Plot) -> str:
    """A figure with its title and protocol."""
    note = f"<br>{html.escape(figure.note)}" if figure.note else ""
    return f"<figure>{svg(figure)}<figcaption><b>{html.escape(figure.title)}</b>{note}</figcaption></figure>"


def picture(pixels: UInt8[np.ndarray, "height width 3"], caption: str) -> str:
    """A picture with its caption."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return png(buffer.getvalue(), caption)


def png(content: bytes, caption: str) -> str:
    """A PNG file's content with a caption."""
    text = html.escape(caption)
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    return f'<figure><img src="{url}" alt="{text}"><figcaption>{text}</figcaption></figure>'
