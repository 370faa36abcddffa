"""Who may do what on Kafka: every API that matters × every kind of resource × every kind of principal.

The tables are what has to be: a letter for each principal that the broker lets do it, `.` for none.
`x` is the department `tax`, `n` its namesake by prefix `taxation`, `r` the router, `l` the ledger's
follower, `a` the administrator: he shows that each request is in order, whoever else is refused.
Requests are sent as Kafka's protocol has them, so that no client's caution stands before the broker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.protocol.admin import (
    AlterClientQuotasRequest,
    AlterConfigsRequest,
    AlterPartitionReassignmentsRequest,
    AlterUserScramCredentialsRequest,
    CreateAclsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteAclsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeClientQuotasRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    DescribeLogDirsRequest,
    DescribeProducersRequest,
    DescribeQuorumRequest,
    DescribeTransactionsRequest,
    DescribeUserScramCredentialsRequest,
    ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
    ListPartitionReassignmentsRequest,
    UpdateFeaturesRequest,
)
from kafka.protocol.consumer import (
    FetchRequest,
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListOffsetsRequest,
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetFetchRequest,
    OffsetForLeaderEpochRequest,
    SyncGroupRequest,
)
from kafka.protocol.metadata import FindCoordinatorRequest, MetadataRequest
from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
    ProduceRequest,
    TxnOffsetCommitRequest,
    WriteTxnMarkersRequest,
)

from exchange import credentials, names
from exchange.bus import Cluster, users
from exchange.bus.admin import Admin
from exchange.bus.topic import Topic
from exchange.contract.load import load
from exchange.ledger.entry import SCHEMA_FILE
from exchange.plan.apply import apply, read_actual
from exchange.plan.plan import make_plan
from exchange.records.build import pack
from exchange.records.header import stamp
from exchange.schema import avro

PRINCIPALS = {"x": "tax", "n": "taxation", "r": "exchange.router", "l": "exchange.ledger", "a": "exchange.admin"}
Request = Callable[[str, str], Any]
REFUSED = {29, 30, 31, 53}  # topic, group, cluster, transactional id: authorization failed

TOPICS = {
    "sx": "subject.tax.income",
    "sn": "subject.taxation.vehicle",
    "ix": "inbox.tax.taxation.vehicle",
    "in": "inbox.taxation.tax.income",
    "qx": "quarantine.tax.income",
    "qn": "quarantine.taxation.vehicle",
    "cx": "cursor.tax",
    "cn": "cursor.taxation",
    "led": "exchange.ledger",
    "con": "exchange.contract",
    "quo": "exchange.quota",
    "sch": "_schemas",
    "oth": "subject.taxes",
}
ON_TOPICS = """
                          sx    sn    ix    in    qx    qn    cx    cn    led   con   quo   sch   oth
Produce                   xa    na    ra    ra    ra    ra    xa    na    ra    a     ra    a     a
AddPartitionsToTxn        xa    na    ra    ra    ra    ra    xa    na    ra    a     ra    a     a
Fetch                     rla   rla   xla   nla   xla   nla   xla   nla   rla   xnrla xnrla xnrla rla
ListOffsets               xrla  nrla  xrla  nrla  xrla  nrla  xla   nla   rla   xnrla xnrla xnrla rla
OffsetForLeaderEpoch      xrla  nrla  xrla  nrla  xrla  nrla  xla   nla   rla   xnrla xnrla xnrla rla
Metadata                  xrla  nrla  xrla  nrla  xrla  nrla  xla   nla   rla   xnrla xnrla xnrla rla
DescribeProducers         rla   rla   xla   nla   xla   nla   xla   nla   rla   xnrla xnrla xnrla rla
OffsetCommit              ra    ra    xa    na    xa    na    xa    na    ra    xnra  xnra  xnra  ra
TxnOffsetCommit           ra    ra    xa    na    xa    na    xa    na    ra    xnra  xnra  xnra  ra
OffsetFetch               xra   nra   xra   nra   xra   nra   xa    na    ra    xnra  xnra  xnra  ra
OffsetDelete              a     a     a     a     a     a     a     a     a     a     a     a     a
DescribeConfigs           a     a     a     a     a     a     a     a     a     a     a     a     a
AlterConfigs              a     a     a     a     a     a     a     a     a     a     a     a     a
IncrementalAlterConfigs   a     a     a     a     a     a     a     a     a     a     a     a     a
CreateTopics              a     a     a     a     a     a     a     a     a     a     a     a     a
CreatePartitions          a     a     a     a     a     a     a     a     a     a     a     a     a
DeleteRecords             a     a     a     a     a     a     a     a     a     a     a     a     a
ElectLeaders              a     a     a     a     a     a     a     a     a     a     a     a     a
AlterReassignments        a     a     a     a     a     a     a     a     a     a     a     a     a
DeleteTopics              a     a     a     a     a     a     a     a     a     a     a     a     a
"""

GROUPS = {"gx": "tax.sink", "gn": "taxation.sink", "rou": "exchange.router", "rep": "exchange.router.replay.1",
          "led": "exchange.ledger", "bare": "tax", "oth": "taxes"}  # fmt: skip
ON_GROUPS = """
                          gx    gn    rou   rep   led   bare  oth
