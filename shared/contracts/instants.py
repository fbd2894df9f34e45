"""When something is on the wire. Beside `terms`, because the supervisor, which reads settings only,
would otherwise hold a third more memory for a decoder that it never uses.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

#: A time that knows its zone; one without is refused at the door.
Instant = Annotated[datetime, Meta(tz=True)]
