"""The error conditions that Event Hubs answers with, and the exception that carries one to the wire. Pure."""

NOT_FOUND = "amqp:not-found"
UNAUTHORIZED = "amqp:unauthorized-access"
DECODE_ERROR = "amqp:decode-error"
INTERNAL = "amqp:internal-error"
LIMIT_EXCEEDED = "amqp:resource-limit-exceeded"
STOLEN = "amqp:link:stolen"
MESSAGE_TOO_LARGE = "amqp:link:message-size-exceeded"
FRAMING = "amqp:connection:framing-error"
FORCED = "amqp:connection:forced"
ARGUMENT = "com.microsoft:argument-error"
OUT_OF_RANGE = "com.microsoft:argument-out-of-range"


class RefusedError(Exception):
    """A request that is answered with an error; the connection goes on.

    Args:
        condition: one of the conditions above.
        description: one sentence for whoever reads the client's log; never a key, a token or an event.
    """

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(condition, description)
        self.condition = condition
        self.description = description


class MalformedError(Exception):
    """Bytes that are not AMQP 1.0; the connection is closed."""
