"""Which partition a key goes to: by Kafka's default rule, so that every producer agrees."""

from __future__ import annotations

import numpy as np
from numba import njit

from exchange.records.values import Values


def partitions(keys: Values, count: int) -> np.ndarray:
    """The partition of each key, int64[n]: murmur2, made positive, modulo `count`; null keys are spread evenly.

    Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.

    >>> partitions(Values.of([b"440106199001011234"]), 4).tolist()
    [1]
    """
    out = np.empty(keys.rows, np.int64)
    _partitions(*keys, count, out)
    return out


@njit(nogil=True, cache=True)
def _partitions(buf, start, length, count, out):
    m = np.uint32(0x5BD1E995)
    for row in range(len(start)):
        at, size = start[row], length[row]
        if size < 0:
            out[row] = row % count
            continue
        h = np.uint32(0x9747B28C) ^ np.uint32(size)
        for i in range(size // 4):
            p = at + 4 * i
            k = np.uint32(buf[p]) | np.uint32(buf[p + 1]) << np.uint32(8)
            k |= np.uint32(buf[p + 2]) << np.uint32(16) | np.uint32(buf[p + 3]) << np.uint32(24)
            k = np.uint32(k * m)
            k ^= k >> np.uint32(24)
            h = np.uint32(np.uint32(h * m) ^ np.uint32(k * m))
        rest = at + size // 4 * 4
        left = size % 4
        if left == 3:
            h ^= np.uint32(buf[rest + 2]) << np.uint32(16)
        if left >= 2:
            h ^= np.uint32(buf[rest + 1]) << np.uint32(8)
        if left >= 1:
            h = np.uint32((h ^ np.uint32(buf[rest])) * m)
        h ^= h >> np.uint32(13)
        h = np.uint32(h * m)
        h ^= h >> np.uint32(15)
        out[row] = np.int64(h & np.uint32(0x7FFFFFFF)) % count
