"""Every mistake of a contract file is reported in one run, at its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exchange.contract.load import examine, load
from exchange.document.problem import ContractError, Problem
from exchange.errors import ConfigError
from tests.rigs.contracts import CONTRACT, INCOME, TODAY, write

ROOT = Path(__file__).parents[2]

# Each line that ends in `#!` is one mistake, with the path and a part of the message expected for it.
WRONG = """\
version: 2                                     #! version | not 1
departmnts: []                                 #! departmnts | not known
departments:
  - id: tax
    title: {zh: 税务局, en: Tax}
    credit_code: 11440100MBX03FA1XD            #! departments[0].credit_code | check digit is wrong
  - id: Civil                                  #! departments[1].id | pattern
    title: {zh: 民政局}                          #! departments[1].title.en | missing
    credit_code: 114401000000000000            #! departments[1].credit_code | string
  - id: tax                                    #! departments[2].id | given twice, first in line 4
    title: {zh: 税务局, en: Tax, fr: Impôts}      #! departments[2].title.fr | not known
    credit_code: 11440100MBX03FA1XC
  - id: exchange                               #! departments[3].id | exchange's own
    title: {zh: 交换, en: Exchange}
    credit_code: 11440100mbx02fa1xl            #! departments[3].credit_code | small letters
  - id: housing
    title: {zh: 房管局, en: Housing}
    credit_code: 11440100MBX04FA1X4
subjects:
  - name: income
    owner: taxx                                #! subjects[0].owner | not in this contract
    title: {zh: 收入, en: Income}
    schema: schemas/tax/missing.avsc           #! subjects[0].schema | cannot be read
    entity: {field: resident_id, kind: persn}  #! subjects[0].entity.kind | 'person' or 'organisation'
    share: opened                              #! subjects[0].share | conditional
    topic: {partitions: 0}                     #! subjects[0].topic.partitions | greater than
  - name: income
    owner: tax
    title: {zh: 收入, en: Income}
    schema: schemas/tax/income.avsc
    entity: {field: year, kind: person}        #! subjects[1].entity.field | not a string
    share: conditional
    sensitive: [amonut]                        #! subjects[1].sensitive[0] | not in the schema
  - name: income                               #! subjects[2].name | given twice
    owner: tax
    title: {zh: 收入, en: Income}
    schema: ../../etc/passwd.avsc              #! subjects[2].schema | leads out
    entity: {field: residentid, kind: person}
    share: open
  - name: secret
    owner: tax
    title: {zh: 密, en: Secret}
    schema: schemas/tax/income.avsc
    entity: {field: residentid, kind: person}  #! subjects[3].entity.field | not in the schema
    share: closed
  - name: broken
    owner: tax
    title: {zh: 坏, en: Broken}
    schema: schemas/tax/broken.avsc            #! subjects[4].schema | line 3: is not JSON
    entity: {field: resident_id, kind: person}
    share: open
  - 5                                          #! subjects[5] | not a mapping
grants:
  - id: g1
    subject: tax.secret                        #! grants[0].subject | is closed
    reader: tax                                #! grants[0].reader | owns the subject
    purpose: {code: x, basis: "", text: y}     #! grants[0].purpose.basis | at least 1
    fields: some                               #! grants[0].fields | 'all'
    from: 2025-02-30                           #! grants[0].from | date
    until: 2026-12-31
    quota: {records_per_day: 0}                #! grants[0].quota.records_per_day | greater than
  - id: g1                                     #! grants[1].id | given twice
    subject: tax.incme                         #! grants[1].subject | not in this contract
    reader: nobody                             #! grants[1].reader | not in this contract
    purpose: {code: x, basis: z, text: y}
    fields: []                                 #! grants[1].fields | no field
    from: 2026-02-20
    until: 2026-01-01                          #! grants[1].until | before it begins
    until: 2026-12-31                          #! grants[1].until | given twice
  - id: g2
    subject: tax.income
    reader: housing
    purpose: {code: x, basis: z, text: y}
    fields:
      - resident_id
      - amuont                                 #! grants[2].fields[1] | not in the schema
      - resident_id                            #! grants[2].fields[2] | given twice
    where:
      yaer: {eq: 2024}                         #! grants[2].where.yaer | not in the schema
      year:
        prefix: "20"                           #! grants[2].where.year.prefix | does not apply
        eq: "2024"                             #! grants[2].where.year.eq | is a number
        is_null: true                          #! grants[2].where.year.is_null | never null
      status: {in: [filed, lost]}              #! grants[2].where.status.in | never 'lost'
      filed_on: {ge: yesterday}                #! grants[2].where.filed_on.ge | is a date
      amount: {like: 5}                        #! grants[2].where.amount.like | not known
      resident_id: {}                          #! grants[2].where.resident_id | no operator
      any: {year: {ge: 2024}}                  #! grants[2].where.any | a list of conditions
      not:
        yeer: {eq: 2024}                       #! grants[2].where.not.yeer | not in the schema
        any:
          - year: {prefix: "20"}               #! grants[2].where.not.any[0].year.prefix | does not apply
          - {}                                 #! grants[2].where.not.any[1] | no condition
          - {status: [{year: {eq: 1}}]}        #! grants[2].where.not.any[2].status | not a condition
        all: []                                #! grants[2].where.not.all | no condition
      all:
        - {year: {like: 5}}                    #! grants[2].where.all[0].year.like | not known
    masks:
      resident_id: {kind: partial, bounds: [1]}  #! grants[2].masks.resident_id | no `bounds`
      amount: null                             #! grants[2].masks.amount | masked, but not given
      amuont: pseudonym                        #! grants[2].masks.amuont | not in the schema
      status: hidden                           #! grants[2].masks.status.kind | 'null', 'redact'
      year: {kind: range, bounds: [.inf]}      #! grants[2].masks.year.bounds[0] | finite
    from: 2020-01-01
    until: 2024-12-31                          #! grants[2].until | expired on 2024-12-31
  - id: g3
    subject: tax.income
    reader: housing
    purpose: *purpose                          #! | alias *purpose
    fields: all
    from: 2024-12-31                           #! grants[3].from | overlaps with grant 'g2'
    until: 2027-12-31
  - id: g4
    subject: !!str tax.income                  #! | tag
    reader: housing
    fields: all
    from: 2028-01-01
    until: 2028-12-31
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    (tmp_path / "schemas/tax/broken.avsc").write_text('{"type": "record",\n"name": "B",\n"fields": [}')
    return tmp_path


