"""The hub as operators configure it (`jupyterhub_config.py`), and what a benchmark needs: a light notebook, a probe,
and on request a spawner that does nothing. JS2_BENCH_SPAWNER is `js2` or `noop`. With JS2_BENCH_FIRST set the hub goes
before everything else on the machine, as it would where no instance shares its cores with it (for root only).
"""

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from jupyterhub import __version__  # noqa: E402
from line_probe import Delays, Line  # noqa: E402
from probe import Glance  # noqa: E402

load_subconfig("jupyterhub_config.py", path=str(HERE.parent))  # type: ignore[name-defined]  # noqa: F821
c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821

c.JupyterHub.extra_handlers += [("/bench", Glance), ("/bench/delays", Delays), ("/bench/line", Line)]
c.Spawner.cmd = [sys.executable, "-I", "-c", (HERE / "light_notebook.py").read_text(encoding="utf-8"), __version__]

if os.environ.get("JS2_BENCH_FIRST"):
    # Niceness would not do: Linux shares its time among sessions first, and each instance is one or two of them.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))

if os.environ["JS2_BENCH_SPAWNER"] == "noop":
    c.JupyterHub.spawner_class = "noop_spawner.NoopSpawner"
    c.NoopSpawner.wait_s = float(os.environ["JS2_BENCH_WAIT_S"])
    c.NoopSpawner.notebook_url = os.environ["JS2_BENCH_NOTEBOOK_URL"]
