"""Decompresses record batches, with a limit on the size of the result."""

from __future__ import annotations

import io
import zlib

import cramjam
import lz4.frame
import zstandard

from exchange.errors import RecordError

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16


class OversizedBatchError(RecordError):
    """A compressed batch holds more than the limit, or cannot be decompressed."""

    code = "batch-codec"
    remedy = "let the publisher write smaller batches, in one of Kafka's codecs"


def decompress(codec: int, data: memoryview, max_bytes: int) -> bytes:
    """The records section of a batch; raises OversizedBatchError if it exceeds `max_bytes` or is not valid.

    Never produces more than `max_bytes` + 1 bytes on the way, so a decompression bomb costs no memory.
    """
    try:
        out = _DECODERS[codec](data, max_bytes)
    except (KeyError, ValueError, OverflowError, EOFError, zlib.error, RuntimeError, zstandard.ZstdError) as error:
        raise OversizedBatchError(f"a batch cannot be decompressed (codec {codec})") from error
    except cramjam.DecompressionError as error:
        raise OversizedBatchError(f"a batch cannot be decompressed (codec {codec})") from error
    if len(out) > max_bytes:
        raise OversizedBatchError(f"a batch decompresses to more than {max_bytes} bytes")
    return out


def _gzip(data: memoryview, max_bytes: int) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(data, max_bytes + 1)


def _lz4(data: memoryview, max_bytes: int) -> bytes:
    return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=max_bytes + 1))


def _zstd(data: memoryview, max_bytes: int) -> bytes:
    window = max(max_bytes, 1 << 20)
    return zstandard.ZstdDecompressor(max_window_size=window).stream_reader(data).read(max_bytes + 1)


def _snappy(data: memoryview, max_bytes: int) -> bytes:
    """Snappy in xerial's framing (Java clients) or as one raw block (librdkafka)."""
    if bytes(data[:8]) != _XERIAL_MAGIC:
        return _snappy_block(data, max_bytes)
    out, at = io.BytesIO(), _XERIAL_HEADER_BYTES
    while at < len(data) and out.tell() <= max_bytes:
        size = int.from_bytes(data[at : at + 4], "big")
        at += 4
        if size > len(data) - at:
            raise ValueError("a snappy block leads outside of the batch")
        out.write(_snappy_block(data[at : at + size], max_bytes))
        at += size
    return out.getvalue()


def _snappy_block(block: memoryview, max_bytes: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > max_bytes:
        raise OversizedBatchError(f"a batch decompresses to more than {max_bytes} bytes")
    return bytes(cramjam.snappy.decompress_raw(block))


_DECODERS = {GZIP: _gzip, SNAPPY: _snappy, LZ4: _lz4, ZSTD: _zstd}
