"""Sockets for kafka-python's clients: closed at once when they do not connect.

kafka-python 3.0 leaves them to the garbage collector, two a second for each client while Kafka is away. Our collector
runs rarely (`backbone/gc_tuning.py`), so after some hours a process would have no file descriptor left.
"""

import socket
from typing import Any

from kafka.net import KafkaNetSocket

DIRECT = "direct://"  # as kafka-python's `proxy_url`: how its clients find the class below


class DirectSocket(KafkaNetSocket):  # type: ignore[misc]
    """Without a proxy, as kafka-python's own."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: socket.socket, *args: Any, **kwargs: Any) -> socket.socket:
        """As kafka-python's; what it raises is raised with the socket closed."""
        try:
            connected: socket.socket = await super().sock_connect(net, sock, *args, **kwargs)
        except BaseException:
            sock.close()
            raise
        return connected
