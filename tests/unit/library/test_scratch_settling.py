"""Files, units, kernels and what is taken out at the end: all that needs no root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from js2spawner.library.definition import Kernel, Layer
from js2spawner.library.scratch import environments, finishing, settling
from js2spawner.library.scratch.tools import CannotBuild
from tests.unit.library.definitions import definition, environment


def put(root: Path, place: str, text: str = "x") -> Path:
    file = root / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_files_come_with_plain_modes_and_keep_what_makes_them_programs(tmp_path: Path):
    put(tmp_path, "tree/opt/run").chmod(0o700)
    put(tmp_path, "tree/etc/motd").chmod(0o600)
    put(tmp_path, "tree/opt/__pycache__/run.pyc")
    root = tmp_path / "root"
    settling.copy_files(tmp_path / "tree", root)
    modes = {str(file.relative_to(root)): file.stat().st_mode & 0o777 for file in root.rglob("*") if file.is_file()}
    assert modes == {"opt/run": 0o755, "etc/motd": 0o644}


def test_a_file_takes_the_place_of_a_link_instead_of_writing_through_it(tmp_path: Path):
    outside = put(tmp_path, "outside", "mine")
    put(tmp_path, "tree/etc/resolv.conf", "theirs")
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/resolv.conf").symlink_to(outside)
    settling.copy_files(tmp_path / "tree", tmp_path / "root")
    assert outside.read_text() == "mine"
    assert (tmp_path / "root/etc/resolv.conf").read_text() == "theirs"


def test_an_environment_made_anew_gets_back_the_files_that_were_in_it(tmp_path: Path):
    put(tmp_path, "tree/opt/js2/server/share/settings")
    put(tmp_path, "tree/etc/motd")
    settling.copy_files(tmp_path / "tree", tmp_path / "root", below="opt/js2/server")
    assert (tmp_path / "root/opt/js2/server/share/settings").exists()
    assert not (tmp_path / "root/etc").exists()


def test_a_unit_cannot_be_masked_and_brought_along(tmp_path: Path):
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    settling._mask(tmp_path, ["fstrim.timer"])
    settling._mask(tmp_path, ["fstrim.timer"])
    assert (tmp_path / "etc/systemd/system/fstrim.timer").readlink() == Path("/dev/null")
    put(tmp_path, "etc/systemd/system/mine.service")
    with pytest.raises(CannotBuild, match=r"mine\.service"):
        settling._mask(tmp_path, ["mine.service"])


def test_kernels_start_what_their_definition_says(tmp_path: Path):
    put(tmp_path, f"{environments.KERNELS}/python3/logo-svg.svg", "of another kernel")
    kernels = [
        Kernel("python3", "Science", "python", "science"),
        Kernel("ir", "R", "R", argv=("R", "{connection_file}")),
    ]
    environments.write_kernels(tmp_path, kernels)
    specs = {
        each.name: json.loads((tmp_path / environments.KERNELS / each.name / "kernel.json").read_text())
        for each in kernels
    }
    assert specs["python3"]["argv"][0] == "/opt/js2/science/bin/python"
    assert specs["python3"]["env"]["PATH"].startswith("/opt/js2/science/bin:")
    assert specs["ir"] == {"argv": ["R", "{connection_file}"], "display_name": "R", "language": "R"}
    assert not (tmp_path / environments.KERNELS / "python3" / "logo-svg.svg").exists()


def test_a_login_shell_finds_the_environment_of_the_python_kernel_first(tmp_path: Path):
    base = Layer("minimal", (), (environment(tmp_path), environment(tmp_path, "python")))
    more = Layer("more", (), (environment(tmp_path, "science"),), (Kernel("python3", "Science", "python", "science"),))
    assert environments.users_of(definition(base)) == "python"
    assert environments.users_of(definition(base, more)) == "science"
    (tmp_path / "etc/profile.d").mkdir(parents=True)
    environments.write_profile(tmp_path, "science")
    assert 'PATH="$HOME/.local/bin:/opt/js2/science/bin:$PATH' in (tmp_path / environments.PROFILE).read_text()


def test_an_image_with_the_servers_environment_alone_has_none_for_users(tmp_path: Path):
    assert environments.users_of(definition(Layer("bare", (), (environment(tmp_path),)))) == ""


def test_what_is_left_out_is_not_even_fetched(tmp_path: Path):
    made = environment(tmp_path, "server", "jupyterlab==4.4.0", "rfc3987-syntax==1.1", left_out=("RFC3987_syntax",))
    assert environments.wanted_of(made) == f"jupyterlab==4.4.0 --hash=sha256:{'0' * 64}\n"


def test_a_lock_that_is_none_is_told_with_its_line(tmp_path: Path):
    made = environment(tmp_path, "server", "jupyterlab==4.4.0")
    made.lock.write_text("jupyterlab\n")
    with pytest.raises(CannotBuild, match=r"server\.txt:1: "):
        environments.wanted_of(made)


def test_pip_of_the_users_environments_falls_back_to_the_home(tmp_path: Path):
    settings = put(tmp_path, "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
    environments._let_users_add(tmp_path)
    assert "include-system-site-packages = true\n" in settings.read_text()


def test_identities_logs_and_caches_are_taken_out_and_the_rest_stays(tmp_path: Path):
    gone = [
        "etc/ssh/ssh_host_ed25519_key",
        "etc/shadow-",
        "root/.bash_history",
        "var/cache/apt/pkgcache.bin",
        "var/lib/apt/lists/deb_InRelease",
        "var/lib/systemd/random-seed",
        "var/log/apt/term.log",
        "var/tmp/leftover",
        "tmp/.hidden/leftover",
    ]
    stays = ["etc/ssh/ssh_config", "etc/shadow", "root/.bashrc", "var/cache/fontconfig/cache-7", "var/lib/dpkg/status"]
    for place in [*gone, *stays]:
        put(tmp_path, place)
    put(tmp_path, "etc/machine-id", "0123456789abcdef\n")
    finishing.forget(tmp_path)
    assert not [place for place in gone if (tmp_path / place).exists()]
    assert all((tmp_path / place).exists() for place in stays)
    assert (tmp_path / "etc/machine-id").read_text() == ""
    assert (tmp_path / "var/log/apt").is_dir()


def test_nothing_is_younger_than_the_day_of_the_build(tmp_path: Path):
    import os

    young, old, link = put(tmp_path, "etc/young"), put(tmp_path, "etc/old"), tmp_path / "etc/link"
    link.symlink_to("/nowhere")
    os.utime(old, (5, 5))
    finishing.stamp(tmp_path, 1000)
    assert [int(file.lstat().st_mtime) for file in (young, old, link, tmp_path / "etc", tmp_path)] == [
        1000,
        5,
        1000,
        1000,
        1000,
    ]