JoinGroup                 xa    na    ra    ra    a     a     a
SyncGroup                 xa    na    ra    ra    a     a     a
Heartbeat                 xa    na    ra    ra    a     a     a
OffsetCommit              xa    na    ra    ra    a     a     a
OffsetFetch               xa    na    rla   ra    a     a     a
AddOffsetsToTxn           xa    na    ra    ra    a     a     a
TxnOffsetCommit           xa    na    ra    ra    a     a     a
LeaveGroup                xa    na    ra    ra    a     a     a
DescribeGroups            xa    na    rla   ra    a     a     a
OffsetDelete              a     a     a     a     a     a     a
DeleteGroups              a     a     a     a     a     a     a
"""

TRANSACTIONS = {"tx": "tax.connector", "tn": "taxation.connector", "rou": "exchange.router.1",
                "rep": "exchange.router.replay.1", "bare": "tax", "oth": "taxes.1"}  # fmt: skip
ON_TRANSACTIONS = """
                          tx    tn    rou   rep   bare  oth
InitProducerId            xa    na    ra    ra    a     a
AddPartitionsToTxn        xa    na    ra    ra    a     a
AddOffsetsToTxn           xa    na    ra    ra    a     a
TxnOffsetCommit           xa    na    ra    ra    a     a
Produce                   xa    na    ra    ra    a     a
EndTxn                    xa    na    ra    ra    a     a
DescribeTransactions      xa    na    ra    ra    a     a
"""

ON_CLUSTER = """
                              cluster
