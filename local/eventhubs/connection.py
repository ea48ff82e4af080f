"""One TCP connection: headers, SASL, frames, open and close, idle time-outs and back-pressure. Edge.

Whatever a client sends, the worst that happens is that its own connection is closed.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from pegel.local.eventhubs import conditions, frames, message, requests
from pegel.local.eventhubs.attaching import Asker
from pegel.local.eventhubs.cbs import Authority, Grant
from pegel.local.eventhubs.conditions import MalformedError
from pegel.local.eventhubs.frames import Attach, Begin, Detach, Flow, Open, Performative, Transfer
from pegel.local.eventhubs.hubs import Namespace
from pegel.local.eventhubs.session import Session

LOG = logging.getLogger(__name__)

MAX_FRAME_SIZE = 65_536
IDLE_SECONDS = 240.0
"""A connection on which nothing comes for this long is closed, as the service does."""
_CHANNEL_MAX = 255
_HIGH_WATER_BYTES = 1 << 20
_HEADER = 8


class Connection(asyncio.Protocol):
    """The server's side of a connection.

    Args:
        namespace: the hubs.
        authority: verifies tokens.
        connections: the server's set of live connections, in which this one keeps itself.
    """

    def __init__(self, namespace: Namespace, authority: Authority, connections: set["Connection"]) -> None:
        self._namespace = namespace
        self._authority = authority
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._step: Callable[[bytes], None] = self._on_sasl_header
        self._wants_header = True
        self._sessions: dict[int, Session] = {}
        self._grants: list[Grant] = []
        self._heard = self._spoken = self._loop.time()
        self._empty_every: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.max_frame_size = 512
        self.is_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._connections.add(self)
        self._timer = self._loop.call_later(IDLE_SECONDS, self._on_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: its links leave their partitions and groups."""
        del exc
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._transport = None

    def pause_writing(self) -> None:
        """The client reads slower than its links send."""
        self.is_full = True

    def resume_writing(self) -> None:
        """There is room again."""
        self.is_full = False
        self._guard(self._pump)

    def _pump(self) -> None:
        for session in tuple(self._sessions.values()):
            session.pump()

    def data_received(self, data: bytes) -> None:
        """Take what came, frame by frame."""
        self._heard = self._loop.time()
        self._buffer += data
        self._guard(self._consume)

    def write(self, data: bytes) -> None:
        """Send bytes; on a connection that is gone they are dropped."""
        if self._transport is not None and not self._transport.is_closing():
            self._spoken = self._loop.time()
            self._transport.write(data)

    def later(self, action: Callable[[], None]) -> None:
        """Run something soon, if the connection still lives then."""
        self._loop.call_soon(lambda: self._guard(action) if self._transport is not None else None)

    def fail(self, condition: str, description: str) -> None:
        """Close with an error."""
        self.write(frames.closed(frames.error(condition, description)))
        self._close()

    def abort(self) -> None:
        """Close without waiting for a client that does not read."""
        if self._transport is not None:
            self._transport.abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _guard(self, action: Callable[[], object]) -> None:
        try:
            action()
        except MalformedError as error:
            self.fail(conditions.DECODE_ERROR, f"{error}.")
        except Exception:
            LOG.exception("a connection is closed because of a defect of this server")
            self.fail(conditions.INTERNAL, "The server failed; its log says how.")

    def _consume(self) -> None:
        at = 0
        try:
            while len(self._buffer) - at >= _HEADER and self._transport and not self._transport.is_closing():
                size = _HEADER if self._wants_header else int.from_bytes(self._buffer[at : at + 4], "big")
                if not _HEADER <= size <= MAX_FRAME_SIZE:
                    self.fail(conditions.FRAMING, f"A frame of {size} bytes is not between 8 and {MAX_FRAME_SIZE}.")
                    break
                if len(self._buffer) - at < size:
                    break
                # A copy: a view would pin the buffer if a handler raised, and then it could not shrink.
                frame = bytes(self._buffer[at : at + size])
                at += size
                self._step(frame)
        finally:
            del self._buffer[:at]

    def _on_sasl_header(self, frame: bytes) -> None:
        self.write(frames.SASL_HEADER)
        if frame != frames.SASL_HEADER:
            self._close()
            return
        self.write(frames.sasl_mechanisms())
        self._step, self._wants_header = self._on_sasl_init, False

    def _on_sasl_init(self, frame: bytes) -> None:
        code, _, _ = frames.parse(_body(frame))
        if frame[5] != 1 or code != frames.SASL_INIT:
            raise MalformedError("sasl-init was expected")
        self.write(frames.sasl_outcome())
        self._step, self._wants_header = self._on_amqp_header, True

    def _on_amqp_header(self, frame: bytes) -> None:
        self.write(frames.AMQP_HEADER)
        if frame != frames.AMQP_HEADER:
            self._close()
            return
        self._step, self._wants_header = self._on_frame, False

    def _on_frame(self, frame: bytes) -> None:
        body = _body(frame)
        if not body:
            return
        code, performative, end = frames.parse(body)
        channel = int.from_bytes(frame[6:8], "big")
        if isinstance(performative, Open):
            self._on_open(performative)
        elif isinstance(performative, Begin):
            self._on_begin(channel, performative)
        elif code == frames.CLOSE:
            self.write(frames.closed())
            self._close()
        elif channel in self._sessions:
            self._on_session_frame(channel, code, performative, body, end)
        # A client may still detach links of a session that it has ended: nothing is left to do.

    def _on_session_frame(self, channel: int, code: int, performative: Performative, body: bytes, end: int) -> None:
        session = self._sessions[channel]
        if isinstance(performative, Transfer):
            session.on_transfer(performative, body[end:])
        elif isinstance(performative, Flow):
            session.on_flow(performative)
        elif isinstance(performative, Attach):
            session.on_attach(performative, body)
        elif isinstance(performative, Detach):
            session.on_detach(performative)
        elif code == frames.END:
            self._sessions.pop(channel).close()
            self.write(frames.ended(channel))

    def _on_open(self, opened: Open) -> None:
        self.max_frame_size = max(512, min(opened.max_frame_size or 1 << 32, 1 << 20))
        answer = frames.opened(
            container="pegel-local-eventhubs", max_frame_size=MAX_FRAME_SIZE, channel_max=_CHANNEL_MAX,
            idle_ms=int(IDLE_SECONDS * 1000),
        )  # fmt: skip
        self.write(answer)
        if opened.idle_time_out and self._timer is not None:
            self._empty_every = opened.idle_time_out / 2000
            self._timer.cancel()
            self._on_timer()

    def _on_begin(self, channel: int, begin: Begin) -> None:
        if channel in self._sessions or channel > _CHANNEL_MAX:
            raise MalformedError("a begin on a channel that is taken or too high")
        self._sessions[channel] = Session(self, channel, begin, self._asker)
        self.write(frames.begun(channel))

    def _asker(self, session: Session) -> Asker:
        def request(node: str, body: bytes) -> None:
            asked = message.read_request(body)
            if node == "$cbs":
                answer, grant = requests.put_token(asked, self._authority)
                if grant is not None:
                    self._grants = [held for held in self._grants if held.path != grant.path] + [grant]
            else:
                answer = requests.manage(asked, self._namespace, self._authority)
            session.answer(node, answer)

        return Asker(self._namespace, self._may_use, request)

    def _may_use(self, path: str) -> bool:
        now = self._authority.clock()
        return any(grant.covers(path, now) for grant in self._grants)

    def _on_timer(self) -> None:
        """Send an empty frame if the client asked for them, and close if it has been silent for too long."""
        now = self._loop.time()
        if now - self._heard >= IDLE_SECONDS:
            self.fail(conditions.FORCED, f"Nothing came for {IDLE_SECONDS:.0f} seconds.")
            return
        due = self._heard + IDLE_SECONDS
        if self._empty_every is not None:
            if now - self._spoken >= self._empty_every:
                self.write(frames.EMPTY_FRAME)
            due = min(due, self._spoken + self._empty_every)
        self._timer = self._loop.call_at(due, self._on_timer)


def _body(frame: bytes) -> bytes:
    """A frame without its header, which is as long as its fifth byte says, in words of four bytes."""
    start = 4 * frame[4]
    if not _HEADER <= start <= len(frame):
        raise MalformedError("a frame's header is longer than the frame")
    return frame[start:]
