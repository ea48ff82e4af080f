"""One session of a connection: its windows, its links by handle, and what each performative does to them. Edge.

The client's channel and handle numbers are used for the server's side too.
"""

from collections.abc import Callable
from typing import Protocol

from pegel.local.eventhubs import frames
from pegel.local.eventhubs.attaching import Asker, open_link
from pegel.local.eventhubs.conditions import MalformedError, RefusedError
from pegel.local.eventhubs.frames import Attach, Begin, Detach, Flow, Transfer
from pegel.local.eventhubs.links import MAX_MESSAGE_SIZE, Inbound, Link, Replies

_WRAP = 0xFFFFFFFF
"""Transfer ids are serial numbers of 32 bits."""


class Wire(Protocol):
    """What a session needs of its connection."""

    max_frame_size: int
    is_full: bool

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def later(self, action: Callable[[], None]) -> None:
        """Run something soon; if it fails the connection is closed."""


class Session:
    """A session, as the client began it on ``channel``."""

    def __init__(self, wire: Wire, channel: int, begin: Begin, asker: Callable[["Session"], Asker]) -> None:
        self._wire = wire
        self._channel = channel
        self._asker = asker(self)
        self._next_in = begin.next_outgoing_id or 0
        self._next_out = 0
        self._window = begin.incoming_window or 0
        self._delivery = 0
        self._links: dict[int, Link] = {}
        self._answers: dict[str, Replies] = {}
        self._leaving: set[int] = set()

    @property
    def can_send(self) -> bool:
        """Whether the client's window is open and its socket takes more."""
        return self._window > 0 and not self._wire.is_full

    def send_message(self, handle: int, payload: bytes) -> bool:
        """Send a settled message, or return False if the window is too narrow for all of its frames."""
        pieces = frames.transfers(self._channel, handle, self._delivery, payload, self._wire.max_frame_size)
        if len(pieces) > self._window:
            return False
        self._window -= len(pieces)
        self._next_out = (self._next_out + len(pieces)) & _WRAP
        self._delivery = (self._delivery + 1) & _WRAP
        self._wire.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        return True

    def send_credit(self, handle: int, delivery_count: int, credit: int) -> None:
        """Grant credit to a link on which the client sends."""
        self._wire.write(
            frames.flowed(
                self._channel, next_in=self._next_in, next_out=self._next_out,
                handle=handle, delivery_count=delivery_count, credit=credit,
            )
        )  # fmt: skip

    def settle(self, delivery_id: int, refusal: RefusedError | None) -> None:
        """Accept or reject a delivery."""
        if refusal is None:
            self._wire.write(frames.accepted(self._channel, delivery_id))
        else:
            self._wire.write(frames.rejected(self._channel, delivery_id, refusal.condition, refusal.description))

    def detach(self, handle: int, reason: RefusedError) -> None:
        """Close a link from this side; what the client still sends on it is dropped."""
        self._forget(handle)
        self._leaving.add(handle)
        self._wire.write(frames.detached(self._channel, handle, frames.error(reason.condition, reason.description)))

    def later(self, action: Callable[[], None]) -> None:
        """Run something soon, in the care of the connection."""
        self._wire.later(action)

    def answer(self, node: str, payload: bytes) -> None:
        """Send an answer on the link of ``$cbs`` or ``$management``; a client without one gets none."""
        if node in self._answers:
            self._answers[node].answer(payload)

    def on_attach(self, attach: Attach, body: bytes) -> None:
        """Open a link, or refuse it by an attach without ends and a detach."""
        handle = attach.handle or 0
        if handle in self._links:
            raise MalformedError("an attach uses the handle of another link")
        self._leaving.discard(handle)
        try:
            link = open_link(attach, self, self._asker)
        except RefusedError as refusal:
            self._wire.write(frames.attach_refused(self._channel, attach, body))
            self.detach(handle, refusal)
            return
        self._links[handle] = link
        if isinstance(link, Replies):
            self._answers[str(attach.source.value[0])] = link
        self._wire.write(frames.attached(self._channel, attach, body, max_message_size=MAX_MESSAGE_SIZE))
        link.opened()

    def on_flow(self, flow: Flow) -> None:
        """Take the client's window, and the credit of a link."""
        received = flow.next_incoming_id or 0
        window = (received + (flow.incoming_window or 0) - self._next_out) & _WRAP
        # A negative difference wraps to the upper half: more is on its way than the client will take.
        self._window = window if window < 1 << 31 else 0
        if flow.handle in self._links:
            self._links[flow.handle].on_flow(flow)
        elif flow.handle is not None and flow.handle not in self._leaving:
            raise MalformedError("a flow on a handle that has no link")
        self.pump()

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Hand a frame of a message to its link."""
        self._next_in = (self._next_in + 1) & _WRAP
        handle = transfer.handle or 0
        link = self._links.get(handle)
        if isinstance(link, Inbound):
            link.on_transfer(transfer, payload)
        elif handle not in self._leaving:
            raise MalformedError("a transfer on a handle that has no link to send on")

    def on_detach(self, detach: Detach) -> None:
        """Close a link and say so, or take the client's answer to a detach of ours."""
        handle = detach.handle or 0
        if handle in self._leaving:
            self._leaving.discard(handle)
        elif handle in self._links:
            self._forget(handle)
            self._wire.write(frames.detached(self._channel, handle))

    def pump(self) -> None:
        """Let every link send what it may: the window or the socket has opened."""
        for link in tuple(self._links.values()):
            link.pump()

    def close(self) -> None:
        """Close all links without a word."""
        for handle in tuple(self._links):
            self._forget(handle)

    def _forget(self, handle: int) -> None:
        link = self._links.pop(handle, None)
        if link is not None:
            link.close()
            self._answers = {node: replies for node, replies in self._answers.items() if replies is not link}
