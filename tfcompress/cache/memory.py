"""The store in use, and values that are computed only where it has not got them.

What a function returns never depends on the store, only how long it takes; so the store is not handed through every
function, but is that of the surrounding `using` block, as the level of a log is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TypeVar

from tfcompress.cache.codec import decode, encode
from tfcompress.cache.fingerprints import fingerprint, surroundings
from tfcompress.cache.store import Store

__all__ = ["remembered", "store_in_use", "using"]

_T = TypeVar("_T")
_NOTHING = Store(None)
_current: ContextVar[Store] = ContextVar("tfcompress_store", default=_NOTHING)


def store_in_use() -> Store:
    """The store of the surrounding `using`; one that keeps nothing outside of any."""
    return _current.get()


@contextlib.contextmanager
def using(store: Store) -> Iterator[None]:
    """Keep results in `store` within the block."""
    token = _current.set(store)
    try:
        yield
    finally:
        _current.reset(token)


def remembered(kind: type[_T], name: str, depends_on: Sequence[object], compute: Callable[[], _T]) -> _T:
    """What `compute` returns, or what it returned before for the same `depends_on`.

    Args:
        kind: the type of the value, as `codec.decode` takes it.
        name: of what is computed.
        depends_on: all that the value depends on, see `fingerprint`; our own code, the libraries and the machine count
            without being named.  None among them means that something has no name: then it is computed always.
        compute: computes the value; what it raises is not kept.
    """
    store = store_in_use()
    if store.folder is None or any(part is None for part in depends_on):
        return compute()
    key = fingerprint(name, depends_on, surroundings())
    content = store.get(key)
    if content is not None:
        with contextlib.suppress(ValueError):
            return decode(kind, content)
    value = compute()
    store.put(key, encode(value))
    return value
