"""What must not be on a disk as it was built is found, and a clean one passes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from js2spawner.library.boot import inside

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of root's")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As little of a system as there is something to find in."""
    for folder in ("etc/ssh", "etc/apt", "root", "home/debian", "var/log", "var/lib/js2", "usr/bin", "tmp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/machine-id").write_text("")
    (tmp_path / "etc/shadow").write_text("root:*:19000:0:99999:7:::\ndaemon:!:19000::::::\n")
    (tmp_path / "etc/apt/sources.list").write_text("deb http://mirror.example/debian bookworm main\n")
    (tmp_path / "var/log/wtmp").touch()
    sudo = tmp_path / "usr/bin/sudo"
    sudo.touch()
    sudo.chmod(0o4755)
    return tmp_path


def test_a_clean_disk_passes(root: Path) -> None:
    assert inside.baked(root) == []


def wrote(name: str, content: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    return write


def a_program_of_roots(root: Path) -> None:
    (root / "usr/bin/backdoor").touch()
    (root / "usr/bin/backdoor").chmod(0o4755)


@pytest.mark.parametrize(
    ("bakes", "told"),
    [
        (wrote("etc/machine-id", "0" * 32), "/etc/machine-id is already made"),
        (wrote("etc/ssh/ssh_host_rsa_key", "key"), "/etc/ssh/ssh_host_rsa_key is a host key"),
        (wrote("root/.ssh/authorized_keys", "ssh-ed25519 AAAA"), "/root/.ssh/authorized_keys may hold a secret"),
        (wrote("home/debian/.ssh/id_ed25519", "key"), "/home/debian/.ssh/id_ed25519 is a private key"),
        (wrote("root/.bash_history", "ls"), "/root/.bash_history is a history"),
        (wrote("var/log/apt/history.log", "Start"), "/var/log/apt/history.log is a log"),
        (wrote("var/cache/apt/archives/sudo.deb", "deb"), "/var/cache/apt/archives/sudo.deb is a package"),
        (wrote("root/.cache/pip/wheel", "wheel"), "/root/.cache is a cache"),
        (wrote("var/lib/js2/credential.json", "{}"), "/var/lib/js2/credential.json is the guest program's memory"),
        (wrote("etc/shadow", "root:$y$j9T$abc:19000::::::\n"), "/etc/shadow, line 1 has a password"),
        (wrote("etc/shadow", "root::19000::::::\n"), "/etc/shadow, line 1 has a password"),
        (wrote("etc/shadow", "root:!$y$j9T$abc:19000::::::\n"), "/etc/shadow, line 1 keeps the hash"),
        (wrote("etc/apt/apt.conf.d/proxy", 'Acquire "http://me:pw@proxy/";'), "has a password in an address"),
        (
            wrote("etc/ssl/private/snakeoil.key", f"-----BEGIN PRIVATE KEY-----\n{'A' * 64}\n"),
            "/etc/ssl/private/snakeoil.key holds a private key",
        ),
        pytest.param(a_program_of_roots, "/usr/bin/backdoor runs as root whoever starts it", marks=AS_ROOT),
    ],
)
def test_what_must_not_be_there_is_found(root: Path, bakes: Callable[[Path], None], told: str) -> None:
    bakes(root)
    (finding,) = inside.baked(root)
    assert told in finding


def test_links_lead_nowhere(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "history"
    elsewhere.write_text("ls")
    (root / "root/.bash_history").symlink_to(elsewhere)
    (root / "var/log/journal").symlink_to(elsewhere.parent)
    assert inside.baked(root) == []
