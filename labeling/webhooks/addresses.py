"""Where a webhook may be: no address that only this server can reach, unless it is allowed.

Whoever may add a webhook could otherwise make the server ask its own network (server-side request
forgery). A name is resolved once, its addresses are looked at, and the connection goes to them: a
name that answers differently the second time changes nothing.
"""

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from storage.errors import BadInput, Unavailable

_PORTS = {"https": 443, "http": 80}
LONGEST_URL = 2000
# Of these an address inside names another one, which may be private.
_WRAPPING = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def checked_url(url: str, *, private: bool) -> SplitResult:
    """Return the parts of a webhook's URL; raise `BadInput` saying what is wrong with it.

    It is HTTPS, or with `private` HTTP too, and holds no user, password or fragment.
    """
    url = url.strip()
    # Before it is taken apart, where tabs and controls are dropped from it.
    if len(url) > LONGEST_URL or not (url.isascii() and url.isprintable()) or " " in url:
        raise BadInput(
            f"The address must be of printable ASCII characters, without spaces, {LONGEST_URL} at "
            "most."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadInput(f"The address {url!r} cannot be read: {error}.") from error
    schemes = ("https", "http") if private else ("https",)
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise BadInput(f"The address {url!r} must be like {schemes[0]}://example.org/hook.")
    if parts.username or parts.password or parts.fragment:
        raise BadInput("The address must hold no user, password or #fragment.")
    if not private:
        _check_literal(parts.hostname)
    return parts


def port_of(parts: SplitResult) -> int:
    """Return the port that the URL means."""
    return parts.port or _PORTS[parts.scheme]


def addresses_of(parts: SplitResult, *, private: bool) -> list[str]:
    """Return the IP addresses of the URL's host.

    Raises `BadInput` where one of them is not of the public internet, unless `private`;
    `Unavailable` where the name has none.
    """
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, port_of(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"The name {host} has no address ({error}).") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not private:
        _check_public(host, addresses)
    return addresses


def _check_literal(host: str) -> None:
    """Raise where the host is an address, not a name, and no public one; no name is looked up."""
    # A name that is whole ends in a dot, which says nothing else.
    host = host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        _check_public(host, ["127.0.0.1"])
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    _check_public(host, [str(entry[4][0]) for entry in found])


def _check_public(host: str, addresses: list[str]) -> None:
    for one in addresses:
        if not _is_public(one):
            raise BadInput(
                f"The address {host} ({one}) is not of the public internet; to allow it, set "
                "RANKLOOP_WEBHOOK_PRIVATE_ADDRESSES=true on the server."
            )


def _is_public(text: str) -> bool:
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = inner or address
    if any(address in network for network in _WRAPPING if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast
