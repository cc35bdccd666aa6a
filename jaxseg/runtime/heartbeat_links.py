"""Authenticated connections between the processes of a run.

Process 0 listens only on the address by which the others reach it, and only until all of them have
joined. A process that connects is sent a single-use number, and joins by returning its HMAC-SHA256
under a secret that the processes of the run share through their key-value store. Connections that
have not joined are limited in number, bytes and time.
"""

import contextlib
import hmac
import ipaddress
import secrets
import socket
import time

_LONGEST_LINE = 2048  # bytes; a connection that sends a longer line is closed
_MOST_WAITING = 64  # connections that have not joined; the oldest is dropped
_HANDSHAKE = 10.0  # seconds to join
_BETWEEN_TRIES = 0.2  # seconds
_WELCOME = "welcome"


class Link:
    """The connection to one process."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.index: int | None = None  # unknown until it has joined
        self.heard = time.monotonic()
        self._rest = b""

    def lines(self) -> list[str] | None:
        """The lines received, to be called when there is data; None if the other end is gone."""
        try:
            data = self.socket.recv(_LONGEST_LINE)
        except OSError:
            data = b""
        if not data:
            return None
        self.heard = time.monotonic()
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            return None
        return [line.decode(errors="replace") for line in whole]

    def send(self, line: str) -> None:
        """Sends a line; only `lines` reports whether the other end is gone."""
        with contextlib.suppress(OSError):
            self.socket.sendall(f"{line}\n".encode())


class Door:
    """Accepts the other processes in process 0.

    Args:
      host: the name or address by which the others reach this process.
      count: number of processes.
    """

    def __init__(self, host: str, count: int) -> None:
        self.socket = _listener(host, count)
        self._secret = secrets.token_hex(32)
        self._missing = set(range(1, count))
        self._waiting: dict[Link, tuple[str, float]] = {}  # its number and start time

    @property
    def address(self) -> str:
        """What the others need to connect, to be published in the shared store."""
        host, port = self.socket.getsockname()[:2]
        return f"{host} {port} {self._secret}"

    @property
    def is_done(self) -> bool:
        """Whether all have joined."""
        return not self._missing

    def accept(self) -> Link | None:
        """A new connection, which has yet to join; None if it is already gone."""
        try:
            connection, _ = self.socket.accept()
        except OSError:  # it is gone, or this process has too many open files
            time.sleep(0.01)
            return None
        connection.settimeout(1.0)
        link = Link(connection)
        number = secrets.token_hex(16)
        self._waiting[link] = (number, time.monotonic())
        link.send(number)
        return link

    def late(self) -> list[Link]:
        """The connections to close, since they took too long to join or are too many."""
        since = time.monotonic() - _HANDSHAKE
        links = list(self._waiting)
        return [
            link
            for place, link in enumerate(links)
            if self._waiting[link][1] < since or place < len(links) - _MOST_WAITING
        ]

    def admit(self, link: Link, line: str) -> bool:
        """Whether the first line of a connection authenticates a process that is still missing."""
        number, _ = self._waiting[link]
        index, _, code = line.partition(" ")
        right = hmac.compare_digest(code.encode(), _code(self._secret, number, index).encode())
        if not right or not index.isascii() or not index.isdigit():
            return False
        if int(index) not in self._missing:
            return False
        link.index = int(index)
        self._missing.remove(link.index)
        link.send(_WELCOME)
        return True

    def forget(self, link: Link) -> None:
        """Removes a connection that has joined or was closed."""
        self._waiting.pop(link, None)

    def close(self) -> list[Link]:
        """Stops listening; returns the connections that have not joined."""
        self.socket.close()
        return list(self._waiting)


def join(address: str, index: int, host: str, timeout: float) -> Link:
    """Joins process 0.

    Args:
      address: from `Door.address`.
      index: of this process.
      host: another address of process 0, for when its own cannot be reached.
      timeout: seconds to keep trying.

    Raises:
      OSError: process 0 cannot be reached, or rejected this process.
    """
    own, port, secret = address.split()
    until = time.monotonic() + timeout
    while True:
        try:
            connection = socket.create_connection((own, int(port)), _HANDSHAKE)
        except OSError:
            connection = socket.create_connection((host, int(port)), _HANDSHAKE)
        link = Link(connection)
        number = _line(link)
        if number:
            link.send(f"{index} {_code(secret, number, str(index))}")
            if _line(link) == _WELCOME:
                link.index = 0
                return link
        connection.close()
        if time.monotonic() > until:
            raise ConnectionError("it rejected this process")
        time.sleep(_BETWEEN_TRIES)


def _line(link: Link) -> str:
    """The next line; "" if the connection ends or nothing arrives."""
    found: list[str] | None = []
    while found == []:
        found = link.lines()
    return found[0] if found else ""


def _code(secret: str, number: str, index: str) -> str:
    return hmac.digest(secret.encode(), f"{number} {index}".encode(), "sha256").hex()


def _listener(host: str, count: int) -> socket.socket:
    """Listens on the address of this machine by which the others reach it.

    Raises:
      OSError: it cannot listen on any address.
    """
    error: OSError | None = None
    for address in _addresses(host):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            return socket.create_server((address, 0), family=family, backlog=max(128, 2 * count))
        except OSError as failed:  # not an address of this machine, as behind a load balancer
            error = failed
    raise error or OSError(f"{host} has no address")


def bind_address(coordinator: str) -> str | None:
    """The address on which JAX's own service in process 0 should listen, instead of all interfaces.

    Args:
      coordinator: host:port by which the others reach this process.

    Returns:
      address:port; None if the host is not unambiguously one address of this machine, for example
      because /etc/hosts maps its name to a loopback address.
    """
    host, _, port = coordinator.rpartition(":")
    host = host.strip("[]")
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None, socket.AF_INET)}
    except OSError:
        return None
    if len(found) != 1:
        return None
    (address,) = found
    if ipaddress.ip_address(address).is_loopback and host not in ("localhost", address):
        return None
    try:
        socket.create_server((address, 0)).close()
    except OSError:  # for example, an address of a load balancer
        return None
    return f"{address}:{port}"


def _addresses(host: str) -> list[str]:
    """The addresses to listen on, the best first.

    The machine's own /etc/hosts may map its name to a loopback address, which the others cannot
    reach; then the address of the interface to other networks comes first.
    """
    try:
        found = [
            str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        ]
    except OSError:
        found = []
    outward = []
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.connect(("192.0.2.1", 9))  # an address reserved for documentation; nothing is sent
        outward = [probe.getsockname()[0]]
    local = host == "localhost" or host in found
    own = [a for a in found if local or not ipaddress.ip_address(a.partition("%")[0]).is_loopback]
    return list(dict.fromkeys(own + outward + found))
