-- The tables that the sink writes. Statements end with a semicolon at the end of a line; each may be run again, by several
-- sinks at once. `payments` stands for the database's name throughout.

CREATE DATABASE IF NOT EXISTS payments;

-- One insert is one part, or nothing: there is no PARTITION BY, which could cut one insert into several parts of which
-- a crash keeps some. A part is on the disk before the insert is acknowledged (fsync), since a row that vanished behind the
-- sink's back would not be looked for again. The deduplication window makes an insert that is sent twice count once.
CREATE TABLE IF NOT EXISTS payments.results
(
    event_id String COMMENT 'Given by the producer of the event, unique for each submission.',
    message_type LowCardinality(String) COMMENT 'ISO 20022 message definition identifier, such as pacs.008.001.08.',
    source LowCardinality(String) COMMENT 'The upstream system or channel.',
    message_id Nullable(String) COMMENT 'GrpHdr/MsgId.',
    transaction_index Int32 COMMENT '0-based place of the transaction in its message; -1: the message as a whole.',
    instruction_id Nullable(String) COMMENT 'PmtId/InstrId.',
    end_to_end_id Nullable(String) COMMENT 'PmtId/EndToEndId.',
    transaction_id Nullable(String) COMMENT 'PmtId/TxId.',
    uetr Nullable(String) COMMENT 'PmtId/UETR in lower case.',
    status LowCardinality(String) COMMENT 'ACSC: settled. RJCT: rejected.',
    reason_code LowCardinality(Nullable(String)) COMMENT 'ISO 20022 ExternalStatusReason1Code; null when settled.',
    reason Nullable(String) COMMENT 'For a person: what was wrong, and where. Never an account number.',
    debited_participant LowCardinality(Nullable(String)) COMMENT 'BIC in 11 characters, or clearing system code and member.',
    credited_participant LowCardinality(Nullable(String)) COMMENT 'BIC in 11 characters, or clearing system code and member.',
    currency LowCardinality(Nullable(String)) COMMENT 'ISO 4217 code.',
    amount Nullable(Decimal(18, 5)) COMMENT 'Interbank settlement amount.',
    position_after Nullable(Decimal(38, 5)) COMMENT 'Position of the debited participant right after this debit. Wider than an amount, because positions add up.',
    sequence Nullable(Int64) COMMENT 'Place of this debit in the order of its settlement partition: 1, 2, 3 without a gap.',
    created_at DateTime64(3, 'UTC') COMMENT 'When the producer created the event; held within the years 1900 to 2299.',
    received_at DateTime64(3, 'UTC') COMMENT 'Timestamp of the inbound Kafka record.',
    settled_at DateTime64(3, 'UTC') COMMENT 'When the decision was taken.',
    inbound_partition Int32 COMMENT 'Kafka partition that the event came in by.',
    inbound_offset Int64 COMMENT 'Kafka offset of the event in it.',
    original_event_id Nullable(String) COMMENT 'For AM05: the event that first claimed this identity, where known.',
    identity Nullable(String) COMMENT 'What this transaction claimed: family|tag|value.',
    status_report Nullable(String) COMMENT 'The pacs.002 XML of the whole message, on its last result, when status reports are on.',
    result_partition Int32 COMMENT 'Kafka partition of this row in the results topic: the settlement partition.',
    result_offset Int64 COMMENT 'Kafka offset of this row in it.',
    INDEX uetr_index uetr TYPE bloom_filter GRANULARITY 4,
    INDEX event_id_index event_id TYPE bloom_filter GRANULARITY 4,
    INDEX settled_at_index settled_at TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
ORDER BY (result_partition, result_offset)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'One row for each record of the results topic: what became of one transaction, or of a message as a whole.';

CREATE TABLE IF NOT EXISTS payments.dead_letters
(
    code LowCardinality(String) COMMENT 'Why the event cannot be understood: OVERSIZE, NOT_FRAMED, AVRO_INVALID, XML_INVALID and so on.',
    reason String COMMENT 'One line for a person.',
    inbound_topic LowCardinality(String) COMMENT 'Kafka topic that the event came in by.',
    inbound_partition Int32 COMMENT 'Kafka partition of the event; -1 where the dead letter does not say.',
    inbound_offset Int64 COMMENT 'Kafka offset of the event; -1 where the dead letter does not say.',
    failed_at DateTime64(3, 'UTC') COMMENT 'When a worker gave the event up.',
    worker LowCardinality(String) COMMENT 'The worker that did.',
    key Nullable(String) COMMENT 'Key of the inbound record, byte for byte.',
    value_size UInt64 COMMENT 'Bytes of the inbound value; 0 for a null one. The value itself is in the dead-letter topic only.',
    value_sha256 String COMMENT 'SHA-256 of the inbound value in hexadecimal; of no bytes for a null one.',
    dead_letter_partition Int32 COMMENT 'Kafka partition of this row in the dead-letter topic.',
    dead_letter_offset Int64 COMMENT 'Kafka offset of this row in it.'
)
ENGINE = MergeTree
ORDER BY (dead_letter_partition, dead_letter_offset)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'One row for each record of the dead-letter topic: an event that could not be understood.';

CREATE TABLE IF NOT EXISTS payments.sink_claims
(
    table_name LowCardinality(String) COMMENT 'results or dead_letters.',
    partition Int32 COMMENT 'Kafka partition.',
    epoch UInt64 COMMENT 'Counts the claims of this partition; the highest one holds.',
    claim String COMMENT 'Name of the sink, and a fresh identifier for each claim.',
    topic String COMMENT 'Kafka topic that the rows come from.',
    topic_id String COMMENT 'Kafka''s identifier of that topic, another one when it is created anew; empty where Kafka has none.',
    claimed_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (table_name, partition, epoch, claim)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Who may write the rows of a Kafka partition: an insert of any other sink is refused by the server. Kept by the sink.';
