"""Which addresses a configured URL may lead to. Edge: asks the resolver.

Whoever can change a name's address, or the settings, must not reach through the dispatcher what only this machine can:
its neighbours, and above all the service that hands out tokens of its identity.
"""

import ipaddress
import socket
from collections.abc import Sequence

from pegel.errors import OutsideError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local: metadata and tokens, on every cloud
        "fe80::/10",
        "fec0::/10",  # site-local: given up, and still routed where it was set up
        "64:ff9b:1::/48",  # NAT64 of one's own: what stands in it depends on the network
        "fd00:ec2::254/128",
        "168.63.129.16/32",  # Azure's own services on a virtual machine; the address looks public
        "0.0.0.0/8",
        "::/128",
    )
)
_WITH_IPV4_AT_THE_END = tuple(
    ipaddress.ip_network(text)
    for text in (
        "64:ff9b::/96",  # NAT64
        "::ffff:0:0:0/96",  # SIIT
        "::/96",  # IPv4-compatible
    )
)


class ForbiddenAddressError(OutsideError):
    """A name leads to where nothing may be called."""


def allowed_address(host: str, port: int, networks: Sequence[str]) -> Address:
    """The address to connect to: resolve and connect once, or the name may lead elsewhere the second time.

    Args:
        host: a name or an address.
        port: the port.
        networks: what may be called though it is not public, e.g. ``10.1.0.0/16``.

    Raises:
        ForbiddenAddressError: if any address of the name is forbidden.
        OSError: if the name is not known.
    """
    found = [entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    # A zone (fe80::1%eth0) names a link, and links are forbidden anyway.
    addresses = [ipaddress.ip_address(str(text).partition("%")[0]) for text in dict.fromkeys(found)]
    allowed = [ipaddress.ip_network(network) for network in networks]
    for address in addresses:
        if not is_allowed(address, allowed):
            msg = (
                f"{host} leads to {address}, which is not public; if it is yours, name its network in "
                "delivery.webhook.allowed_networks"
            )
            raise ForbiddenAddressError(msg)
    return addresses[0]


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Whether an address may be called: it is public, or in one of the networks, and never one of a cloud's own.

    Example:
        >>> [is_allowed(ipaddress.ip_address(a), []) for a in ("20.50.2.1", "10.1.2.3", "169.254.169.254")]
        [True, False, False]
        >>> networks = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("169.254.0.0/16")]
        >>> [is_allowed(ipaddress.ip_address(a), networks) for a in ("10.1.2.3", "169.254.169.254")]
        [True, False]
    """
    inside = _inside(address)
    if any(inside in network for network in _NEVER):
        return False
    return (inside.is_global and not inside.is_multicast) or any(inside in network for network in networks)


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for: what it leads to is what counts."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.is_loopback or address.is_unspecified:
        return address
    if any(address in network for network in _WITH_IPV4_AT_THE_END):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
