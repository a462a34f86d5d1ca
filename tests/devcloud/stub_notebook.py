"""A stand-in for the single-user server: `stub_notebook.py ADDRESS PORT`, and options for its bad days.

Answers 200 to everything, the kernels it says it has, and its environment when asked for /environment.
"""

import argparse
import http.server
import json
import os
import pty
import socketserver
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("port", type=int)
parser.add_argument("--die-at-once", action="store_true")
parser.add_argument("--busy-kernel", action="store_true")
parser.add_argument("--stubborn-child", action="store_true")
parser.add_argument("--terminal", help="what the shell of an open terminal runs")
options = parser.parse_args()

print("token:", os.environ.get("JUPYTERHUB_API_TOKEN"), flush=True)
if options.die_at_once:
    sys.exit("no good today, " + os.environ["JUPYTERHUB_API_TOKEN"])
if options.stubborn_child:
    # Ignores SIGTERM, and leaves its parent's session.
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-I", "-c", code, str(Path.cwd())], start_new_session=True)
if options.terminal and pty.fork()[0] == 0:
    # Its last word tells whose it is: where nobody hangs up (nohup) it has to be found to be ended.
    os.execvp("sh", ["sh", "-c", options.terminal + "; true", str(Path(__file__).parent)])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"{}"
        if self.path.partition("?")[0].endswith("/api/kernels"):
            body = json.dumps([{"execution_state": "busy" if options.busy_kernel else "idle"}]).encode()
        if self.path == "/environment":
            body = json.dumps({"uid": os.geteuid(), "cwd": str(Path.cwd()), **os.environ}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    """Not http.server's own: that one asks the name service for its name first, and waits for the answer."""

    allow_reuse_address = True
    daemon_threads = True


Server((options.address, options.port), Handler).serve_forever()
