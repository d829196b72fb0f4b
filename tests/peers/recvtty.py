"""Stands in for runc's `recvtty`: takes the terminals that `--console-socket` sends and reads them.

Its options are recvtty's. `--mode null` takes any number and forgets what they say, `single` copies one to stdout.
"""

from __future__ import annotations

import argparse
import os
import socket
import termios
import threading


def received(listener: socket.socket) -> int | None:
    """The next terminal's descriptor, or None where the runtime has failed before it sent one."""
    connection, _ = listener.accept()
    with connection:
        fds = socket.recv_fds(connection, 4096, 1)[1]
    return fds[0] if fds else None


def copied(terminal: int, target: int) -> None:
    """Reads until the last program closes its side, which is EIO."""
    try:
        while text := os.read(terminal, 1 << 16):
            os.write(target, text)
    except OSError:
        pass
    finally:
        os.close(terminal)


def main() -> None:
    """Serves until it is killed, or until the one terminal ends."""
    os.closerange(3, 256)  # of bats, which waits until nobody has them any more
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=("single", "null"), required=True)
    parser.add_argument("--pid-file", type=argparse.FileType("w"), required=True)
    parser.add_argument("--no-stdin", action="store_true")  # which nobody reads here
    parser.add_argument("socket")
    options = parser.parse_args()
    with options.pid_file as pid_file:
        print(os.getpid(), file=pid_file)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(options.socket)
        listener.listen()
        while (terminal := received(listener)) is None or options.mode == "null":
            if terminal is not None:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                threading.Thread(target=copied, args=(terminal, nowhere), daemon=True).start()
    settings = termios.tcgetattr(terminal)
    settings[1] &= ~termios.ONLCR
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
    copied(terminal, 1)


if __name__ == "__main__":
    main()
