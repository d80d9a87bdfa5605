-- The directory, as the sink follows it, so that a position can be seen under the debit cap that was in force.

CREATE TABLE IF NOT EXISTS payments.participants_history
(
    participant String COMMENT 'BIC in 11 characters, or clearing system code and member.',
    valid_from DateTime64(3, 'UTC') COMMENT 'Timestamp of the record in the directory''s topic; workers follow within 2 seconds.',
    name String COMMENT 'The participant''s name.',
    aliases Array(String) COMMENT 'Other identifiers of the participant.',
    debit_caps Map(LowCardinality(String), Decimal(18, 5)) COMMENT 'For each currency that the participant holds: the position may go down to minus this.',
    removed Bool COMMENT 'Whether this entry took the participant out of the directory.',
    directory_offset Int64 COMMENT 'Kafka offset of the record; of two at the same millisecond the higher one holds.'
)
ENGINE = ReplacingMergeTree(directory_offset)
ORDER BY (participant, valid_from)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Every entry of the directory that the sink has seen. The topic is compacted: entries that were replaced before a sink saw them are not here. Kept by the sink; may hold an entry more than once, read it with FINAL.';
