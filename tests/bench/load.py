"""The load: wrk with a script for each kind of request, ab where each connection makes a whole handshake.

Both run pinned to the core of the origin. What went wrong is counted, and a measurement with errors is none.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from tests.bench.cpu import CORE_OF_LOAD, pin

__all__ = ["Result", "handshakes", "requests"]

_PIN = partial(pin, CORE_OF_LOAD)

BROWSER = {
    "sec-ch-ua": r"\"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"",
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": r"\"Linux\"",
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
    "Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;"
    "q=0.8,application/signed-exchange;v=b3;q=0.7",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Referer": "https://localhost:8443/catalogue/shoes?page=2",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7",
    "Cookie": "_ga=GA1.1.1187230442.1731412345; session=eyJ1c2VyIjoxMjM0NTYsImV4cCI6MTczMjQ0NTY3OH0."
    "ZzR5dGhpcyBpcyBub3QgYSByZWFsIHNpZ25hdHVyZQ; theme=dark; csrftoken=q3Jt0yN5bS7vW1xZk2mP4rT6uY8",
}

_SCRIPT = """
local count = 0
local host = "127.0.0.1"
function init(args) {init} end
function request() {request} end
function done(summary, latency, requests)
  local e = summary.errors
  local broken = e.connect + e.read + e.write + e.timeout
  io.stderr:write(string.format("RESULT %d %d %d %d\\n",
    summary.requests, broken, e.status, latency:percentile(50)))
end
"""
_FIXED = ("fixed = wrk.format()", "return fixed")


@dataclass(frozen=True)
class Result:
    """What a load amounted to. `p50` in seconds."""

    requests: int
    errors: int
    p50: float = 0.0


def requests(
    url: str,
    place: Path,
    *,
    seconds: float,
    connections: int = 64,
    browser: bool = False,
    new_urls: bool = False,
    new_cookies: bool = False,
    closing: bool = False,
    fields: Mapping[str, str] = MappingProxyType({}),
) -> Result:
    """Send GET requests over kept connections, as fast as they are answered.

    Args:
        browser: with the fields that Chrome sends.
        new_urls: each to another URL.
        new_cookies: each with another session in its Cookie.
        closing: each on a connection of its own.
        fields: that each has besides.
    """
    script = place / f"load-{browser:d}{new_urls:d}{new_cookies:d}{closing:d}{bool(fields):d}.lua"
    script.write_text(_script({**(BROWSER if browser else {}), **fields}, new_urls, new_cookies, closing))
    line = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--timeout",
        "10s",
        "-s",
        str(script),
        url,
    ]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, preexec_fn=_PIN, timeout=seconds + 60
    )
    match = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", done.stderr)
    if match is None:
        raise RuntimeError(f"{line!r}: {done.stdout}{done.stderr}")
    count, broken, refused, p50 = map(int, match.groups())
    return Result(count, broken + refused, p50 / 1e6)


def _script(fields: dict[str, str], new_urls: bool, new_cookies: bool, closing: bool) -> str:
    if closing:
        fields["Connection"] = "close"
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in fields.items()]
    if not (new_urls or new_cookies):
        init, request = _FIXED
        return _SCRIPT.format(init="\n".join([*lines, init]), request=request)
    lines.append("local whole = wrk.format(nil, wrk.path .. '@@')")
    lines.append("local a, b = whole:find('@@', 1, true)")
    lines.append("before = whole:sub(1, a - 1); rest = whole:sub(b + 1)")
    if new_cookies:
        lines.append("local _, d = rest:find('session=', 1, true)")
        lines.append("middle = rest:sub(1, d); last = rest:sub(d + 1)")
        request = (
            "count = count + 1; return before .. count .. middle .. string.format('%08x', count) .. last"
        )
    else:
        request = "count = count + 1; return before .. count .. rest"
    return _SCRIPT.format(init="\n".join(lines), request=request)


def handshakes(url: str, *, seconds: float, size: int, connections: int = 32) -> Result:
    """Send each request on a connection of its own with a TLS handshake of its own, none of them resumed.

    ab takes the length it expects from whichever answer closes first, and calls all failed where several heads have
    come before that; so lengths are not left to it (-l), but the sum of them is checked here.

    Args:
        size: of each body.
    """
    line = ["ab", "-q", "-l", "-t", str(max(1, round(seconds))), "-n", "1000000", "-c", str(connections), url]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, preexec_fn=_PIN, timeout=seconds + 60
    )
    count, failed = _number("Complete requests", done.stdout), _number("Failed requests", done.stdout)
    received = _number("HTML transferred", done.stdout)
    if count is None or failed is None or received is None:
        raise RuntimeError(f"{line!r}: {done.stdout}{done.stderr}")
    short = max(0, count - received // size)
    return Result(count, failed + short + (_number("Non-2xx responses", done.stdout) or 0))


def _number(name: str, text: str) -> int | None:
    match = re.search(rf"{name}:\s+(\d+)", text)
    return int(match[1]) if match else None
