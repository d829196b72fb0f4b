"""What `kubectl exec`, `attach` and `port-forward` use: streams through containerd's CRI plugin, over a WebSocket."""

from __future__ import annotations

import json
import socketserver
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.command import wait_for
from support.websocket import RESIZE, STATUS, STDERR, STDIN, STDOUT, Channels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pods import Pods

pytestmark = pytest.mark.engines

ECHO = "while read -r line; do echo got $line; [ $line = end ] && exit 4; done"


def stream(pods: Pods, method: str, **request: object) -> Channels:
    """Ask for the stream and connect to it."""
    return Channels(pods.client.call(method, request)["url"])


def exec_stream(pods: Pods, container: str, script: str, tty: bool = False) -> Channels:
    """A script with all its streams; a terminal has no standard error of its own."""
    command = ["sh", "-c", script]
    streams = {"stdin": True, "stdout": True, "stderr": not tty, "tty": tty}
    return stream(pods, "Exec", container_id=container, cmd=command, **streams)


def outcome(channels: dict[int, bytes]) -> tuple[str, str]:
    """Status and exit code, as the last message tells them."""
    told = json.loads(channels[STATUS])
    causes = told.get("details", {}).get("causes", [])
    return told["status"], "".join(each["message"] for each in causes if each.get("reason") == "ExitCode")


def test_exec_has_its_output_and_errors_apart(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    with exec_stream(pods, container, "echo out; echo err >&2") as channels:
        received = channels.read_to_end()
    assert (received[STDOUT], received[STDERR]) == (b"out\n", b"err\n")
    assert outcome(received) == ("Success", "")


def test_exec_reads_what_is_typed_and_tells_its_exit_code(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    with exec_stream(pods, container, ECHO) as channels:
        channels.send(STDIN, b"first\n")
        channels.read_until(STDOUT, b"got first\n")
        channels.send(STDIN, b"end\n")
        received = channels.read_to_end()
    assert received[STDOUT] == b"got first\ngot end\n"
    assert outcome(received) == ("Failure", "4")


def test_exec_on_a_terminal_that_changes_its_size(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    script = "trap 'stty size; exit 0' WINCH; tty; while :; do usleep 20000; done"
    with exec_stream(pods, container, script, tty=True) as channels:
        channels.read_until(STDOUT, b"/dev/pts/")
        channels.send(RESIZE, json.dumps({"Width": 123, "Height": 45}).encode())
        received = channels.read_to_end()
    assert received[STDOUT].decode().split("\r\n")[-2:] == ["45 123", ""]


def test_exec_of_much_output(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    with exec_stream(pods, container, "head -c 3000000 /dev/zero") as channels:
        received = channels.read_to_end()
    assert received[STDOUT] == bytes(3000000)


def test_exec_of_a_missing_program(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sleep", "600")
    request = {"container_id": container, "cmd": ["no-such-program"], "stdout": True}
    with stream(pods, "Exec", **request) as channels:
        received = channels.read_to_end()
    assert outcome(received)[0] == "Failure"
    assert b"executable file not found in" in received[STATUS]


def test_attach_to_a_container_that_reads(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sh", "-c", ECHO, stdin=True)
    streams = {"stdin": True, "stdout": True, "stderr": True}
    with stream(pods, "Attach", container_id=container, **streams) as channels:
        channels.send(STDIN, b"first\n")
        channels.read_until(STDOUT, b"got first\n")
    with stream(pods, "Attach", container_id=container, **streams) as channels:
        channels.send(STDIN, b"second\n")
        channels.read_until(STDOUT, b"got second\n")
        channels.send(STDIN, b"end\n")
        channels.read_until(STDOUT, b"got end\n")
    assert pods.ended(container)["exit_code"] == 4
    assert [line.text for line in pods.log(container)] == ["got first\n", "got second\n", "got end\n"]


def test_attach_to_a_terminal(pods: Pods) -> None:
    container = pods.run(pods.pod(), "sh", "-c", f"tty; {ECHO}", stdin=True, tty=True)
    with stream(pods, "Attach", container_id=container, stdin=True, stdout=True, tty=True) as channels:
        channels.send(STDIN, b"end\r")
        channels.read_until(STDOUT, b"got end\r\n")
    assert pods.ended(container)["exit_code"] == 4


class Answering(socketserver.StreamRequestHandler):
    """Sends each line back in capitals."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line.upper())


@contextmanager
def listening() -> Iterator[int]:
    """A server on loopback of the host; its port."""
    with socketserver.ThreadingTCPServer(("localhost", 0), Answering) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def forward(pods: Pods, pod: str, port: int) -> Channels:
    """Channel 0 is the data and 1 the errors of the first port; both begin with its number."""
    url = pods.client.call("PortForward", {"pod_sandbox_id": pod, "port": [port]})["url"]
    channels = Channels(f"{url}?port={port}")
    number = struct.pack("<H", port)
    channels.read_until(0, number)
    channels.read_until(1, number)
    return channels


def test_port_forward_in_the_host_network(pods: Pods) -> None:
    with listening() as port, forward(pods, pods.pod(), port) as channels:
        channels.send(0, b"hello\n")
        assert channels.read_until(0, b"\n").endswith(b"HELLO\n")


def test_port_forward_in_the_network_of_the_pod(pods: Pods) -> None:
    pod = pods.pod(network="POD")
    container = pods.run(pod, "sh", "-c", "nc -l -p 8080 -e sh -c 'read line; echo got $line'")
    wait_for(lambda: ":1F90 " in pods.shell(container, "cat /proc/net/tcp /proc/net/tcp6"), what="the listener")
    with forward(pods, pod, 8080) as channels:
        channels.send(0, b"hello\n")
        assert channels.read_until(0, b"got hello\n")
