"""A small environment with a program called jupyterhub-singleuser, which tells what it finds itself to be."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# Named as JupyterHub's, which keeps at import what only an assignment tells.
SERVER = """
import http.server, json, os, random, site, sys, tempfile, time
from urllib.parse import urlsplit

import late_or_not

HUB_AT_IMPORT = os.environ.get("JUPYTERHUB_API_URL", "")
HOME_AT_IMPORT = os.path.expanduser("~")

def status(*names):
    lines = open("/proc/self/status").read().splitlines()
    return {line.partition(":")[0]: line.split()[1:] for line in lines if line.partition(":")[0] in names}

def may(action):
    try:
        action()
    except OSError:
        return False
    return True

def told():
    umask = os.umask(0)
    os.umask(umask)
    shown = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return {
        "environment": dict(os.environ), "argv": sys.argv, "path": sys.path, "executable": sys.executable,
        "flags": list(sys.flags), "cwd": os.getcwd(), "umask": umask, "temporary": tempfile.gettempdir(),
        "descriptors": {path[14:]: os.readlink(path) for path in shown if os.path.exists(path)},
        "leads_its_session": os.getsid(0) == os.getpid(), "time": time.tzname,
        "user_site": site.getusersitepackages(), "owner": os.stat("/proc/self").st_uid,
        "became_root_again": os.geteuid() != 0 and may(lambda: os.setuid(0)),
        "reads_the_agents_secrets": may(lambda: os.listdir("/run/js2/secret")),
        "modules": sorted(sys.modules), "hub_at_import": HUB_AT_IMPORT, "home_at_import": HOME_AT_IMPORT,
        "status": status("Name", "Uid", "Gid", "Groups", "CapPrm", "CapEff", "SigBlk", "SigIgn", "SigCgt"),
    }

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(told()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def main():
    print("the server speaks", flush=True)
    url = urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))
    if url.hostname:
        http.server.HTTPServer((url.hostname, url.port), Handler).serve_forever()
    path = os.path.expanduser("~/told.json")
    with open(path + ".new", "w") as stream:
        json.dump(told(), stream)
    os.rename(path + ".new", path)
"""
PROGRAM = """#!{python}
import sys
from jupyterhub.singleuser import main
if __name__ == "__main__":
    sys.exit(main())
"""


@dataclass(frozen=True)
class Environment:
    """`python` and `program` lie in one folder; `packages` is where its modules are."""

    python: Path
    program: Path
    packages: Path

    def add(self, module: str, text: str) -> None:
        (self.packages / f"{module}.py").write_text(text)


def make(folder: Path, base: str = sys.executable) -> Environment:
    """Make one in `folder`, of the Python `base`."""
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    (packages,) = (folder / "lib").glob("python3*/site-packages")
    made = Environment(folder / "bin" / "python", folder / "bin" / "jupyterhub-singleuser", packages)
    (packages / "jupyterhub").mkdir()
    (packages / "jupyterhub" / "__init__.py").touch()
    (packages / "jupyterhub" / "singleuser.py").write_text(SERVER)
    made.add("late_or_not", "")
    metadata = packages / "servers-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: servers\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[console_scripts]\njupyterhub-singleuser = jupyterhub.singleuser:main\n"
    )
    made.program.write_text(PROGRAM.format(python=made.python))
    made.program.chmod(0o755)
    return made
