-- tables of a sink's own notes
CREATE TABLE tax.exchange_offsets (
	topic VARCHAR2(255 CHAR) NOT NULL,
	"partition" INTEGER NOT NULL,
	next_offset NUMBER(19) NOT NULL,
	PRIMARY KEY (topic, "partition")
)

CREATE TABLE tax.exchange_topics (
	topic VARCHAR2(255 CHAR) NOT NULL,
	topic_id VARCHAR2(255 CHAR) NOT NULL,
	PRIMARY KEY (topic)
)

CREATE TABLE tax.exchange_gaps (
	topic VARCHAR2(255 CHAR) NOT NULL,
	"partition" INTEGER NOT NULL,
	first_offset NUMBER(19) NOT NULL,
	topic_id VARCHAR2(255 CHAR) NOT NULL,
	next_offset NUMBER(19) NOT NULL,
	cause VARCHAR2(4000 CHAR) NOT NULL,
	accepted_by VARCHAR2(4000 CHAR) NOT NULL,
	reason VARCHAR2(4000 CHAR) NOT NULL,
	accepted_at TIMESTAMP WITH TIME ZONE NOT NULL,
	PRIMARY KEY (topic, "partition", first_offset, topic_id)
)

CREATE TABLE tax.exchange_deletions (
	topic VARCHAR2(255 CHAR) NOT NULL,
	entity VARCHAR2(255 CHAR) NOT NULL,
	time_ms NUMBER(19) NOT NULL,
	PRIMARY KEY (topic, entity)
)

CREATE TABLE tax.exchange_copies (
	topic VARCHAR2(255 CHAR) NOT NULL,
	grant_id VARCHAR2(4000 CHAR) NOT NULL,
	until VARCHAR2(4000 CHAR) NOT NULL,
	deletes SMALLINT NOT NULL,
	fields CLOB NOT NULL,
	epoch NUMBER(19) NOT NULL,
	"rows" NUMBER(19),
	counted_ms NUMBER(19),
	changed_ms NUMBER(19),
	due_ms NUMBER(19),
	done_ms NUMBER(19),
	PRIMARY KEY (topic)
)

CREATE TABLE tax.exchange_stuck (
	topic VARCHAR2(255 CHAR) NOT NULL,
	row_partition NUMBER(19) NOT NULL,
	row_offset NUMBER(19) NOT NULL,
	row_time_ms NUMBER(19),
	since_ms NUMBER(19) NOT NULL,
	reason VARCHAR2(4000 CHAR) NOT NULL,
	PRIMARY KEY (topic, row_partition, row_offset)
)

-- the first offset of a partition
MERGE INTO tax.exchange_offsets USING dual ON (tax.exchange_offsets.topic = :topic AND tax.exchange_offsets."partition" = :"partition") WHEN NOT MATCHED THEN INSERT (topic, "partition", next_offset) VALUES (:topic, :"partition", :next_offset)

UPDATE tax.exchange_offsets SET next_offset=CASE WHEN (tax.exchange_offsets."partition" = :partition0) THEN :after0 END WHERE tax.exchange_offsets.topic = :whose AND tax.exchange_offsets."partition" = :partition0 AND tax.exchange_offsets.next_offset = :before0

-- the topic's id
MERGE INTO tax.exchange_topics USING dual ON (tax.exchange_topics.topic = :topic) WHEN NOT MATCHED THEN INSERT (topic, topic_id) VALUES (:topic, :topic_id)

SELECT tax.exchange_topics.topic_id
FROM tax.exchange_topics
WHERE tax.exchange_topics.topic = :topic_1

-- a gap that is accepted
UPDATE tax.exchange_offsets SET next_offset=CASE WHEN (tax.exchange_offsets."partition" = :partition0) THEN :after0 END WHERE tax.exchange_offsets.topic = :whose AND tax.exchange_offsets."partition" = :partition0 AND tax.exchange_offsets.next_offset = :before0

UPDATE tax.exchange_topics SET topic_id=:topic_id WHERE tax.exchange_topics.topic = :topic_1

