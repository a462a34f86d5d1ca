"""A stand-in for the guest program: runs what is posted to port 8888 of its address and answers what that said.

A GET answers who it is. Posting to /exit ends it with the status in the body.
"""

import argparse
import http.server
import json
import os
import signal
import socketserver
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--source-address")
options, _ = parser.parse_known_args()


class Shell(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(json.dumps({"argv": sys.argv, "pid": os.getpid(), "uid": os.geteuid()}).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/exit":
            self._answer(b"")
            self.wfile.flush()
            os._exit(int(body))
        done = subprocess.run(["/bin/sh", "-c", body], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self._answer(done.stdout)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """The console is for the tests."""


class Server(socketserver.ThreadingTCPServer):
    """Not http.server's own: that one asks the name service for its name first, and waits for the answer."""

    allow_reuse_address = True
    daemon_threads = True


def farewell(*_: object) -> None:
    print("guest: terminated", flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, farewell)
server = Server((options.source_address, 8888), Shell)
print("guest: here", flush=True)
server.serve_forever()
