"""How large and how many: settings of the gRPC server and of the channel to the engine."""

from __future__ import annotations

from typing import Final

# A sync gRPC server has one thread for each call under way. The engine runs as many resources at
# once as it is told to (`--parallel`), and a call that has no thread waits for another to end.
# Threads are started only when needed.
WORKERS: Final = 1024

# Cancel has threads of its own: it must get through however many calls are under way.
CANCEL_WORKERS: Final = 2

# Seconds that work under way has to stop, after cancellation, before the plugin ends anyway. The
# engine gives a plugin 5 seconds between the first signal and the kill.
GRACE: Final = 3.0

# Seconds that a message may take to be accepted by the engine. A suspended engine accepts none.
MESSAGE_TIMEOUT: Final = 5.0

# Seconds for which the engine's address must refuse until it counts as gone, while its process may be there.
# More than those 5: an engine that is ending ends its plugins itself.
ENGINE_REFUSES: Final = 10.0

_SIZES: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)

SERVER_OPTIONS: Final = (*_SIZES, ("grpc.so_reuseport", 0))

CHANNEL_OPTIONS: Final = (
    *_SIZES,
    ("grpc.enable_http_proxy", 0),  # the engine is on this machine, whatever http_proxy says
    # Not `min_reconnect_backoff_ms`: it is also the time that an attempt has, and a busy machine needs more.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