MERGE INTO tax.exchange_gaps USING dual ON (tax.exchange_gaps.topic = :topic AND tax.exchange_gaps."partition" = :"partition" AND tax.exchange_gaps.first_offset = :first_offset AND tax.exchange_gaps.topic_id = :topic_id) WHEN NOT MATCHED THEN INSERT (topic, "partition", first_offset, accepted_by, reason, accepted_at, cause, topic_id, next_offset) VALUES (:topic, :"partition", :first_offset, :accepted_by, :reason, :accepted_at, :cause, :topic_id, :next_offset)

-- a deletion
MERGE INTO tax.exchange_deletions USING dual ON (tax.exchange_deletions.topic = :topic AND tax.exchange_deletions.entity = :entity) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < :time_ms) THEN :time_ms ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (:topic, :entity, :time_ms)

-- a grant
MERGE INTO tax.exchange_copies USING dual ON (tax.exchange_copies.topic = :topic) WHEN MATCHED THEN UPDATE SET grant_id = :param_1, until = :param_2, fields = :param_3, deletes = :param_4, epoch = :param_5, due_ms = :param_6, done_ms = :param_7 WHEN NOT MATCHED THEN INSERT (topic, grant_id, until, fields, deletes, epoch, due_ms, done_ms) VALUES (:topic, :grant_id, :until, :fields, :deletes, :epoch, :due_ms, :done_ms)

-- a row that is stuck
MERGE INTO tax.exchange_stuck USING dual ON (tax.exchange_stuck.topic = :topic AND tax.exchange_stuck.row_partition = :row_partition AND tax.exchange_stuck.row_offset = :row_offset) WHEN MATCHED THEN UPDATE SET row_time_ms = :param_1, reason = :param_2 WHEN NOT MATCHED THEN INSERT (topic, row_partition, row_offset, row_time_ms, since_ms, reason) VALUES (:topic, :row_partition, :row_offset, :row_time_ms, :since_ms, :reason)

-- a table with a key of two
CREATE TABLE tax.income (
	id VARCHAR2(255 CHAR) NOT NULL,
	part RAW(255) NOT NULL,
	text VARCHAR2(4000 CHAR),
	nested CLOB,
	flag NUMBER(1, 0),
	small NUMBER(19, 0),
	"number" NUMBER(19, 0),
	ratio BINARY_DOUBLE,
	amount NUMBER,
	huge VARCHAR2(4000 CHAR),
	data BLOB,
	day DATE,
	clock VARCHAR2(4000 CHAR),
	moment TIMESTAMP WITH TIME ZONE,
	local TIMESTAMP,
	"Level" VARCHAR2(4000 CHAR),
	"rows" NUMBER(19, 0),
	"file" VARCHAR2(4000 CHAR),
	"_partition" NUMBER(19) NOT NULL,
	"_offset" NUMBER(19) NOT NULL,
	"_time_ms" NUMBER(19),
	"_replay" VARCHAR2(4000 CHAR),
	PRIMARY KEY (id, part)
)

-- a table without a key
CREATE TABLE income (
	id VARCHAR2(4000 CHAR),
	"_partition" NUMBER(19) NOT NULL,
	"_offset" NUMBER(19) NOT NULL,
	"_time_ms" NUMBER(19),
	"_replay" VARCHAR2(4000 CHAR),
	PRIMARY KEY ("_partition", "_offset")
)

-- a table with handles
CREATE TABLE income (
	n NUMBER(19, 0),
	"_row" VARCHAR2(255 CHAR) NOT NULL,
	"_partition" NUMBER(19) NOT NULL,
	"_offset" NUMBER(19) NOT NULL,
	"_time_ms" NUMBER(19),
	"_replay" VARCHAR2(4000 CHAR),
	PRIMARY KEY ("_row")
)

-- columns that are added
ALTER TABLE tax.income ADD "_partition" NUMBER(19)

ALTER TABLE tax.income ADD "_offset" NUMBER(19)

ALTER TABLE tax.income ADD "_time_ms" NUMBER(19)

ALTER TABLE tax.income ADD "_replay" VARCHAR2(4000 CHAR)

ALTER TABLE tax.income ADD part BLOB

ALTER TABLE tax.income ADD text VARCHAR2(4000 CHAR)

ALTER TABLE tax.income ADD nested CLOB

