-- tables of a sink's own notes
CREATE TABLE tax.exchange_offsets (
	topic NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	partition INTEGER NOT NULL,
	next_offset BIGINT NOT NULL,
	PRIMARY KEY (topic, partition)
)

CREATE TABLE tax.exchange_topics (
	topic NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	topic_id NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	PRIMARY KEY (topic)
)

CREATE TABLE tax.exchange_gaps (
	topic NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	partition INTEGER NOT NULL,
	first_offset BIGINT NOT NULL,
	topic_id NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	next_offset BIGINT NOT NULL,
	cause NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL,
	accepted_by NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL,
	reason NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL,
	accepted_at DATETIMEOFFSET(6) NOT NULL,
	PRIMARY KEY (topic, partition, first_offset, topic_id)
)

CREATE TABLE tax.exchange_deletions (
	topic NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	entity NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	time_ms BIGINT NOT NULL,
	PRIMARY KEY (topic, entity)
)

CREATE TABLE tax.exchange_copies (
	topic NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	grant_id NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL,
	until NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL,
	deletes BIT NOT NULL,
	fields NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL,
	epoch BIGINT NOT NULL,
	rows BIGINT NULL,
	counted_ms BIGINT NULL,
	changed_ms BIGINT NULL,
	due_ms BIGINT NULL,
	done_ms BIGINT NULL,
	PRIMARY KEY (topic)
)

CREATE TABLE tax.exchange_stuck (
	topic NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	row_partition BIGINT NOT NULL,
	row_offset BIGINT NOT NULL,
	row_time_ms BIGINT NULL,
	since_ms BIGINT NOT NULL,
	reason NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NOT NULL,
	PRIMARY KEY (topic, row_partition, row_offset)
)

-- the first offset of a partition
MERGE INTO tax.exchange_offsets WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_offsets.topic = %(topic)s AND tax.exchange_offsets.partition = %(partition)s) WHEN NOT MATCHED THEN INSERT (topic, partition, next_offset) VALUES (%(topic)s, %(partition)s, %(next_offset)s);

UPDATE tax.exchange_offsets SET next_offset=CASE WHEN (tax.exchange_offsets.partition = %(partition0)s) THEN %(after0)s END WHERE tax.exchange_offsets.topic = %(whose)s AND tax.exchange_offsets.partition = %(partition0)s AND tax.exchange_offsets.next_offset = %(before0)s

-- the topic's id
MERGE INTO tax.exchange_topics WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_topics.topic = %(topic)s) WHEN NOT MATCHED THEN INSERT (topic, topic_id) VALUES (%(topic)s, %(topic_id)s);

SELECT tax.exchange_topics.topic_id
FROM tax.exchange_topics
WHERE tax.exchange_topics.topic = %(topic_1)s

-- a gap that is accepted
UPDATE tax.exchange_offsets SET next_offset=CASE WHEN (tax.exchange_offsets.partition = %(partition0)s) THEN %(after0)s END WHERE tax.exchange_offsets.topic = %(whose)s AND tax.exchange_offsets.partition = %(partition0)s AND tax.exchange_offsets.next_offset = %(before0)s

UPDATE tax.exchange_topics SET topic_id=%(topic_id)s WHERE tax.exchange_topics.topic = %(topic_1)s

MERGE INTO tax.exchange_gaps WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_gaps.topic = %(topic)s AND tax.exchange_gaps.partition = %(partition)s AND tax.exchange_gaps.first_offset = %(first_offset)s AND tax.exchange_gaps.topic_id = %(topic_id)s) WHEN NOT MATCHED THEN INSERT (topic, partition, first_offset, accepted_by, reason, accepted_at, cause, topic_id, next_offset) VALUES (%(topic)s, %(partition)s, %(first_offset)s, %(accepted_by)s, %(reason)s, %(accepted_at)s, %(cause)s, %(topic_id)s, %(next_offset)s);

-- a deletion
MERGE INTO tax.exchange_deletions WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_deletions.topic = %(topic)s AND tax.exchange_deletions.entity = %(entity)s) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < %(time_ms)s) THEN %(time_ms)s ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (%(topic)s, %(entity)s, %(time_ms)s);

-- a grant
MERGE INTO tax.exchange_copies WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_copies.topic = %(topic)s) WHEN MATCHED THEN UPDATE SET grant_id = %(param_1)s, until = %(param_2)s, fields = %(param_3)s, deletes = %(param_4)s, epoch = %(param_5)s, due_ms = %(param_6)s, done_ms = %(param_7)s WHEN NOT MATCHED THEN INSERT (topic, grant_id, until, fields, deletes, epoch, due_ms, done_ms) VALUES (%(topic)s, %(grant_id)s, %(until)s, %(fields)s, %(deletes)s, %(epoch)s, %(due_ms)s, %(done_ms)s);

-- a row that is stuck
MERGE INTO tax.exchange_stuck WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_stuck.topic = %(topic)s AND tax.exchange_stuck.row_partition = %(row_partition)s AND tax.exchange_stuck.row_offset = %(row_offset)s) WHEN MATCHED THEN UPDATE SET row_time_ms = %(param_1)s, reason = %(param_2)s WHEN NOT MATCHED THEN INSERT (topic, row_partition, row_offset, row_time_ms, since_ms, reason) VALUES (%(topic)s, %(row_partition)s, %(row_offset)s, %(row_time_ms)s, %(since_ms)s, %(reason)s);

