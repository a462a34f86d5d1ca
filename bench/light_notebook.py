"""A stand-in for the single-user server: answers what JupyterHub and the guest ask, and costs next to nothing.

A hundred real JupyterLabs would fill a small machine, and their CPU is not the hub's. Its one argument is JupyterHub's
version, which the hub compares with its own; JUPYTERHUB_SERVICE_URL says where to listen. Standard library only, and
one file: an instance gets it as the text of its command.
"""

import http.server
import os
import socketserver
import sys
from urllib.parse import urlsplit


class Handler(http.server.BaseHTTPRequestHandler):
    """200 to everything, with an empty list: no kernels, no terminals."""

    def do_GET(self) -> None:
        body = b"[]"
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", sys.argv[1])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        pass


class Server(socketserver.TCPServer):
    """Not http.server's own: that one asks the name service for its name first, and waits for the answer."""

    allow_reuse_address = True


place = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
Server((str(place.hostname), place.port or 8888), Handler).serve_forever()
