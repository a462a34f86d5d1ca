"""Neutron's part in which ports are bound to hosts: here any host takes any port, and no agent is asked.

A port becomes a tap device of libvirt's (with a pretended hypervisor, of nobody's) and is ACTIVE at once. Releases of
today have no agent left for plain Linux bridges, and Open vSwitch needs more of a machine than the rig asks for.
"""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class RigMechanismDriver(api.MechanismDriver):
    def initialize(self) -> None:
        pass

    @property
    def connectivity(self) -> str:
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context: api.PortContext) -> None:
        kind = context.current.get(portbindings.VNIC_TYPE, portbindings.VNIC_NORMAL)
        if kind == portbindings.VNIC_NORMAL and context.host:
            segment = context.segments_to_bind[0]
            # Who enforces security groups does so outside of Neutron, so Neutron must not promise it.
            details = {portbindings.CAP_PORT_FILTER: False}
            context.set_binding(
                segment[api.ID], portbindings.VIF_TYPE_TAP, details, status=constants.PORT_STATUS_ACTIVE
            )
