"""What one client, and one key, may use."""

from typing import Final

SUBSCRIPTIONS: Final = 128
MESSAGES_PER_S: Final = 20
MESSAGES_AT_ONCE: Final = 40
MESSAGE_BYTES: Final = 64 << 10
#: Of all the sockets of one key together.
KEY_MESSAGES_PER_S: Final = 400
KEY_MESSAGES_AT_ONCE: Final = 4000
#: Sockets that have yet to show a key, of everybody together.
STRANGERS: Final = 512
#: Events of each topic kept for clients that come back, and for those that are behind.
HISTORY: Final = 4096
#: Answers and stretches of events that one client may be owed at once.
OUTBOX: Final = 4 * SUBSCRIPTIONS
#: Seconds from the first byte of a request, or from the connection, to its last byte.
REQUEST_WITHIN_S: Final = 10.0
#: Seconds to show a key, for clients that can send no header.
AUTHENTICATE_WITHIN_S: Final = 10.0
#: A connection is never quiet for longer than this.
HEARTBEAT_S: Final = 15.0
#: After a restart, clients are asked to come back spread over so many seconds.
COME_BACK_WITHIN_S: Final = 5.0
#: One that was not heard for so many half heartbeats, although pinged, is dead.
SILENT_BEATS: Final = 4
