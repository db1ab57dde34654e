"""The page at `/`: the request as it arrived, all of it escaped, and the way to the rest. Loads nothing."""

import base64
import hashlib

from netfront.http.message import Request
from netfront.wire.fields import Fields

__all__ = ["arrival_rows", "page", "page_fields", "request_fields"]

_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("'"): "&#39;"}
_PLACES = (
    ("headers", "the request's fields as JSON"),
    ("status/404", "any status"),
    ("bytes/1M", "any number of bytes; ranges too"),
    ("delay/1.5", "an answer that takes its time"),
    ("sse?n=5&interval=0.5", "server-sent events, one by one"),
    ("cookies?flavour=vanilla", "sets cookies and shows those that came"),
    ("redirect/3", "a way of three redirects"),
    ("redirect/1?absolute", "a redirect that names this origin"),
    ("json", "a sample document"),
)
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2230; --soft: #5b6476; --line: #d9dee8; --ground: #f6f7fa;
  --card: #fff; --accent: #1f5fd6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --soft: #98a2b6; --line: #2f3746;
  --ground: #12151c; --card: #1a1f29; --accent: #7fb0ff } }
* { box-sizing: border-box }
body { margin: 0; padding: 2rem 1rem 4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
main { max-width: 52rem; margin: 0 auto }
h1 { font-size: 1.35rem; margin: 0 0 .25rem }
h2 { font-size: 1rem; margin: 0 0 .75rem }
p { margin: 0 0 1.5rem; color: var(--soft) }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1.25rem; margin-bottom: 1rem; overflow-x: auto }
pre { margin: 0 0 .75rem; font-size: 1.05rem; font-weight: 600; white-space: pre-wrap;
  overflow-wrap: anywhere }
pre, code, td, th, output { font-family: ui-monospace, monospace }
table { border-collapse: collapse; width: 100%; font-size: .86rem }
th { text-align: left; font-weight: 400; color: var(--soft); white-space: nowrap; padding-right: 1.5rem }
td { width: 100%; overflow-wrap: anywhere }
th, td { vertical-align: top; padding-top: .2rem; padding-bottom: .2rem; border-top: 1px solid var(--line) }
ul { list-style: none; margin: 0; padding: 0 }
li { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .15rem 0 }
li a { min-width: 15rem }
li span { color: var(--soft) }
a { color: var(--accent) }
form { display: flex; gap: .5rem }
input, button { font: inherit; padding: .35rem .6rem; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--ground); color: inherit }
input { flex: 1; min-width: 8rem }
output { display: block; margin-top: .75rem; font-size: .86rem; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 12rem; overflow-y: auto }
"""
_SCRIPT = """
const form = document.querySelector('form'), words = form.elements.words;
const log = document.querySelector('output');
const say = text => { log.textContent = text + '\\n' + log.textContent };
let socket = null;
const open = () => {
  const url = new URL('ws', document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  socket = new WebSocket(url);
  socket.onopen = () => { say('open: ' + url); send() };
  socket.onmessage = event => say('\\u2190 ' + event.data);
  socket.onclose = event => { say('closed: ' + event.code + ' ' + event.reason); socket = null };
};
const send = () => { say('\\u2192 ' + words.value); socket.send(words.value) };
form.onsubmit = event => { event.preventDefault(); if (socket) send(); else open() };
document.getElementById('close').onclick = () => { if (socket) socket.close(1000, 'done') };
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>netfront demo</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main>
<h1>netfront demo</h1>
<p>This is the built-in origin. Below is the request just as it arrived here.</p>
<section>
<h2>Request</h2>
<pre>{line}</pre>
<table>{fields}</table>
</section>
<section>
<h2>Connection</h2>
<table>{connection}</table>
</section>
<section>
<h2>More to try</h2>
<ul>{places}</ul>
</section>
<section>
<h2>WebSocket echo at <code>ws</code></h2>
<form><input name="words" value="hello" aria-label="message" autocomplete="off">
<button>Send</button><button type="button" id="close">Close</button></form>
<output></output>
</section>
</main>
<script>{script}</script>
</body>
</html>
"""
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest())
_POLICY = (
    b"default-src 'none'; img-src data:; style-src 'unsafe-inline'; connect-src 'self' ws: wss:; "
    b"script-src 'sha256-%b'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % _SCRIPT_HASH
)


def page_fields() -> Fields:
    """Make the fields of the page's response."""
    return Fields.of(
        (b"Content-Type", b"text/html; charset=utf-8"),
        (b"Content-Security-Policy", _POLICY),
        (b"Cache-Control", b"no-store"),
    )


def page(request: Request) -> bytes:
    """Render the page for this request."""
    line = f"{_text(request.method)} {_text(request.target.raw)} HTTP/1.{_text(request.version)}"
    places = "".join(
        f'<li><a href="{_escape(path)}">/{_escape(path)}</a><span>{_escape(what)}</span></li>'
        for path, what in _PLACES
    )
    return _PAGE.format(
        style=_STYLE,
        line=_escape(line),
        fields=_table(request_fields(request)),
        connection=_table(arrival_rows(request)),
        places=places,
        script=_SCRIPT,
    ).encode()


def request_fields(request: Request) -> list[tuple[str, str]]:
    """List the fields of a request as (name as it was written, value), Host first."""
    rows = [
        (_text(row.raw.partition(b":")[0]), _text(row.value)) for row in (*request.fields, *request.forwarded)
    ]
    return [("Host", _text(request.authority)), *rows] if request.authority else rows


def arrival_rows(request: Request) -> list[tuple[str, str]]:
    """Tell how a request arrived, as (what, value): who asked, and what belongs to this connection alone."""
    facts, body = request.client.facts, request.body
    rows = [
        ("peer", _address(facts.peer)),
        ("local", _address(facts.local)),
        ("tls", "yes" if facts.tls else "no"),
    ]
    if isinstance(body, bytes):
        rows.append(("body", f"{len(body)} bytes"))
    else:
        rows.append(("body", "chunked" if body.length is None else f"{body.length} bytes"))
    if request.upgrade is not None:
        rows.append(("upgrade", _text(request.upgrade)))
    rows.append(("kept alive", "yes" if request.keeps_alive else "no"))
    return rows


def _address(address: tuple[str, int]) -> str:
    host, port = address
    if not host:
        return "a unix socket"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _table(rows: list[tuple[str, str]]) -> str:
    return "".join(f"<tr><th>{_escape(name)}</th><td>{_escape(value)}</td></tr>" for name, value in rows)


def _text(data: bytes) -> str:
    """Make text of wire bytes for people: UTF-8 where it is that, else byte for byte."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)