ALTER TABLE tax.income ADD flag NUMBER(1, 0)

ALTER TABLE tax.income ADD small NUMBER(19, 0)

ALTER TABLE tax.income ADD "number" NUMBER(19, 0)

ALTER TABLE tax.income ADD ratio BINARY_DOUBLE

ALTER TABLE tax.income ADD amount NUMBER

ALTER TABLE tax.income ADD huge VARCHAR2(4000 CHAR)

ALTER TABLE tax.income ADD data BLOB

ALTER TABLE tax.income ADD day DATE

ALTER TABLE tax.income ADD clock VARCHAR2(4000 CHAR)

ALTER TABLE tax.income ADD moment TIMESTAMP WITH TIME ZONE

ALTER TABLE tax.income ADD local TIMESTAMP

ALTER TABLE tax.income ADD "Level" VARCHAR2(4000 CHAR)

ALTER TABLE tax.income ADD "rows" NUMBER(19, 0)

ALTER TABLE tax.income ADD "file" VARCHAR2(4000 CHAR)

-- rows that come and go
MERGE INTO tax.income USING dual ON (tax.income.id = :at0) WHEN MATCHED THEN UPDATE SET "Level" = :at1, "rows" = :at2, "_partition" = :at3, "_offset" = :at4, "_time_ms" = :at5, "_replay" = :at6 WHEN NOT MATCHED THEN INSERT (id, "Level", "rows", "_partition", "_offset", "_time_ms", "_replay") VALUES (:at0, :at1, :at2, :at3, :at4, :at5, :at6)

DELETE FROM tax.income WHERE tax.income.id = :at0

-- rows without a key that come and go
INSERT INTO income (id, "Level", "rows", "_partition", "_offset", "_time_ms", "_replay") VALUES (:at0, :at1, :at2, :at3, :at4, :at5, :at6)

DELETE FROM income WHERE income.id = :at0

MERGE INTO tax.exchange_deletions USING dual ON (tax.exchange_deletions.topic = :topic AND tax.exchange_deletions.entity = :entity) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < :time_ms) THEN :time_ms ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (:topic, :entity, :time_ms)

DELETE FROM income WHERE income.id = :gone AND (income."_replay" = :replay_1 OR income."_time_ms" <= :until_ms)

MERGE INTO tax.exchange_deletions USING dual ON (tax.exchange_deletions.topic = :topic AND tax.exchange_deletions.entity = :entity) WHEN MATCHED THEN UPDATE SET time_ms = CASE WHEN (tax.exchange_deletions.time_ms < :time_ms) THEN :time_ms ELSE tax.exchange_deletions.time_ms END WHEN NOT MATCHED THEN INSERT (topic, entity, time_ms) VALUES (:topic, :entity, :time_ms)

-- rows of which some are deleted, or emptied
DELETE FROM tax.income WHERE tax.income."_partition" IS NOT NULL AND NOT (EXISTS (SELECT tax.exchange_stuck.topic
FROM tax.exchange_stuck
WHERE tax.exchange_stuck.topic = :topic_1 AND tax.exchange_stuck.row_partition = tax.income."_partition" AND tax.exchange_stuck.row_offset = tax.income."_offset")) AND ROWNUM <= :ROWNUM_1

UPDATE tax.income SET "Level"=NULL WHERE tax.income."_partition" IS NOT NULL AND ROWNUM <= :ROWNUM_1

SELECT tax.income."_partition"
FROM tax.income
WHERE tax.income."_partition" IS NOT NULL AND NOT (EXISTS (SELECT tax.exchange_stuck.topic
FROM tax.exchange_stuck
WHERE tax.exchange_stuck.topic = :topic_1 AND tax.exchange_stuck.row_partition = tax.income."_partition" AND tax.exchange_stuck.row_offset = tax.income."_offset"))
 FETCH FIRST 1 ROWS ONLY

-- how the table is
SELECT column_name, data_type, char_length, data_precision, data_scale, nullable, column_id FROM all_tab_columns WHERE owner = NVL(:schema, SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')) AND table_name = :name ORDER BY column_id

-- before a commit
SET CONSTRAINTS ALL IMMEDIATE