InitProducerId                xnra
CreateAcls                    a
DescribeAcls                  a
DeleteAcls                    a
AlterUserScramCredentials     a
DescribeUserScramCredentials  a
AlterClientQuotas             a
DescribeClientQuotas          a
DescribeConfigs               a
AlterConfigs                  a
IncrementalAlterConfigs       a
UpdateFeatures                a
ListPartitionReassignments    a
DescribeQuorum                a
DescribeLogDirs               a
WriteTxnMarkers               a
"""

# What the broker answers besides 0 where it lets one do it and the state is not such, by API.
IN_ORDER = {
    "AddPartitionsToTxn": {47, 48, 49, 51},
    "AddOffsetsToTxn": {47, 48, 49, 51},
    "TxnOffsetCommit": {47, 48, 49, 15, 22, 25},
    "EndTxn": {47, 48, 49, 51},
    "Produce": {47, 48, 49, 59, 87, 120},
    "DescribeTransactions": {105},
    "OffsetDelete": {69, 86},
    "DeleteGroups": {68, 69},
    "JoinGroup": {79},
    "SyncGroup": {25},
    "Heartbeat": {25},
    "LeaveGroup": {25},
    "OffsetCommit": {25},
    "DescribeGroups": {69},
    "CreateTopics": {36},
    "DeleteRecords": {44},
    "ElectLeaders": {84},
    "AlterReassignments": {85},
    "AlterUserScramCredentials": {91},
    "UpdateFeatures": {95, 42},
    "WriteTxnMarkers": {47, 59},
}


def batch(*, transactional: bool) -> bytes:
    """One record; in a transaction, as of a producer that the broker does not know."""
    made = pack([b"k"], [b"v"], [0])[0]
    stamp(made.head, made.body, *((1_000_000, 0, 0) if transactional else (-1, -1, -1)), transactional)
    return bytes(made.data)


GROUP = {"x": "tax.matrix", "n": "taxation.matrix", "r": "exchange.router", "l": "exchange.ledger", "a": "matrix"}
TRANSACTION = {who: f"{group}.1" for who, group in GROUP.items()}
READABLE = {"x": TOPICS["ix"], "n": TOPICS["in"], "r": TOPICS["sx"], "l": TOPICS["sx"], "a": TOPICS["sx"]}
WRITABLE = {"x": TOPICS["sx"], "n": TOPICS["sn"], "r": TOPICS["ix"], "l": TOPICS["ix"], "a": TOPICS["ix"]}
_TOPIC, _BROKER, _SET, _ANY, _LITERAL = 2, 4, 0, 1, 3  # Kafka's numbers for kinds of resources, operations, patterns
_MS = 10_000


def produce(topic: str, transaction: str | None = None) -> Any:
    data = ProduceRequest.TopicProduceData
    partition = data.PartitionProduceData(index=0, records=batch(transactional=transaction is not None))
    topics = [data(name=topic, partition_data=[partition])]
    return ProduceRequest(transaction, -1, _MS, topics, version=9)


def add_partitions(transaction: str, topic: str) -> Any:
    return AddPartitionsToTxnRequest(transaction, 1_000_000, 0, [(topic, [0])], version=3)


def offset_commit(group: str, topic: str) -> Any:
    return OffsetCommitRequest(group, -1, "", [(topic, [(0, 0, "")])], version=5)


def txn_offset_commit(transaction: str, group: str, topic: str) -> Any:
    return TxnOffsetCommitRequest(transaction, group, 1_000_000, 0, [(topic, [(0, 0, "")])], version=1)


def offset_delete(group: str, topic: str) -> Any:
    return OffsetDeleteRequest(group, [(topic, [(0,)])], version=0)


def offset_fetch(group: str, topic: str) -> Any:
    return OffsetFetchRequest(group, [(topic, [0])], version=5)


# What is asked, by API: of a letter of PRINCIPALS and the name of a resource.
TOPIC_REQUESTS: dict[str, Request] = {
    "Produce": lambda who, topic: produce(topic),
    "AddPartitionsToTxn": lambda who, topic: add_partitions(TRANSACTION[who], topic),
    "Fetch": lambda who, topic: FetchRequest(-1, 0, 0, 1 << 20, 0, [(topic, [(0, 0, 1 << 20)])], version=4),
    "ListOffsets": lambda who, topic: ListOffsetsRequest(-1, 0, [(topic, [(0, -1)])], version=2),
    "OffsetForLeaderEpoch": lambda who, topic: OffsetForLeaderEpochRequest([(topic, [(0, -1, 0)])], version=2),
    "Metadata": lambda who, topic: MetadataRequest([(topic,)], False, version=4),
    "DescribeProducers": lambda who, topic: DescribeProducersRequest([(topic, [0])], version=0),
    "OffsetCommit": lambda who, topic: offset_commit(GROUP[who], topic),
    "TxnOffsetCommit": lambda who, topic: txn_offset_commit(TRANSACTION[who], GROUP[who], topic),
    "OffsetFetch": lambda who, topic: offset_fetch(GROUP[who], topic),
    "OffsetDelete": lambda who, topic: offset_delete(GROUP[who], topic),
    "DescribeConfigs": lambda who, topic: DescribeConfigsRequest([(_TOPIC, topic, None)], False, version=1),
    "AlterConfigs": lambda who, topic: AlterConfigsRequest([(_TOPIC, topic, [])], True, version=0),
    "IncrementalAlterConfigs": lambda who, topic: IncrementalAlterConfigsRequest(
        [(_TOPIC, topic, [("retention.ms", _SET, "1")])], True, version=0
    ),
    "CreateTopics": lambda who, topic: CreateTopicsRequest([(topic, 1, 1, [], [])], _MS, True, version=2),
    "CreatePartitions": lambda who, topic: CreatePartitionsRequest([(topic, 99, None)], _MS, True, version=0),
    "DeleteRecords": lambda who, topic: DeleteRecordsRequest([(topic, [(0, 0)])], _MS, version=0),
    "ElectLeaders": lambda who, topic: ElectLeadersRequest(0, [(topic, [0])], _MS, version=1),
    "AlterReassignments": lambda who, topic: AlterPartitionReassignmentsRequest(_MS, [(topic, [(0, None)])], version=0),
    "DeleteTopics": lambda who, topic: DeleteTopicsRequest([topic], _MS, version=1),
}
GROUP_REQUESTS: dict[str, Request] = {
    "JoinGroup": lambda who, group: JoinGroupRequest(
        group, 6000, 6000, "", None, "consumer", [("range", b"")], version=5
    ),
    "SyncGroup": lambda who, group: SyncGroupRequest(group, 0, "nobody", None, [], version=3),
    "Heartbeat": lambda who, group: HeartbeatRequest(group, 0, "nobody", version=1),
    "OffsetCommit": lambda who, group: offset_commit(group, READABLE[who]),
    "OffsetFetch": lambda who, group: offset_fetch(group, READABLE[who]),
    "AddOffsetsToTxn": lambda who, group: AddOffsetsToTxnRequest(TRANSACTION[who], 1_000_000, 0, group, version=1),
    "TxnOffsetCommit": lambda who, group: txn_offset_commit(TRANSACTION[who], group, READABLE[who]),
    "LeaveGroup": lambda who, group: LeaveGroupRequest(group, "nobody", version=1),
    "DescribeGroups": lambda who, group: DescribeGroupsRequest([group], version=1),
    "OffsetDelete": lambda who, group: offset_delete(group, READABLE[who]),
    "DeleteGroups": lambda who, group: DeleteGroupsRequest([group], version=1),
}
TRANSACTION_REQUESTS: dict[str, Request] = {
    "InitProducerId": lambda who, name: InitProducerIdRequest(name, _MS, version=1),
    "AddPartitionsToTxn": lambda who, name: add_partitions(name, WRITABLE[who]),
    "AddOffsetsToTxn": lambda who, name: AddOffsetsToTxnRequest(name, 1_000_000, 0, GROUP[who], version=1),
    "TxnOffsetCommit": lambda who, name: txn_offset_commit(name, GROUP[who], READABLE[who]),
    "Produce": lambda who, name: produce(WRITABLE[who], name),
    "EndTxn": lambda who, name: EndTxnRequest(name, 1_000_000, 0, False, version=1),
    "DescribeTransactions": lambda who, name: DescribeTransactionsRequest([name], version=0),
}
ACL = (_TOPIC, "subject.", _LITERAL, "User:matrix", "*", 3, 3)  # reading, allowed
CLUSTER_REQUESTS: dict[str, Request] = {
    "InitProducerId": lambda who, _: InitProducerIdRequest(None, _MS, version=1),
    "CreateAcls": lambda who, _: CreateAclsRequest([ACL], version=1),
    "DescribeAcls": lambda who, _: DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY, version=1),
    "DeleteAcls": lambda who, _: DeleteAclsRequest([ACL], version=1),
    "AlterUserScramCredentials": lambda who, _: AlterUserScramCredentialsRequest(
        [], [("matrix", 2, 4096, b"salt", b"password")], version=0
    ),
    "DescribeUserScramCredentials": lambda who, _: DescribeUserScramCredentialsRequest([("tax",)], version=0),
    "AlterClientQuotas": lambda who, _: AlterClientQuotasRequest(
        [([("user", "tax")], [("producer_byte_rate", 1e9, False)])], True, version=0
    ),
    "DescribeClientQuotas": lambda who, _: DescribeClientQuotasRequest([], False, version=0),
    "DescribeConfigs": lambda who, _: DescribeConfigsRequest([(_BROKER, "1", None)], False, version=1),
    "AlterConfigs": lambda who, _: AlterConfigsRequest([(_BROKER, "1", [])], True, version=0),
    "IncrementalAlterConfigs": lambda who, _: IncrementalAlterConfigsRequest(
        [(_BROKER, "1", [("log.cleaner.threads", _SET, "1")])], True, version=0
    ),
    "UpdateFeatures": lambda who, _: UpdateFeaturesRequest(_MS, [("matrix", 1, 1)], True, version=1),
    "ListPartitionReassignments": lambda who, _: ListPartitionReassignmentsRequest(_MS, None, version=0),
    "DescribeQuorum": lambda who, _: DescribeQuorumRequest([("__cluster_metadata", [(0,)])], version=0),
    "DescribeLogDirs": lambda who, _: DescribeLogDirsRequest(None, version=3),
    "WriteTxnMarkers": lambda who, _: WriteTxnMarkersRequest(
        [(1_000_000, 0, False, [(TOPICS["oth"], [0])], 0)], version=1
    ),
}


@pytest.fixture(scope="module")
def clients(fresh_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, KafkaAdminClient]]:
    """A connection of each principal to a cluster on which the two departments' contract is applied."""
    cluster, folder = fresh_cluster, tmp_path_factory.mktemp("matrix")
    loaded = load(write_contract(folder), datetime.now(UTC).date())
    apply(cluster, make_plan(loaded, read_actual(cluster), avro.load(SCHEMA_FILE), datetime.now(UTC)))
    with Admin(cluster) as admin:
        there = admin.topics()
        admin.create({topic: Topic(1, 1, {"retention.ms": "-1"}) for topic in TOPICS.values() if topic not in there})
    files = {name: folder / f"{name}.yaml" for name in PRINCIPALS.values() if name != names.ADMIN_PRINCIPAL}
    users.issue(cluster, files)
    securities = {name: credentials.load(path) for name, path in files.items()} | {
        names.ADMIN_PRINCIPAL: cluster.security
    }
    found = {
        who: KafkaAdminClient(**Cluster(cluster.bootstrap_servers, name, securities[name]).config())
        for who, name in PRINCIPALS.items()
    }
    for kind in (0, 1):  # the coordinators' topics are made when one is first asked for
        ask(found["a"], FindCoordinatorRequest("matrix", kind, version=1))
    yield found
    for client in found.values():
        client.close()


