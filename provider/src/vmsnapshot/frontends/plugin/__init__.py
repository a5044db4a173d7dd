"""The plugin that the Pulumi engine starts and talks to over gRPC."""

import gc
from typing import Final

# After how many new objects Python looks for garbage in circles until all is loaded: never. Its own 700 cost
# a tenth of the processor time that a plugin takes to be ready. Set here, so that it counts for the imports.
_UNTIL_LOADED: Final = 200_000

gc.set_threshold(_UNTIL_LOADED)
