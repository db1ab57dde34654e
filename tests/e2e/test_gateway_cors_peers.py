"""--cors as a browser judges it: what a page of another origin may ask, and what it may read."""

import json
import re

import pytest

from tests.support.chromium import CHROMIUM, dom_of
from tests.support.netfront import running
from tests.support.origins import answering, origin

PAGE = """<!doctype html><p id="said"></p><script>
const at = "http://127.0.0.1:" + location.hash.slice(1)
async function ask(path, options) {
  try {
    const answer = await fetch(at + path, options)
    const when = answer.headers.get("retry-after") ? " and when" : ""
    return answer.status + when + (await answer.text() ? "" : " empty")
  } catch { return "blocked" }
}
(async () => {
  const said = [
    await ask("/a"),
    await ask("/a", {method: "PUT", headers: {"X-Own": "1"}}),
    await ask("/a/private"),
    await ask("/a/private", {headers: {"Authorization": "Basic " + btoa("ann:secret")}}),
    await ask("/a/few"), await ask("/a/few"),
    await ask("/down"), await ask("/closed"),
  ]
  document.getElementById("said").textContent = JSON.stringify(said)
})()
</script>"""


def served(seen):
    body = PAGE.encode() if seen.target == b"/" else b"ok"
    kind = b"text/html" if seen.target == b"/" else b"text/plain"
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(body), body)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_page_may_read_what_its_origin_was_given_and_another_may_not(tmp_path, is_allowed):
    users = tmp_path / "users"
    users.write_text("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    users.chmod(0o600)
    with origin(answering(served)) as behind:
        page = f"http://localhost:{behind.port}"
        line = [
            f"/a={behind.url}", f"/closed={behind.url}", "/down=127.0.0.1:1", "--cors", f"/a: {page}", "--cors",
            f"/down: {page}", "--basic", f"/a/private: @{users}", "--limit", "/a/few: 1/h",
        ]  # fmt: skip
        with running("gateway", *line, "-q") as front:
            from_ = page if is_allowed else f"http://127.0.0.1:{behind.port}"
            place = tmp_path / "profile"
            shown = dom_of(f"{from_}/#{front.port}", place, "--virtual-time-budget=8000")
    said = json.loads(re.search(r'<p id="said">(.*?)</p>', shown)[1].replace("&quot;", '"'))
    if is_allowed:
        assert said == ["200", "200", "401", "200", "200", "429 and when", "502", "blocked"]
    else:
        assert said == ["blocked"] * 8