def write_contract(folder: Path) -> Path:
    title = {"zh": "测试", "en": "Test"}
    schema = {"type": "record", "name": "Thing", "fields": [{"name": "id", "type": "string"}]}
    (folder / "thing.avsc").write_text(json.dumps(schema))
    contract = {
        "version": 1,
        "departments": [
            {"id": "tax", "title": title, "credit_code": "11440100MBX01FA1XW"},
            {"id": "taxation", "title": title, "credit_code": "11440100MBX02FA1XL"},
        ],
        "subjects": [
            {
                "name": name, "owner": owner, "title": title, "schema": "thing.avsc", "share": "open",
                "entity": {"field": "id", "kind": "person"},
            }
            for owner, name in (("tax", "income"), ("taxation", "vehicle"))
        ],
        "grants": [
            {
                "id": f"g-{reader}", "subject": subject, "reader": reader, "fields": "all", "from": "2020-01-01",
                "until": "2099-12-31", "purpose": {"code": "test", "basis": "Test law, article 1", "text": "testing"},
            }
            for subject, reader in (("tax.income", "taxation"), ("taxation.vehicle", "tax"))
        ],
    }  # fmt: skip
    path = folder / "topics.yaml"
    path.write_text(json.dumps(contract, ensure_ascii=False))
    return path


