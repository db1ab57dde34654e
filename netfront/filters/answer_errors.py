"""The one place where an exception becomes an answer, so that a 502 or 429 passes through everything outside it."""

from collections.abc import Callable

from netfront.errors import BackendError, BadMessage, NoBackend, Overdue, Refusal
from netfront.filters.pages import Explanation, error_page
from netfront.http.message import Filter, Handler, Request, Response
from netfront.wire.fields import field

__all__ = ["answer_errors"]

Page = Callable[..., Response]


def answer_errors(*, explains: bool, routes: tuple[str, ...] = (), page: Page = error_page) -> Filter:
    """Make the filter.

    Args:
        explains: whether the listener is one that only this machine reaches.
        routes: shown where no route was found.
        page: makes the answer; see pages.error_page.
    """

    def answer(
        request: Request, status: int, told: Explanation, fields: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Response:
        request.exchange.outcome = told.why
        request.exchange.source = "netfront"
        accept = request.fields.get(b"accept")
        # why credentials were refused helps who guesses them: on no listener is it told
        shown = told if explains and status not in (401, 403) else None
        return page(status, shown, accept, *[field(*pair) for pair in fields])

    def around(then: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                return await then(request)
            except BackendError as error:
                return answer(request, 504 if error.timed_out else 502, _explain(request, error))
            except NoBackend as error:
                return answer(request, 503, Explanation(error.why), ((b"Retry-After", b"1"),))
            except Refusal as error:
                told = Explanation(error.why, routes=routes if error.status == 404 else ())
                return answer(request, error.status, told, error.fields)
            except Overdue as error:
                request.keeps_alive = False
                return answer(request, 408, Explanation(f"the request's {error.which} did not come in time"))
            except BadMessage as error:
                request.keeps_alive = False
                return answer(request, error.status, Explanation(error.why))

        return handle

    return around


def _explain(request: Request, error: BackendError) -> Explanation:
    backend = request.exchange.backend
    place = backend.member.label if backend is not None else "the backend"
    why = f"{place}: {error.why}"
    if error.stage == "connect":
        why = (
            f"nothing answers on {place}: {error.why}" if not error.timed_out else f"{place} does not answer"
        )
        return Explanation(why, "start the server there, or give netfront another target")
    if error.stage == "resolve":
        return Explanation(f"the name does not resolve: {error.why}", "check the target's host name")
    if error.stage == "tls":
        return Explanation(
            f"TLS with {place} failed: {error.why}", "see --backend-ca, --backend-name and --insecure"
        )
    if error.timed_out:
        return Explanation(f"{place} took the request and did not answer in time", "see --timeout")
    return Explanation(why)