def test_all_mistakes_in_one_run_with_their_lines(folder: Path) -> None:
    check = examine(write(folder, WRONG), TODAY)
    found = [(p.line, p.path, p.message) for p in check.problems]
    expected = []
    for line, text in enumerate(WRONG.splitlines(), 1):
        if "#!" in text:
            path, _, message = text.partition("#!")[2].partition("|")
            expected.append((line, path.strip(), message.strip()))
    assert len(expected) >= 40
    for line, path, message in expected:
        assert any(f[:2] == (line, path) and message in f[2] for f in found), (line, path, message, found)
    # What follows from a mistake and has no line of its own: what an alias or a grant left out.
    rest = [f for f in found if not any(f[:2] == e[:2] for e in expected)]
    assert [(path, message) for _, path, message in rest] == [
        ("grants[3].purpose", "input should be a valid dictionary or instance of Purpose"),
        ("grants[4].purpose", "'purpose' is missing"),
    ]
    assert check.contract is None
    assert all(p.remedy for p in check.problems if "given twice" in p.message or "not in" in p.message)


def test_loading_refuses_with_every_mistake(folder: Path) -> None:
    with pytest.raises(ContractError) as refused:
        load(write(folder, WRONG), TODAY)
    assert len(refused.value.problems) >= 40
    assert "subjects[0].owner" in str(refused.value)


def test_one_mistake_is_not_many() -> None:
    problems = [Problem(3, "a.b", "x is wrong"), Problem(2, "a.c", "y is wrong")]
    assert str(ContractError("topics.yaml", problems[:1])).startswith("topics.yaml has a mistake:\n  line 3, a.b")
    assert str(ContractError("topics.yaml", problems)).startswith("topics.yaml has 2 mistakes:\n  line 2, a.c")


def test_names_like_the_wrong_one_are_suggested(folder: Path) -> None:
    problems = {p.path: p.remedy for p in examine(write(folder, WRONG), TODAY).problems}
    assert problems["subjects[0].owner"] == "did you mean tax?"
    assert problems["grants[2].fields[1]"] == "did you mean amount?"
    assert problems["grants[1].subject"].startswith("did you mean tax.income")
    assert "ends in 'C'" in problems["departments[0].credit_code"]


def test_a_right_contract_has_no_problem(folder: Path) -> None:
    check = examine(write(folder), TODAY)
    assert check.problems == []
    assert check.contract is not None
    assert set(check.schemas) == {"tax.income"}


def test_an_expired_grant_is_a_warning_and_no_error(folder: Path) -> None:
    path = write(folder, CONTRACT.replace("2026-12-31", "2026-05-31"))
    [problem] = examine(path, TODAY).problems
    assert (problem.severity, problem.line) == ("warning", 23)
    assert load(path, TODAY).warnings == (problem,)


def test_consecutive_grants_of_one_reader_do_not_overlap(folder: Path) -> None:
    grant = CONTRACT[CONTRACT.index("  - id: g1") :]
    second = grant.replace("g1", "g2").replace("2026-01-01", "2027-01-01").replace("2026-12-31", "2027-12-31")
    assert examine(write(folder, CONTRACT + second), TODAY).problems == []
    [problem] = examine(write(folder, CONTRACT + second.replace("2027-01-01", "2026-12-31")), TODAY).problems
    assert "overlaps with grant 'g1'" in problem.message


def test_a_nullable_entity_field_is_refused(folder: Path) -> None:
    fields = [{"name": "resident_id", "type": ["null", "string"]}, *INCOME[1:]]
    [problem] = examine(write(folder, fields=fields), TODAY).problems
    assert problem.path == "subjects[0].entity.field"


def test_a_schema_that_links_out_of_the_folder_is_refused(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "income.avsc"
    outside.write_text(json.dumps({"type": "record", "name": "Income", "fields": INCOME}))
    inside = folder / "schemas/tax/income.avsc"
    inside.unlink()
    inside.symlink_to(outside)
    path = folder / "topics.yaml"
    [problem] = examine(path, TODAY).problems
    assert (problem.path, "leads out" in problem.message) == ("subjects[0].schema", True)


def test_a_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="EXCHANGE_CONTRACT"):
        examine(tmp_path / "topics.yaml", TODAY)


def test_the_repositorys_own_contract_is_in_order() -> None:
    check = examine(ROOT / "topics.yaml", TODAY)
    assert [str(p) for p in check.problems if p.severity == "error"] == []
