"""Connections between the processes of a run, and how strangers are kept out of them.

Process 0 listens on the address by which the others reach it, and on no other interface, until all
of them have joined; then nothing listens any more. Whoever connects is sent a number that is used
once, and joins with its HMAC-SHA256 under a secret that only the processes of the run have, from
the key-value store that they share. What has not joined is bounded in number, bytes and time.
"""

import contextlib
import hmac
import ipaddress
import secrets
import socket
import time

_LONGEST_LINE = 2048  # bytes; what sends more without an end is given up
_MOST_WAITING = 64  # connections that have not joined; the oldest makes room
_HANDSHAKE = 10.0  # seconds to join in
_BETWEEN_TRIES = 0.2  # seconds
_WELCOME = "welcome"


class Link:
    """The connection to one process."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.index: int | None = None  # not known before it has joined
        self.heard = time.monotonic()
        self._rest = b""

    def lines(self) -> list[str] | None:
        """What has come, to be called when something has; None: the other end is gone."""
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
        """Whether the other end is still there is told by `lines`."""
        with contextlib.suppress(OSError):
            self.socket.sendall(f"{line}\n".encode())


class Door:
    """Where process 0 lets the others in.

    Args:
      host: the name or address by which the others reach this process.
      count: of the processes.
    """

    def __init__(self, host: str, count: int) -> None:
        self.socket = _listener(host, count)
        self._secret = secrets.token_hex(32)
        self._missing = set(range(1, count))
        self._waiting: dict[Link, tuple[str, float]] = {}  # its number, and since when

    @property
    def address(self) -> str:
        """What the others need to know, for the store that they share."""
        host, port = self.socket.getsockname()[:2]
        return f"{host} {port} {self._secret}"

    @property
    def is_done(self) -> bool:
        """Whether all have joined."""
        return not self._missing

    def accept(self) -> Link | None:
        """A new connection, which has yet to join; None where it is gone already."""
        try:
            connection, _ = self.socket.accept()
        except OSError:  # gone, or this process has too many open files
            time.sleep(0.01)
            return None
        connection.settimeout(1.0)
        link = Link(connection)
        number = secrets.token_hex(16)
        self._waiting[link] = (number, time.monotonic())
        link.send(number)
        return link

    def late(self) -> list[Link]:
        """The connections that are to be closed, since they do not join or are too many."""
        since = time.monotonic() - _HANDSHAKE
        links = list(self._waiting)
        return [
            link
            for place, link in enumerate(links)
            if self._waiting[link][1] < since or place < len(links) - _MOST_WAITING
        ]

    def admit(self, link: Link, line: str) -> bool:
        """Whether the first line of a connection is that of a process which is still missing."""
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
        """A connection that has joined, or is closed."""
        self._waiting.pop(link, None)

    def close(self) -> list[Link]:
        """Listens no more; returns what has not joined."""
        self.socket.close()
        return list(self._waiting)


def join(address: str, index: int, host: str, timeout: float) -> Link:
    """Joins process 0.

    Args:
      address: of `Door.address`.
      index: of this process.
      host: by which process 0 is reached, where its own address is not.
      timeout: seconds to try for.

    Raises:
      OSError: it cannot be reached, or did not let this process in.
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
            raise ConnectionError("it did not let this process in")
        time.sleep(_BETWEEN_TRIES)


def _line(link: Link) -> str:
    """The next line; "" where the connection ends or nothing comes."""
    found: list[str] | None = []
    while found == []:
        found = link.lines()
    return found[0] if found else ""


def _code(secret: str, number: str, index: str) -> str:
    return hmac.digest(secret.encode(), f"{number} {index}".encode(), "sha256").hex()


def _listener(host: str, count: int) -> socket.socket:
    """Listens on one address of this machine, that by which the others reach it.

    Raises:
      OSError: none can be listened on.
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
    """What JAX's own service of process 0 is to listen on, in place of every interface.

    Args:
      coordinator: host:port, by which the others reach this process.

    Returns:
      address:port; None where the host is not clearly one address of this machine, as where
      /etc/hosts has a loopback address for its name.
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
    except OSError:  # an address of a load balancer, say
        return None
    return f"{address}:{port}"


def _addresses(host: str) -> list[str]:
    """The addresses to listen on, the best first.

    The name of a machine may stand for a loopback address in its own /etc/hosts, where the others
    cannot reach it; then the address of the interface to other networks comes first.
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
        probe.connect(("192.0.2.1", 9))  # of the range for documentation; nothing is sent
        outward = [probe.getsockname()[0]]
    local = host == "localhost" or host in found
    own = [a for a in found if local or not ipaddress.ip_address(a.partition("%")[0]).is_loopback]
    return list(dict.fromkeys(own + outward + found))
