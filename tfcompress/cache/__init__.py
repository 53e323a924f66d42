"""Results kept between runs, by the content of all that they depend on.

`fingerprint` names a result, a `Store` keeps its bytes, and `remembered` computes one only where the store in use has
not got it.  A store is trusted with nothing: an entry counts only if its checksum holds, and its bytes are decoded by
our own formats (`codec`, `trees`), which build data and run no code.
"""

from tfcompress.cache.codec import decode, encode
from tfcompress.cache.fingerprints import fingerprint
from tfcompress.cache.memory import remembered, store_in_use, using
from tfcompress.cache.store import Store, default_folder, open_store
from tfcompress.cache.whole_files import whole_file, write_whole

__all__ = [
    "Store",
    "decode",
    "default_folder",
    "encode",
    "fingerprint",
    "open_store",
    "remembered",
    "store_in_use",
    "using",
    "whole_file",
    "write_whole",
]
