"""Neutron's DHCP agent's part in a network: a pair of devices, one end in the agent's namespace, one for the switch."""

from typing import Any

from neutron.agent.linux import interface, ip_lib


class BridgeDriver(interface.LinuxInterfaceDriver):
    DEV_NAME_PREFIX = "ns-"

    def plug_new(
        self,
        network_id: str,
        port_id: str,
        device_name: str,
        mac_address: str,
        bridge: str | None = None,
        namespace: str | None = None,
        prefix: str | None = None,
        mtu: int | None = None,
    ) -> None:
        ours, agents = ip_lib.IPWrapper().add_veth(_tap(device_name, prefix), device_name, namespace2=namespace)
        agents.link.set_address(mac_address)
        for end in (ours, agents):
            if mtu:
                end.link.set_mtu(mtu)
            end.link.set_up()

    def unplug(self, device_name: str, bridge: Any = None, namespace: str | None = None, prefix: Any = None) -> None:
        # The other end goes with it.
        ip_lib.IPDevice(device_name, namespace=namespace).link.delete()

    def set_mtu(self, device_name: str, mtu: int, namespace: str | None = None, prefix: str | None = None) -> None:
        ip_lib.IPDevice(_tap(device_name, prefix)).link.set_mtu(mtu)
        ip_lib.IPDevice(device_name, namespace=namespace).link.set_mtu(mtu)

    @property
    def bridged(self) -> bool:
        return True


def _tap(device_name: str, prefix: str | None) -> str:
    """As Nova would name the device of that port: the switch knows them by this."""
    return "tap" + device_name.removeprefix(prefix or BridgeDriver.DEV_NAME_PREFIX)
