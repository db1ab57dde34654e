"""A DNS server on loopback, in a thread of its own, that answers from a table which tests change as they go.

It answers over UDP and, what was too long for that, over TCP. It can refuse to answer in every way a real one does:
SERVFAIL, silence, an answer that is held until the test lets go, nonsense, a truncated one. `asked` has what came.
"""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

__all__ = ["Asked", "DnsServer", "dns_server"]

PATIENCE = 20.0
_MOST_UDP = 512


@dataclass(frozen=True)
class Asked:
    """A question that came: for which name and kind, and whether over TCP."""

    name: str
    kind: str
    over_tcp: bool = False


@dataclass
class DnsServer:
    """What is answered, and what was asked. Names are written without the dot at the end."""

    port: int
    asked: list[Asked] = field(default_factory=list)
    records: dict[tuple[str, str], tuple[int, list[str]]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    held: list = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def set(self, name: str, kind: str, *texts: str, ttl: int = 60) -> None:
        """Have records, in the form of a zone file: "10.0.0.1", or "10 5 80 a.test." for SRV."""
        with self.came:
            self.records[name, kind] = ttl, list(texts)

    def remove(self, name: str, kind: str = "") -> None:
        """Have the records of this kind no longer; those of all kinds if none is given."""
        with self.came:
            for key in [key for key in self.records if key[0] == name and kind in ("", key[1])]:
                del self.records[key]

    def fail(self, name: str, how: str) -> None:
        """Fail for a name, or for "NAME KIND": "silence", "hold", "nonsense", "truncate" or an rcode, as "SERVFAIL"."""
        with self.came:
            self.faults[name] = how

    def heal(self, name: str) -> None:
        """Answer for a name as the table says, and let go of what was held."""
        with self.came:
            self.faults.pop(name, None)
            held, self.held = self.held, []
        for answer in held:
            answer()

    def times(self, name: str, kind: str) -> int:
        """Tell how often a question came."""
        with self.came:
            return sum((one.name, one.kind) == (name, kind) for one in self.asked)

    def wait_until_asked(self, name: str, kind: str, times: int = 1) -> None:
        """Return when a question has come so often since the beginning. Raises TimeoutError."""
        with self.came:
            if not self.came.wait_for(
                lambda: sum((one.name, one.kind) == (name, kind) for one in self.asked) >= times, PATIENCE
            ):
                raise TimeoutError(f"{name} {kind} was not asked for {times} times: {self.asked}")

    def answer(self, query: bytes, *, over_tcp: bool) -> tuple[bytes | None, bool]:
        """Give what is answered to a question, None for nothing, and whether that is to be held."""
        message = dns.message.from_wire(query)
        question = message.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        with self.came:
            self.asked.append(Asked(name, kind, over_tcp))
            self.came.notify_all()
            fault = self.faults.get(f"{name} {kind}") or self.faults.get(name, "")
            response = dns.message.make_response(message)
            response.flags |= dns.flags.RA
            if fault == "silence":
                return None, False
            if fault == "nonsense":
                return query[:2] + b"nonsense", False
            if fault.isupper():
                response.set_rcode(dns.rcode.from_text(fault))
                return response.to_wire(), False
            self._look_up(response, name, kind)
        if fault == "truncate" and not over_tcp:
            response.answer.clear()
            response.flags |= dns.flags.TC
        wire = response.to_wire()
        if not over_tcp and len(wire) > _MOST_UDP:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        return wire, fault == "hold"

    def _look_up(self, response: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(8):
            if (name, kind) in self.records:
                break
            if (name, "CNAME") not in self.records:
                break
            ttl, texts = self.records[name, "CNAME"]
            response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", "CNAME", *texts))
            name = texts[0].rstrip(".")
        if (name, kind) in self.records:
            ttl, texts = self.records[name, kind]
            if texts:
                response.answer.append(dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *texts))
        elif not any(known == name or known.endswith("." + name) for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)


@contextmanager
def dns_server() -> Iterator[DnsServer]:
    """Serve DNS on 127.0.0.1, on one port for UDP and TCP, for the length of a block."""
    with contextlib.ExitStack() as stack:
        udp, tcp = _sockets()
        stack.enter_context(udp)
        stack.enter_context(tcp)
        stop, stopped = (stack.enter_context(sock) for sock in socket.socketpair())
        server = DnsServer(udp.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(server, udp, tcp, stopped), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            stop.send(b".")
            thread.join(PATIENCE)


def _sockets() -> tuple[socket.socket, socket.socket]:
    for _ in range(50):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        tcp = socket.socket()
        try:
            tcp.bind(udp.getsockname())
            tcp.listen()
            return udp, tcp
        except OSError:
            udp.close()
            tcp.close()
    raise OSError("no port is free for UDP and TCP")


def _serve(server: DnsServer, udp: socket.socket, tcp: socket.socket, stopped: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([udp, tcp, stopped], [], [])
        if stopped in ready:
            return
        if udp in ready:
            query, peer = udp.recvfrom(4096)
            wire, is_held = server.answer(query, over_tcp=False)
            if wire is not None:
                _send(server, is_held, lambda wire=wire, peer=peer: udp.sendto(wire, peer))
        if tcp in ready:
            connection, _ = tcp.accept()
            with connection, contextlib.suppress(OSError, struct.error):
                connection.settimeout(PATIENCE)
                with connection.makefile("rb") as reader:
                    (length,) = struct.unpack("!H", reader.read(2))
                    wire, _ = server.answer(reader.read(length), over_tcp=True)
                if wire is not None:
                    connection.sendall(struct.pack("!H", len(wire)) + wire)


def _send(server: DnsServer, is_held: bool, send) -> None:
    with server.came:
        if is_held and "hold" in server.faults.values():
            server.held.append(send)
            return
    send()
