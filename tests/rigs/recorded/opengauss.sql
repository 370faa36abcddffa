-- tables of a sink's own notes
CREATE TABLE tax.exchange_offsets (
	topic TEXT NOT NULL,
	partition INTEGER NOT NULL,
	next_offset BIGINT NOT NULL,
	PRIMARY KEY (topic, partition)
)

CREATE TABLE tax.exchange_topics (
	topic TEXT NOT NULL,
	topic_id TEXT NOT NULL,
	PRIMARY KEY (topic)
)

CREATE TABLE tax.exchange_gaps (
	topic TEXT NOT NULL,
	partition INTEGER NOT NULL,
	first_offset BIGINT NOT NULL,
	topic_id TEXT NOT NULL,
	next_offset BIGINT NOT NULL,
	cause TEXT NOT NULL,
	accepted_by TEXT NOT NULL,
	reason TEXT NOT NULL,
	accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY (topic, partition, first_offset, topic_id)
)

CREATE TABLE tax.exchange_deletions (
	topic TEXT NOT NULL,
	entity TEXT NOT NULL,
	time_ms BIGINT NOT NULL,
	PRIMARY KEY (topic, entity)
)

CREATE TABLE tax.exchange_copies (
	topic TEXT NOT NULL,
	grant_id TEXT NOT NULL,
	until TEXT NOT NULL,
	deletes BOOLEAN NOT NULL,
	fields TEXT NOT NULL,
	epoch BIGINT NOT NULL,
	rows BIGINT,
	counted_ms BIGINT,
	changed_ms BIGINT,
	due_ms BIGINT,
	done_ms BIGINT,
	PRIMARY KEY (topic)
)

CREATE TABLE tax.exchange_stuck (
	topic TEXT NOT NULL,
	row_partition BIGINT NOT NULL,
	row_offset BIGINT NOT NULL,
	row_time_ms BIGINT,
	since_ms BIGINT NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (topic, row_partition, row_offset)
)

-- the first offset of a partition
MERGE INTO tax.exchange_offsets USING (SELECT 1 AS one) AS given ON (tax.exchange_offsets.topic = %(topic)s::VARCHAR AND tax.exchange_offsets.partition = %(partition)s::INTEGER) WHEN NOT MATCHED THEN INSERT (topic, partition, next_offset) VALUES (%(topic)s::VARCHAR, %(partition)s::INTEGER, %(next_offset)s::BIGINT)

UPDATE tax.exchange_offsets SET next_offset=CASE WHEN (tax.exchange_offsets.partition = %(partition0)s::INTEGER) THEN %(after0)s::BIGINT END WHERE tax.exchange_offsets.topic = %(whose)s::VARCHAR AND tax.exchange_offsets.partition = %(partition0)s::INTEGER AND tax.exchange_offsets.next_offset = %(before0)s::BIGINT

-- the topic's id
MERGE INTO tax.exchange_topics USING (SELECT 1 AS one) AS given ON (tax.exchange_topics.topic = %(topic)s::VARCHAR) WHEN NOT MATCHED THEN INSERT (topic, topic_id) VALUES (%(topic)s::VARCHAR, %(topic_id)s::VARCHAR)

SELECT tax.exchange_topics.topic_id
FROM tax.exchange_topics
WHERE tax.exchange_topics.topic = %(topic_1)s::VARCHAR

-- a gap that is accepted
UPDATE tax.exchange_offsets SET next_offset=CASE WHEN (tax.exchange_offsets.partition = %(partition0)s::INTEGER) THEN %(after0)s::BIGINT END WHERE tax.exchange_offsets.topic = %(whose)s::VARCHAR AND tax.exchange_offsets.partition = %(partition0)s::INTEGER AND tax.exchange_offsets.next_offset = %(before0)s::BIGINT

UPDATE tax.exchange_topics SET topic_id=%(topic_id)s::VARCHAR WHERE tax.exchange_topics.topic = %(topic_1)s::VARCHAR

MERGE INTO tax.exchange_gaps USING (SELECT 1 AS one) AS given ON (tax.exchange_gaps.topic = %(topic)s::VARCHAR AND tax.exchange_gaps.partition = %(partition)s::INTEGER AND tax.exchange_gaps.first_offset = %(first_offset)s::BIGINT AND tax.exchange_gaps.topic_id = %(topic_id)s::VARCHAR) WHEN NOT MATCHED THEN INSERT (topic, partition, first_offset, accepted_by, reason, accepted_at, cause, topic_id, next_offset) VALUES (%(topic)s::VARCHAR, %(partition)s::INTEGER, %(first_offset)s::BIGINT, %(accepted_by)s::VARCHAR, %(reason)s::VARCHAR, %(accepted_at)s::TIMESTAMP WITH TIME ZONE, %(cause)s::VARCHAR, %(topic_id)s::VARCHAR, %(next_offset)s::BIGINT)