def ask(client: KafkaAdminClient, request: Any) -> set[int]:
    """The error codes of the answer; waits for coordinators that are about to come."""
    deadline = time.monotonic() + 30
    while True:
        response = client._manager.run(client._manager.send, request)
        codes = set(error_codes(response.to_dict(json=False)))
        if not codes & {14, 15, 16} or time.monotonic() > deadline:
            return codes
        time.sleep(0.05)


def error_codes(answer: Any) -> Iterator[int]:
    if isinstance(answer, dict):
        for name, value in answer.items():
            if name.endswith("error_code"):
                yield value
            else:
                yield from error_codes(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from error_codes(value)


def found(
    clients: Mapping[str, KafkaAdminClient], requests: Mapping[str, Request], resources: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """Who was let do what, in the cells of the tables."""
    table = {}
    for api, request in requests.items():
        for column, name in resources.items():
            allowed = ""
            for who, client in clients.items():
                codes = ask(client, request(who, name))
                assert codes, f"{api} answers without a code"
                if not codes & REFUSED:
                    assert codes <= {0} | IN_ORDER.get(api, set()), (api, name, PRINCIPALS[who], codes)
                    allowed += who
            table[api, column] = allowed
    return table


def expected(table: str) -> dict[tuple[str, str], str]:
    head, *rows = (line.split() for line in table.strip().splitlines())
    cells = {(api, column): cell for api, *row in rows for column, cell in zip(head, row, strict=True)}
    return {place: "".join(who for who in PRINCIPALS if who in cell) for place, cell in cells.items()}


@pytest.mark.parametrize(
    ("table", "requests", "resources"),
    [
        pytest.param(ON_GROUPS, GROUP_REQUESTS, GROUPS, id="groups"),
        pytest.param(ON_TRANSACTIONS, TRANSACTION_REQUESTS, TRANSACTIONS, id="transactions"),
        pytest.param(ON_CLUSTER, CLUSTER_REQUESTS, {"cluster": ""}, id="cluster"),
        pytest.param(ON_TOPICS, TOPIC_REQUESTS, TOPICS, id="topics"),  # last: its last row deletes them
    ],
)
def test_exactly_the_allowed_cells_succeed(
    clients: dict[str, KafkaAdminClient], table: str, requests: dict[str, Request], resources: dict[str, str]
) -> None:
    assert found(clients, requests, resources) == expected(table)
