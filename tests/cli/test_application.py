"""What one app takes over from another on a reload."""

import trio

from netfront.cli.assembly import build
from netfront.cli.flags import ServeFlags
from netfront.cli.planning import plan_serving
from netfront.cli.render import Console
from netfront.net import redial


def app_of(kept=None, **flags):
    plan = plan_serving("balance", ServeFlags(targets=["127.0.0.1:1", "127.0.0.1:2"], **flags))
    return build(plan, Console(quiet=True, json_events=False, color=False), kept)


async def test_backends_that_are_down_are_dialled_as_the_plan_of_now_says(nursery, monkeypatch):
    timeouts = []

    async def dial(backend, *, timeout):
        timeouts.append(timeout)
        await trio.lowlevel.checkpoint()
        raise redial.BackendError("connect", retry_safe=True, why="no answer")

    monkeypatch.setattr(redial, "dial", dial)
    app = app_of(connect_timeout="7s")
    app.start(nursery, Console(quiet=True, json_events=False, color=False))
    [service] = app.services.values()
    for _ in range(3):
        service.pool.again(service.pool.backends[0]).done("no answer", connected=False)
    with trio.fail_after(5):
        while 7.0 not in timeouts:
            await trio.sleep(0.01)
        other = app_of(app, connect_timeout="9s")
        other.take_over(app)
        assert other.services == app.services
        while timeouts[-1] != 9.0:
            await trio.sleep(0.01)
