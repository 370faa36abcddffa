"""Batches scanned and built by kernels equal what kafka-python reads and writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

from exchange.records import build, header
from exchange.records.build import Batch
from exchange.records.header import RawBatch
from exchange.records.partition import partitions
from exchange.records.scan import MalformedBatchError, Run, scan
from exchange.records.values import Values

KEYS = st.none() | st.binary(max_size=40)
VALUES = st.none() | st.binary(max_size=300)
HEADERS = st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=20)), max_size=3)
RECORDS = st.lists(st.tuples(st.integers(0, 2**41), KEYS, VALUES, HEADERS), min_size=1, max_size=40)


def kafka_batch(records: list, codec: int = 0, base_offset: int = 0) -> RawBatch:
    builder = MemoryRecordsBuilder(2, codec, 1 << 24)
    for timestamp, key, value, headers in records:
        builder.append(timestamp, key, value, headers)
    builder.close()
    data = bytearray(builder.buffer())
    data[:8] = base_offset.to_bytes(8, "big")
    return RawBatch("t", 0, header.parse(data), memoryview(bytes(data)), 0)


def kafka_read(batches: list[Batch]) -> list:
    read = []
    for batch in batches:
        header.stamp(batch.head, batch.body, 7, 0, 0, True)
        for parsed in MemoryRecords(bytes(batch.data)):
            assert parsed.validate_crc()
            assert parsed.last_offset_delta + 1 == parsed.records_count == batch.records
            found = [(r.timestamp, r.key, r.value, r.headers) for r in parsed]
            assert parsed.max_timestamp == max(r[0] for r in found)
            read += found
    return read


def rows_of(run: Run) -> list:
    columns = (run.offset.tolist(), run.timestamp.tolist(), run.keys.tolist(), run.values.tolist())
    return list(zip(*columns, strict=True))


@given(st.lists(RECORDS, min_size=1, max_size=3), st.integers(0, 4))
def test_scan_finds_what_kafka_python_wrote(parts: list, codec: int) -> None:
    batches, expected, offset = [], [], 1000
    for part in parts:
        batches.append(kafka_batch(part, codec, offset))
        expected += [(offset + i, timestamp, key, value) for i, (timestamp, key, value, _) in enumerate(part)]
        offset += len(part) + 3  # a gap, as transaction markers leave
    assert rows_of(scan(batches)) == expected


@given(RECORDS, st.integers(0, 50))
def test_scan_leaves_out_what_lies_before_the_wanted_offset(records: list, wanted: int) -> None:
    batch = kafka_batch(records)._replace(from_offset=wanted)
    assert [row[0] for row in rows_of(scan([batch]))] == list(range(wanted, len(records)))


@given(RECORDS, st.sets(st.integers(0, 39)), st.sampled_from([200, 900_000]))
def test_copied_records_are_the_same_to_kafka_python(records: list, chosen: set[int], max_bytes: int) -> None:
    run = scan([kafka_batch(records)])
    rows = np.array(sorted(i for i in chosen if i < len(records)), np.int64)
    assert kafka_read(build.copy(run, rows, max_bytes)) == [records[i] for i in rows]


@given(RECORDS, st.sets(st.integers(0, 39)), st.sampled_from([200, 900_000]), HEADERS)
def test_headers_are_added_behind_a_records_own(records: list, chosen: set[int], max_bytes: int, added: list) -> None:
    run = scan([kafka_batch([(t, k, v, own * 30) for t, k, v, own in records])])
    rows = np.array(sorted(i for i in chosen if i < len(records)), np.int64)
    made = build.copy_with(run, rows, build.encode_headers(dict(added)), max_bytes)
    due = [(t, k, v, own * 30 + list(dict(added).items())) for t, k, v, own in records]
    assert kafka_read(made) == [due[i] for i in rows]


@given(RECORDS, st.sampled_from([200, 900_000]))
def test_packed_records_are_the_same_to_kafka_python(records: list, max_bytes: int) -> None:
    timestamps, keys, values, _ = zip(*records, strict=True)
    packed = build.pack(keys, values, timestamps, max_bytes=max_bytes)
    assert kafka_read(packed) == [(t, k, v, []) for t, k, v in zip(timestamps, keys, values, strict=True)]


@given(st.dictionaries(st.text(max_size=10), st.binary(max_size=200), max_size=4))
def test_headers_are_the_same_to_kafka_python(headers: dict[str, bytes]) -> None:
    one = np.array([0])
    made = build.join(Values.of([b"k"]), Values.of([b"v"]), one, one, headers=build.encode_headers(headers))
    assert kafka_read(made) == [(0, b"k", b"v", list(headers.items()))]


@given(st.lists(KEYS, min_size=1), st.integers(1, 100))
def test_keys_go_to_kafkas_partition_and_nulls_are_dealt_out(keys: list[bytes | None], count: int) -> None:
    due = [i % count if key is None else (murmur2(key) & 0x7FFFFFFF) % count for i, key in enumerate(keys)]
    assert partitions(Values.of(keys), count).tolist() == due


@given(RECORDS, st.integers(0, 10_000), st.integers(0, 255))
def test_a_broken_batch_is_refused_or_read_within_its_bounds(records: list, at: int, byte: int) -> None:
    batch = kafka_batch(records)
    data = bytearray(batch.data)
    data[header.HEADER_BYTES + at % (len(data) - header.HEADER_BYTES)] = byte
    try:
        run = scan([batch._replace(data=memoryview(bytes(data)))])
    except MalformedBatchError:
        return
    for strings in (run.keys, run.values, run.tails):
        assert (strings.start + strings.length).max(initial=0) <= len(strings.buf)


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_decompression_bomb_gives_rows_without_content(codec: int) -> None:
    bomb = kafka_batch([(0, b"k", bytes(3_000_000), [])] * 3, codec, 50)
    assert len(bomb.data) < 600_000
    run = scan([bomb], max_bytes=1_000_000)
    assert run.offset.tolist() == [50, 51, 52]
    assert run.tails.tolist() == run.values.tolist() == [None] * 3


def test_log_append_time_is_the_time_of_every_record() -> None:
    batch = kafka_batch([(5, b"k", b"v", []), (9, b"k", b"v", [])])
    header_ = batch.header._replace(attributes=header.LOG_APPEND_TIME, max_timestamp=77)
    assert scan([batch._replace(header=header_)]).timestamp.tolist() == [77, 77]