-- a table with a key of two
CREATE TABLE tax.income (
	id NVARCHAR(225) COLLATE Latin1_General_100_BIN2 NOT NULL,
	part VARBINARY(225) NOT NULL,
	text NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	nested NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	flag BIT NULL,
	small BIGINT NULL,
	number BIGINT NULL,
	ratio FLOAT(53) NULL,
	amount DECIMAL(38, 2) NULL,
	huge NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	data VARBINARY(max) NULL,
	day DATE NULL,
	clock TIME(6) NULL,
	moment DATETIMEOFFSET(6) NULL,
	local DATETIME2(6) NULL,
	[Level] NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	rows BIGINT NULL,
	[file] NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	_partition BIGINT NOT NULL,
	_offset BIGINT NOT NULL,
	_time_ms BIGINT NULL,
	_replay NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	PRIMARY KEY (id, part)
)

-- a table without a key
CREATE TABLE income (
	id NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	_partition BIGINT NOT NULL,
	_offset BIGINT NOT NULL,
	_time_ms BIGINT NULL,
	_replay NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	PRIMARY KEY (_partition, _offset)
)

-- a table with handles
CREATE TABLE income (
	n BIGINT NULL,
	_row NVARCHAR(255) COLLATE Latin1_General_100_BIN2 NOT NULL,
	_partition BIGINT NOT NULL,
	_offset BIGINT NOT NULL,
	_time_ms BIGINT NULL,
	_replay NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL,
	PRIMARY KEY (_row)
)

-- columns that are added
ALTER TABLE tax.income ADD _partition BIGINT NULL

ALTER TABLE tax.income ADD _offset BIGINT NULL

ALTER TABLE tax.income ADD _time_ms BIGINT NULL

ALTER TABLE tax.income ADD _replay NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL

ALTER TABLE tax.income ADD part VARBINARY(max) NULL

ALTER TABLE tax.income ADD text NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL

ALTER TABLE tax.income ADD nested NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL

ALTER TABLE tax.income ADD flag BIT NULL

ALTER TABLE tax.income ADD small BIGINT NULL

ALTER TABLE tax.income ADD number BIGINT NULL

ALTER TABLE tax.income ADD ratio FLOAT(53) NULL

ALTER TABLE tax.income ADD amount DECIMAL(38, 2) NULL

ALTER TABLE tax.income ADD huge NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL

ALTER TABLE tax.income ADD data VARBINARY(max) NULL

ALTER TABLE tax.income ADD day DATE NULL

ALTER TABLE tax.income ADD clock TIME(6) NULL

ALTER TABLE tax.income ADD moment DATETIMEOFFSET(6) NULL

ALTER TABLE tax.income ADD local DATETIME2(6) NULL

ALTER TABLE tax.income ADD [Level] NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL

ALTER TABLE tax.income ADD rows BIGINT NULL

ALTER TABLE tax.income ADD [file] NVARCHAR(max) COLLATE Latin1_General_100_BIN2 NULL

-- rows that come and go
MERGE INTO tax.income WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.income.id = %(at0)s) WHEN MATCHED THEN UPDATE SET [Level] = %(at1)s, rows = %(at2)s, _partition = %(at3)s, _offset = %(at4)s, _time_ms = %(at5)s, _replay = %(at6)s WHEN NOT MATCHED THEN INSERT (id, [Level], rows, _partition, _offset, _time_ms, _replay) VALUES (%(at0)s, %(at1)s, %(at2)s, %(at3)s, %(at4)s, %(at5)s, %(at6)s);

DELETE FROM tax.income WHERE tax.income.id = %(at0)s

-- rows without a key that come and go
INSERT INTO income (id, [Level], rows, _partition, _offset, _time_ms, _replay) VALUES (%(at0)s, %(at1)s, %(at2)s, %(at3)s, %(at4)s, %(at5)s, %(at6)s)

DELETE FROM income WHERE income.id = %(at0)s

MERGE INTO tax.exchange_deletions WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_deletions.topic = %(topic)s AND tax.exchange_deletions.entity = %(entity)s) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < %(time_ms)s) THEN %(time_ms)s ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (%(topic)s, %(entity)s, %(time_ms)s);

DELETE FROM income WHERE income.id = %(gone)s AND (income._replay = %(replay_1)s OR income._time_ms <= %(until_ms)s)

MERGE INTO tax.exchange_deletions WITH (HOLDLOCK) USING (SELECT 1 AS one) AS given ON (tax.exchange_deletions.topic = %(topic)s AND tax.exchange_deletions.entity = %(entity)s) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < %(time_ms)s) THEN %(time_ms)s ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (%(topic)s, %(entity)s, %(time_ms)s);

-- rows of which some are deleted, or emptied
DELETE TOP (20000) FROM tax.income WHERE tax.income._partition IS NOT NULL AND NOT (EXISTS (SELECT tax.exchange_stuck.topic
FROM tax.exchange_stuck
WHERE tax.exchange_stuck.topic = %(topic_1)s AND tax.exchange_stuck.row_partition = tax.income._partition AND tax.exchange_stuck.row_offset = tax.income._offset))

UPDATE TOP (20000) tax.income SET [Level]=NULL WHERE tax.income._partition IS NOT NULL

SELECT TOP 1 tax.income._partition
FROM tax.income
WHERE tax.income._partition IS NOT NULL AND NOT (EXISTS (SELECT tax.exchange_stuck.topic
FROM tax.exchange_stuck
WHERE tax.exchange_stuck.topic = %(topic_1)s AND tax.exchange_stuck.row_partition = tax.income._partition AND tax.exchange_stuck.row_offset = tax.income._offset))

-- how the table is
SELECT object_id, column_id, name, system_type_id, user_type_id, max_length, precision, scale, is_nullable, collation_name FROM sys.columns WHERE object_id = OBJECT_ID(CAST(%(name)s AS nvarchar(520))) ORDER BY column_id

-- before a commit