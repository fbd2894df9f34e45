"""What one client may use."""

from typing import Final

SUBSCRIPTIONS: Final = 128
MESSAGES_PER_S: Final = 20
MESSAGES_AT_ONCE: Final = 40
MESSAGE_BYTES: Final = 64 << 10
#: Events of each topic kept for clients that come back, and for those that are behind.
HISTORY: Final = 4096
#: Answers and stretches of events that one client may be owed at once.
OUTBOX: Final = 4 * SUBSCRIPTIONS
#: Seconds to show a key, for clients that can send no header.
AUTHENTICATE_WITHIN_S: Final = 10.0
#: A connection is never quiet for longer than this.
HEARTBEAT_S: Final = 15.0
#: One that was not heard for so many half heartbeats, although pinged, is dead.
SILENT_BEATS: Final = 4
