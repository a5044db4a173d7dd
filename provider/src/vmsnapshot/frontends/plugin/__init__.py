"""The plugin that the Pulumi engine starts and talks to over gRPC."""

import gc
from typing import Final

# After how many new objects Python looks for garbage in circles; here, so that it counts for the imports.
# Its own 700 cost a tenth of a command's processor time, and 20,000 still a twentieth, in imports and in
# decoding answers, which leave no circles. A command about some hundred VMs makes fewer.
_OBJECTS_UNTIL_GARBAGE_COLLECTION: Final = 200_000

gc.set_threshold(_OBJECTS_UNTIL_GARBAGE_COLLECTION)
