"""What one client may use."""

from typing import Final

SUBSCRIPTIONS: Final = 128
MESSAGES_PER_S: Final = 20
MESSAGES_AT_ONCE: Final = 40
MESSAGE_BYTES: Final = 64 << 10
#: Events kept for clients that come back. An outbox holds more than that, or a client that catches
#: up on everything at once would look too slow.
HISTORY: Final = 2048
OUTBOX: Final = 2 * HISTORY
#: Seconds to show a key, for clients that can send no header.
AUTHENTICATE_WITHIN_S: Final = 10.0
#: A connection is never quiet for longer than this.
HEARTBEAT_S: Final = 15.0
#: One that was not heard for so many half heartbeats, although pinged, is dead.
SILENT_BEATS: Final = 4
