"""One connection of a guest, passed on: `relay.py ADDRESS PORT`, started by QEMU with the guest at standard input.

A guest without any way out reaches by it the one place it is meant to reach. Standard library only, and silent: what it
said would go to the guest.
"""

import selectors
import socket
import sys

CHUNK_BYTES = 65536
# A connection nobody uses: the handshake's longest poll is 50 s.
SILENT_S = 600.0


def main(address: str, port: int) -> None:
    """Until either side has gone."""
    guest = socket.socket(fileno=0)
    with guest, socket.create_connection((address, port), timeout=10.0) as host:
        for side in (guest, host):
            side.setblocking(True)
            side.settimeout(SILENT_S)
        other = {guest: host, host: guest}
        with selectors.DefaultSelector() as ready:
            for side in other:
                ready.register(side, selectors.EVENT_READ)
            while events := ready.select(SILENT_S):
                for key, _ in events:
                    side = guest if key.fileobj is guest else host
                    data = side.recv(CHUNK_BYTES)
                    if not data:
                        return
                    other[side].sendall(data)


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except OSError:
        sys.exit(1)
