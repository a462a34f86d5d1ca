"""What the pretended boot of a machine writes to its console, and when."""

from __future__ import annotations

from collections.abc import Iterator

# The share of the boot that has passed, the speaker, the line. The order is that of a Debian 12 cloud image under KVM;
# the words say what they stand for, so nobody takes this log for a real one.
_LINES = (
    (0.00, "kernel", "Linux version 6.1.0-devcloud (embedded cloud) #1 SMP PREEMPT_DYNAMIC"),
    (0.00, "kernel", "Command line: root=/dev/vda1 ro console=tty0 console=ttyS0,115200"),
    (0.02, "kernel", "Memory: pretended, the flavor's; CPUs: the host's"),
    (0.05, "kernel", "clocksource: Switched to clocksource kvm-clock"),
    (0.10, "kernel", "virtio_blk virtio1: [vda] attached"),
    (0.14, "kernel", "EXT4-fs (vda1): mounted filesystem with ordered data mode"),
    (0.18, "systemd[1]", "Hostname set to <{hostname}>."),
    (0.22, "systemd[1]", "Reached target local-fs.target - Local File Systems."),
    (0.30, "systemd[1]", "Starting cloud-init-local.service - Initial cloud-init job (pre-networking)..."),
    (0.45, "systemd[1]", "Starting systemd-networkd.service - Network Configuration..."),
    (0.55, "systemd[1]", "Reached target network-online.target - Network is Online."),
    (0.60, "cloud-init", "running 'init'"),
    (0.75, "cloud-init", "running 'modules:config'"),
    (0.90, "systemd[1]", "Reached target multi-user.target - Multi-User System."),
)


def boot_lines(hostname: str, boot_seconds: float) -> Iterator[tuple[float, str]]:
    """Each line with its instant, in seconds after power-on."""
    for share, speaker, text in _LINES:
        at_s = share * boot_seconds
        stamp = f"[{at_s:12.6f}] "
        yield at_s, stamp + ("" if speaker == "kernel" else f"{speaker}: ") + text.format(hostname=hostname)
    yield boot_seconds, f"[{boot_seconds:12.6f}] systemd[1]: Started js2-guest.service."
