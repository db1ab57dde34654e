"""What files hold that a command line names: TLS contexts towards backends, and a look into all of them at once.

That look is taken only when something else is wrong: what is wrong inside a file is told with it. It needs TLS, but
neither trio nor a socket, and makes nothing. Whoever serves finds the same faults by reading the files for good.
"""

import ssl
from collections.abc import Iterable

from netfront.cli.certificates import read_given
from netfront.cli.faults import Faults
from netfront.cli.plan import BackendTlsPlan, ServePlan
from netfront.errors import Fault, UsageError
from netfront.net.files import Files
from netfront.net.tls import client_context

__all__ = ["BackendContexts", "backend_contexts", "spoken_to_backends", "wrong_contents"]

BackendContexts = dict[BackendTlsPlan, ssl.SSLContext]


def backend_contexts(spoken: Iterable[BackendTlsPlan], faults: Faults) -> BackendContexts:
    """Make the TLS contexts towards backends, one for each way in which TLS is spoken; note what is wrong."""
    files = Files()
    contexts: BackendContexts = {}
    for tls in dict.fromkeys(spoken):
        try:
            contexts[tls] = client_context(
                ca=tls.ca,
                cert=tls.cert,
                key=tls.key,
                insecure=tls.insecure,
                files=files,
                offers_http=tls.is_http,
            )
        except UsageError as error:
            faults.take(error)
    return contexts


def spoken_to_backends(plan: ServePlan) -> list[BackendTlsPlan]:
    """List the ways in which TLS is spoken to backends, one for each target that is https://."""
    return [target.tls for pool in plan.pools for target in pool.targets if target.tls is not None]


def wrong_contents(plan: ServePlan) -> list[Fault]:
    """List what is wrong inside the files of a plan, which may itself be wrong elsewhere."""
    faults = Faults()
    if plan.tls is not None:
        read_given(plan.tls, Files(), [], faults)
    backend_contexts((tls for tls in spoken_to_backends(plan) if tls.ca or tls.cert), faults)
    return faults.found