-- a deletion
MERGE INTO tax.exchange_deletions USING (SELECT 1 AS one) AS given ON (tax.exchange_deletions.topic = %(topic)s::VARCHAR AND tax.exchange_deletions.entity = %(entity)s::VARCHAR) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < %(time_ms)s::BIGINT) THEN %(time_ms)s::BIGINT ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (%(topic)s::VARCHAR, %(entity)s::VARCHAR, %(time_ms)s::BIGINT)

-- a grant
MERGE INTO tax.exchange_copies USING (SELECT 1 AS one) AS given ON (tax.exchange_copies.topic = %(topic)s::VARCHAR) WHEN MATCHED THEN UPDATE SET grant_id = %(param_1)s::VARCHAR, until = %(param_2)s::VARCHAR, fields = %(param_3)s::VARCHAR, deletes = %(param_4)s, epoch = %(param_5)s::BIGINT, due_ms = %(param_6)s::BIGINT, done_ms = %(param_7)s::BIGINT WHEN NOT MATCHED THEN INSERT (topic, grant_id, until, fields, deletes, epoch, due_ms, done_ms) VALUES (%(topic)s::VARCHAR, %(grant_id)s::VARCHAR, %(until)s::VARCHAR, %(fields)s::VARCHAR, %(deletes)s, %(epoch)s::BIGINT, %(due_ms)s::BIGINT, %(done_ms)s::BIGINT)

-- a row that is stuck
MERGE INTO tax.exchange_stuck USING (SELECT 1 AS one) AS given ON (tax.exchange_stuck.topic = %(topic)s::VARCHAR AND tax.exchange_stuck.row_partition = %(row_partition)s::BIGINT AND tax.exchange_stuck.row_offset = %(row_offset)s::BIGINT) WHEN MATCHED THEN UPDATE SET row_time_ms = %(param_1)s::BIGINT, reason = %(param_2)s::VARCHAR WHEN NOT MATCHED THEN INSERT (topic, row_partition, row_offset, row_time_ms, since_ms, reason) VALUES (%(topic)s::VARCHAR, %(row_partition)s::BIGINT, %(row_offset)s::BIGINT, %(row_time_ms)s::BIGINT, %(since_ms)s::BIGINT, %(reason)s::VARCHAR)

-- a table with a key of two
CREATE TABLE tax.income (
	id TEXT NOT NULL,
	part BYTEA NOT NULL,
	text TEXT,
	nested TEXT,
	flag BOOLEAN,
	small BIGINT,
	number BIGINT,
	ratio DOUBLE PRECISION,
	amount NUMERIC,
	huge NUMERIC,
	data BYTEA,
	day DATE,
	clock TIME WITHOUT TIME ZONE,
	moment TIMESTAMP WITH TIME ZONE,
	local TIMESTAMP WITHOUT TIME ZONE,
	"Level" TEXT,
	rows BIGINT,
	file TEXT,
	_partition BIGINT NOT NULL,
	_offset BIGINT NOT NULL,
	_time_ms BIGINT,
	_replay TEXT,
	PRIMARY KEY (id, part)
)

-- a table without a key
CREATE TABLE income (
	id TEXT,
	_partition BIGINT NOT NULL,
	_offset BIGINT NOT NULL,
	_time_ms BIGINT,
	_replay TEXT,
	PRIMARY KEY (_partition, _offset)
)

-- a table with handles
CREATE TABLE income (
	n BIGINT,
	_row TEXT NOT NULL,
	_partition BIGINT NOT NULL,
	_offset BIGINT NOT NULL,
	_time_ms BIGINT,
	_replay TEXT,
	PRIMARY KEY (_row)
)

-- columns that are added
ALTER TABLE tax.income ADD _partition BIGINT

ALTER TABLE tax.income ADD _offset BIGINT

ALTER TABLE tax.income ADD _time_ms BIGINT

ALTER TABLE tax.income ADD _replay TEXT

ALTER TABLE tax.income ADD part BYTEA

ALTER TABLE tax.income ADD text TEXT

ALTER TABLE tax.income ADD nested TEXT

ALTER TABLE tax.income ADD flag BOOLEAN

ALTER TABLE tax.income ADD small BIGINT

ALTER TABLE tax.income ADD number BIGINT

ALTER TABLE tax.income ADD ratio DOUBLE PRECISION

ALTER TABLE tax.income ADD amount NUMERIC

ALTER TABLE tax.income ADD huge NUMERIC

ALTER TABLE tax.income ADD data BYTEA

ALTER TABLE tax.income ADD day DATE

