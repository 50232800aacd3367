"""The Boss's own process: what it waits for. What it does then is in `_orders`.

It has one thread, so that it may fork: a worker is there within a millisecond or two.
"""

import gc
import os
import select
import socket

from nws.taylorism._orders import Orders
from nws.taylorism._wire import Wire

__all__ = ["main"]


def main(end: socket.socket) -> None:
    """Be the Boss of the master at the other end."""
    wire = Wire(end)
    orders = Orders(wire)
    # What is there now stays; workers need not copy its pages to find that out.
    gc.freeze()
    try:
        run(wire, orders)
    except EOFError:
        os._exit(1)  # the master is gone; its host ends what is left


def run(wire: Wire, orders: Orders) -> None:
    """Return when all is done and told. Raises `EOFError` where the master is gone."""
    poll = select.poll()
    poll.register(orders.crew, select.POLLIN)
    while not (orders.over and not wire.unsent):
        poll.register(wire, select.POLLIN | (select.POLLOUT if wire.unsent else 0))
        timeout_s = orders.timeout_s()
        poll.poll(None if timeout_s is None else timeout_s * 1000)
        try:
            orders.heard.extend(wire.receive())
            orders.turn()
            wire.flush()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            orders.crew.kill_all()
            raise EOFError from None
