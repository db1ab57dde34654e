"""Clients that are closed before anything is served: with -v a line says why, or nobody could find out."""

import json
import socket
import ssl
from contextlib import closing, suppress

import pytest

from tests.support.certificates import make_ca, make_leaf, write_pem
from tests.support.named import until
from tests.support.netfront import running

HTTPS = ("-l", "https://127.0.0.1:0")
BEHIND_A_PROXY = ("-l", "http://127.0.0.1:0", "--accept-proxy", "--trust-proxy", "127.0.0.1")
PATIENCE = 10.0


def dialled(port):
    return closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))


def speaks_tls(port, context):
    with (
        dialled(port) as sock,
        suppress(OSError),
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.recv(1)  # TLS 1.3 tells of a refusal only then


def says(data, *, ends=False):
    def speak(port):
        with dialled(port) as sock:
            sock.sendall(data)
            if ends:
                sock.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while sock.recv(4096):
                    pass

    return speak


def distrusts(port):
    speaks_tls(port, ssl.create_default_context())


def is_anonymous(port):
    speaks_tls(port, anyone())


def anyone():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_certified_by_another(port, place):
    context = anyone()
    context.load_cert_chain(*write_pem(place, "other", make_leaf(make_ca(), "somebody")))
    speaks_tls(port, context)


@pytest.mark.parametrize(
    ("flags", "speak", "why"),
    [
        (HTTPS, distrusts, "it does not trust our certificate"),
        (HTTPS, says(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "it does not speak TLS"),
        (HTTPS, says(b"\x16\x03\x01\x00\x04abcd"), "unexpected message"),
        ((*HTTPS, "--handshake-timeout", "300ms"), says(b"\x16"), "no whole TLS handshake within 0.3 s"),
        (HTTPS, says(b"\x16\x03", ends=True), "it ended within the TLS handshake"),
        (BEHIND_A_PROXY, says(b"GET / HTTP/1.1\r\n\r\n"), "no PROXY line"),
        (BEHIND_A_PROXY, says(b"PROXY TCP9 x\r\n"), "a malformed PROXY line"),
        (BEHIND_A_PROXY, says(b"PROXY TCP4 ", ends=True), "it ended within its PROXY line"),
        (
            (*BEHIND_A_PROXY, "--handshake-timeout", "300ms"),
            says(b"PROXY TCP4 "),
            "no whole PROXY line within 0.3 s",
        ),
    ],
)
def test_why_is_said(flags, speak, why):
    with running("proxy", "demo:", *flags, "-v", "--json") as front:
        speak(front.port)
        until(lambda: " turned away: " in front.stderr)
        line = next(line for line in front.stderr.splitlines() if " turned away: " in line)
        assert why in line
        assert line.startswith("127.0.0.1:")
        events = [json.loads(line) for line in front.stdout.splitlines()]
        told = [event for event in events if event["event"] == "refused"]
        assert [why in event["why"] for event in told] == [True]


def test_certificates_of_clients_are_told_of(tmp_path):
    (tmp_path / "ca.pem").write_bytes(make_ca().pem)
    with running("proxy", "demo:", *HTTPS, "--client-ca", str(tmp_path / "ca.pem"), "-v") as front:
        is_anonymous(front.port)
        until(lambda: "turned away: peer did not return a certificate" in front.stderr)
        is_certified_by_another(front.port, tmp_path)
        until(lambda: "turned away: its certificate is not accepted: " in front.stderr)


@pytest.mark.parametrize("flags", [HTTPS, BEHIND_A_PROXY])
def test_who_only_looks_whether_the_port_is_open_is_no_news(flags):
    with running("proxy", "demo:", *flags, "-v") as front:
        for _ in range(3):
            says(b"", ends=True)(front.port)
        says(b"nonsense", ends=True)(front.port)
        until(lambda: " turned away: " in front.stderr)
        assert front.stderr.count(" turned away: ") == 1


def test_without_v_nothing_is_said():
    with running("proxy", "demo:", *HTTPS) as front:
        distrusts(front.port)
        says(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")(front.port)
        assert "turned away" not in front.stderr