ALTER TABLE tax.income ADD clock TIME WITHOUT TIME ZONE

ALTER TABLE tax.income ADD moment TIMESTAMP WITH TIME ZONE

ALTER TABLE tax.income ADD local TIMESTAMP WITHOUT TIME ZONE

ALTER TABLE tax.income ADD "Level" TEXT

ALTER TABLE tax.income ADD rows BIGINT

ALTER TABLE tax.income ADD file TEXT

-- rows that come and go
MERGE INTO tax.income USING (SELECT 1 AS one) AS given ON (tax.income.id = %(at0)s) WHEN MATCHED THEN UPDATE SET "Level" = %(at1)s, rows = %(at2)s, _partition = %(at3)s, _offset = %(at4)s, _time_ms = %(at5)s, _replay = %(at6)s WHEN NOT MATCHED THEN INSERT (id, "Level", rows, _partition, _offset, _time_ms, _replay) VALUES (%(at0)s, %(at1)s, %(at2)s, %(at3)s, %(at4)s, %(at5)s, %(at6)s)

DELETE FROM tax.income WHERE tax.income.id = %(at0)s

-- rows without a key that come and go
INSERT INTO income (id, "Level", rows, _partition, _offset, _time_ms, _replay) VALUES (%(at0)s, %(at1)s, %(at2)s, %(at3)s, %(at4)s, %(at5)s, %(at6)s)

DELETE FROM income WHERE income.id = %(at0)s

MERGE INTO tax.exchange_deletions USING (SELECT 1 AS one) AS given ON (tax.exchange_deletions.topic = %(topic)s::VARCHAR AND tax.exchange_deletions.entity = %(entity)s::VARCHAR) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < %(time_ms)s::BIGINT) THEN %(time_ms)s::BIGINT ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (%(topic)s::VARCHAR, %(entity)s::VARCHAR, %(time_ms)s::BIGINT)

DELETE FROM income WHERE income.id = %(gone)s AND (income._replay = %(replay_1)s::VARCHAR OR income._time_ms <= %(until_ms)s)

MERGE INTO tax.exchange_deletions USING (SELECT 1 AS one) AS given ON (tax.exchange_deletions.topic = %(topic)s::VARCHAR AND tax.exchange_deletions.entity = %(entity)s::VARCHAR) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < %(time_ms)s::BIGINT) THEN %(time_ms)s::BIGINT ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (%(topic)s::VARCHAR, %(entity)s::VARCHAR, %(time_ms)s::BIGINT)

-- rows of which some are deleted, or emptied
DELETE FROM tax.income WHERE tax.income._partition IS NOT NULL AND NOT (EXISTS (SELECT tax.exchange_stuck.topic
FROM tax.exchange_stuck
WHERE tax.exchange_stuck.topic = %(topic_1)s::VARCHAR AND tax.exchange_stuck.row_partition = tax.income._partition AND tax.exchange_stuck.row_offset = tax.income._offset)) AND tax.income.ctid IN (SELECT tax.income.ctid
FROM tax.income
WHERE tax.income._partition IS NOT NULL AND NOT (EXISTS (SELECT tax.exchange_stuck.topic
FROM tax.exchange_stuck
WHERE tax.exchange_stuck.topic = %(topic_1)s::VARCHAR AND tax.exchange_stuck.row_partition = tax.income._partition AND tax.exchange_stuck.row_offset = tax.income._offset))
 LIMIT %(param_1)s::INTEGER)

UPDATE tax.income SET "Level"=NULL WHERE tax.income._partition IS NOT NULL AND tax.income.ctid IN (SELECT tax.income.ctid
FROM tax.income
WHERE tax.income._partition IS NOT NULL
 LIMIT %(param_1)s::INTEGER)

SELECT tax.income._partition
FROM tax.income
WHERE tax.income._partition IS NOT NULL AND NOT (EXISTS (SELECT tax.exchange_stuck.topic
FROM tax.exchange_stuck
WHERE tax.exchange_stuck.topic = %(topic_1)s::VARCHAR AND tax.exchange_stuck.row_partition = tax.income._partition AND tax.exchange_stuck.row_offset = tax.income._offset))
 LIMIT %(param_1)s::INTEGER

-- how the table is
SELECT concat_ws(' ', attrelid, string_agg(concat_ws(' ', attname, atttypid, atttypmod, attnotnull), ', ' ORDER BY attnum), CASE WHEN '' IS NULL THEN 1 ELSE 0 END) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname = CAST(%(name)s AS text) AND nspname = COALESCE(CAST(%(schema)s AS text), CAST(current_schema() AS text)) AND attnum > 0 AND NOT attisdropped GROUP BY attrelid

-- before a commit
SET CONSTRAINTS ALL IMMEDIATE
