"""Which addresses count as one: what a guesser can change at no cost tells nobody apart."""

import ipaddress
from functools import lru_cache

#: what a customer of a provider gets at least: 2^64 addresses to come from (RFC 6177)
IPV6_PREFIX = 64


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return the network that an address is counted as: an IPv6 one's /64, else the address.

    An IPv4 address that came in IPv6's clothes is itself; what is no address is what it is.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)
