-- What analysts ask, with a comment on every column. Amounts and positions are in the currency of their row and are never
-- added over currencies; days and minutes are UTC. A country is letters 5 and 6 of a BIC, the first two of a clearing code.

CREATE OR REPLACE VIEW payments.volume_by_minute
(
    minute DateTime('UTC') COMMENT 'Minute of the decision, its beginning.',
    currency LowCardinality(Nullable(String)) COMMENT 'ISO 4217 code; null where the transaction has none.',
    status LowCardinality(String) COMMENT 'ACSC: settled. RJCT: rejected.',
    transactions UInt64 COMMENT 'How many.',
    total_amount Decimal(38, 5) COMMENT 'Sum of their amounts; an amount that could not be read counts as 0.'
)
AS SELECT
    minute,
    nullIf(volume_minutes.currency, '') AS currency,
    status,
    sum(volume_minutes.transactions) AS transactions,
    sum(volume_minutes.total_amount) AS total_amount
FROM payments.volume_minutes
GROUP BY minute, currency, status
COMMENT 'Transactions and their amounts for each minute, currency and status. Messages rejected as a whole are not counted.';

CREATE OR REPLACE VIEW payments.volume_by_corridor
(
    minute DateTime('UTC') COMMENT 'Minute of the decision, its beginning.',
    source LowCardinality(String) COMMENT 'The upstream system or channel.',
    currency LowCardinality(Nullable(String)) COMMENT 'ISO 4217 code; null where the transaction has none.',
    status LowCardinality(String) COMMENT 'ACSC: settled. RJCT: rejected.',
    debited_participant LowCardinality(Nullable(String)) COMMENT 'Who is debited; null where unknown.',
    debited_country Nullable(String) COMMENT 'Country of the debited participant.',
    credited_participant LowCardinality(Nullable(String)) COMMENT 'Who is credited; null where unknown.',
    credited_country Nullable(String) COMMENT 'Country of the credited participant.',
    transactions UInt64 COMMENT 'How many.',
    total_amount Decimal(38, 5) COMMENT 'Sum of their amounts; an amount that could not be read counts as 0.'
)
AS SELECT
    minute,
    source,
    nullIf(volume_minutes.currency, '') AS currency,
    status,
    nullIf(volume_minutes.debited_participant, '') AS debited_participant,
    nullIf(substring(volume_minutes.debited_participant, if(position(volume_minutes.debited_participant, ':') > 0, 1, 5), 2), '') AS debited_country,
    nullIf(volume_minutes.credited_participant, '') AS credited_participant,
    nullIf(substring(volume_minutes.credited_participant, if(position(volume_minutes.credited_participant, ':') > 0, 1, 5), 2), '') AS credited_country,
    sum(volume_minutes.transactions) AS transactions,
    sum(volume_minutes.total_amount) AS total_amount
FROM payments.volume_minutes
GROUP BY minute, source, currency, status, debited_participant, debited_country, credited_participant, credited_country
COMMENT 'Transactions and their amounts for each minute, source, currency, status and corridor: who pays whom, and between which countries.';

CREATE OR REPLACE VIEW payments.rejections_by_reason
(
    day Date COMMENT 'UTC day of the decision.',
    reason_code LowCardinality(Nullable(String)) COMMENT 'ISO 20022 ExternalStatusReason1Code.',
    message_type LowCardinality(String) COMMENT 'ISO 20022 message definition identifier.',
    source LowCardinality(String) COMMENT 'The upstream system or channel.',
    rejections UInt64 COMMENT 'How many transactions, and messages rejected as a whole.',
    first_at DateTime64(3, 'UTC') COMMENT 'The first of them.',
    last_at DateTime64(3, 'UTC') COMMENT 'The last of them.'
)
AS SELECT
    toDate(settled_at) AS day,
    reason_code,
    message_type,
    source,
    count() AS rejections,
    min(settled_at) AS first_at,
    max(settled_at) AS last_at
FROM payments.results
WHERE status = 'RJCT'
GROUP BY day, reason_code, message_type, source
COMMENT 'Rejections for each day, reason code, message type and source.';

CREATE OR REPLACE VIEW payments.rejections_by_participant
(
    day Date COMMENT 'UTC day of the decision.',
    debited_participant LowCardinality(Nullable(String)) COMMENT 'Who was to be debited; null where unknown, as for a message rejected as a whole.',
    credited_participant LowCardinality(Nullable(String)) COMMENT 'Who was to be credited; null where unknown.',
    reason_code LowCardinality(Nullable(String)) COMMENT 'ISO 20022 ExternalStatusReason1Code.',
    currency LowCardinality(Nullable(String)) COMMENT 'ISO 4217 code; null where the transaction has none.',
    rejections UInt64 COMMENT 'How many transactions, and messages rejected as a whole.',
    total_amount Decimal(38, 5) COMMENT 'Sum of the amounts that were not settled; an amount that could not be read counts as 0.',
    first_at DateTime64(3, 'UTC') COMMENT 'The first of them.',
    last_at DateTime64(3, 'UTC') COMMENT 'The last of them.'
)
AS SELECT
    toDate(settled_at) AS day,
    debited_participant,
    credited_participant,
    reason_code,
    currency,
    count() AS rejections,
    ifNull(sum(amount), 0) AS total_amount,
    min(settled_at) AS first_at,
    max(settled_at) AS last_at
FROM payments.results
WHERE status = 'RJCT'
GROUP BY day, debited_participant, credited_participant, reason_code, currency
COMMENT 'Rejections for each day, pair of participants, reason code and currency.';

CREATE OR REPLACE VIEW payments.latency_by_minute
(
    minute DateTime('UTC') COMMENT 'Minute of the decision, its beginning.',
    results UInt64 COMMENT 'Results of that minute, messages rejected as a whole included.',
    created_to_settled_p50_ms Float64 COMMENT 'Half of the events took no longer from their creation to their decision; within 1 %.',
    created_to_settled_p95_ms Float64 COMMENT '95 % of them; within 1 %.',
    created_to_settled_p99_ms Float64 COMMENT '99 % of them; within 1 %.',
    created_to_settled_max_ms Int64 COMMENT 'The longest, exactly.',
    received_to_settled_p50_ms Float64 COMMENT 'Half of the events took no longer from their arrival in Kafka to their decision; within 1 %.',
    received_to_settled_p99_ms Float64 COMMENT '99 % of them; within 1 %.'
)
AS SELECT
    minute,
    sum(latency_minutes.results) AS results,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(created_to_settled) AS created,
    created[1] AS created_to_settled_p50_ms,
    created[2] AS created_to_settled_p95_ms,
    created[3] AS created_to_settled_p99_ms,
    max(created_to_settled_max) AS created_to_settled_max_ms,
    quantilesDDMerge(0.01, 0.5, 0.95, 0.99)(received_to_settled) AS received,
    received[1] AS received_to_settled_p50_ms,
    received[3] AS received_to_settled_p99_ms
FROM payments.latency_minutes
GROUP BY minute
COMMENT 'How long events waited for their decision, in milliseconds. For other ranges than minutes, merge the states of latency_minutes; quantiles of quantiles mean nothing.';

CREATE OR REPLACE VIEW payments.debit_caps
(
    participant String COMMENT 'BIC in 11 characters, or clearing system code and member.',
    currency LowCardinality(String) COMMENT 'ISO 4217 code.',
    debit_cap Decimal(18, 5) COMMENT 'The position may go down to minus this.',
    valid_from DateTime64(3, 'UTC') COMMENT 'From when on; workers follow within 2 seconds.',
    valid_to Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when, exclusive; null while it is in force.',
    name String COMMENT 'The participant''s name at that time.'
)
AS SELECT
    participant,
    cap.1 AS currency,
    cap.2 AS debit_cap,
    valid_from,
    valid_to,
    name
FROM
(
    SELECT
        participant,
        valid_from,
        name,
        CAST(debit_caps, 'Array(Tuple(LowCardinality(String), Decimal(18, 5)))') AS caps,
        leadInFrame(toNullable(valid_from)) OVER (PARTITION BY participant ORDER BY valid_from ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS valid_to
    FROM payments.participants_history FINAL
)
ARRAY JOIN caps AS cap
COMMENT 'Which debit cap held when, for each participant and currency: every entry of the directory that the sink has seen.';

CREATE OR REPLACE VIEW payments.positions_over_time
(
    settled_at DateTime64(3, 'UTC') COMMENT 'When the debit was decided.',
    participant LowCardinality(String) COMMENT 'The debited participant.',
    currency LowCardinality(String) COMMENT 'ISO 4217 code.',
    position Decimal(38, 5) COMMENT 'Its position right after this debit.',
    sequence Int64 COMMENT 'Place of this debit in the order of its settlement partition.',
    result_partition Int32 COMMENT 'Kafka partition in the results topic: the settlement partition.',
    result_offset Int64 COMMENT 'Kafka offset in it.',
    debit_cap Nullable(Decimal(18, 5)) COMMENT 'The cap in force at that time; null where the sink has not seen it.',
    headroom Nullable(Decimal(38, 5)) COMMENT 'What could still be debited then: position plus cap.'
)
AS SELECT
    results.settled_at AS settled_at,
    assumeNotNull(results.debited_participant) AS participant,
    assumeNotNull(results.currency) AS currency,
    assumeNotNull(results.position_after) AS position,
    assumeNotNull(results.sequence) AS sequence,
    results.result_partition AS result_partition,
    results.result_offset AS result_offset,
    if(caps.known AND (isNull(caps.valid_to) OR results.settled_at < caps.valid_to), toNullable(caps.debit_cap), NULL) AS debit_cap,
    position + debit_cap AS headroom
FROM payments.results AS results
ASOF LEFT JOIN
(
    SELECT participant, currency, debit_cap, valid_from, valid_to, true AS known
    FROM payments.debit_caps
) AS caps
ON ifNull(results.debited_participant, '') = caps.participant AND ifNull(results.currency, '') = caps.currency AND results.settled_at >= caps.valid_from
WHERE isNotNull(results.position_after) AND isNotNull(results.debited_participant) AND isNotNull(results.currency) AND isNotNull(results.sequence)
COMMENT 'The position of a participant in a currency right after each of its debits, and its headroom under the debit cap; credits show with the next debit. For positions with all credits: positions_now.';

CREATE OR REPLACE VIEW payments.positions_now
(
    participant String COMMENT 'BIC in 11 characters, or clearing system code and member.',
    currency LowCardinality(String) COMMENT 'ISO 4217 code.',
    position Decimal(38, 5) COMMENT 'All credits less all debits of every settled transaction.',
    debit_cap Nullable(Decimal(18, 5)) COMMENT 'The cap in force; null where the participant is not in the directory, or not with this currency.',
    headroom Nullable(Decimal(38, 5)) COMMENT 'What can still be debited: position plus cap.',
    used Nullable(Float64) COMMENT 'Share of the cap that is used, 0 to 1; 0 while the position is not below 0, null where the cap is 0 or unknown.',
    last_day Nullable(Date) COMMENT 'Day of the last movement; null where there was none.'
)
AS SELECT
    if(moved.participant = '', caps.participant, moved.participant) AS participant,
    if(moved.participant = '', caps.currency, moved.currency) AS currency,
    moved.net AS position,
    if(caps.participant = '', NULL, toNullable(caps.debit_cap)) AS debit_cap,
    position + debit_cap AS headroom,
    if(debit_cap > 0, toFloat64(greatest(-position, 0)) / toFloat64(debit_cap), NULL) AS used,
    nullIf(moved.last, toDate(0)) AS last_day
FROM
(
    SELECT toString(statement_days.participant) AS participant, toString(statement_days.currency) AS currency, sum(credits) - sum(debits) AS net, max(day) AS last
    FROM payments.statement_days
    GROUP BY participant, currency
) AS moved
FULL JOIN
(
    SELECT debit_caps.participant AS participant, toString(debit_caps.currency) AS currency, debit_cap
    FROM payments.debit_caps
    WHERE isNull(valid_to)
) AS caps
ON moved.participant = caps.participant AND moved.currency = caps.currency
SETTINGS join_use_nulls = 0
COMMENT 'The position of each participant in each currency as of the last stored result, all credits counted, and its headroom under the debit cap. The positions of a currency add up to 0.';

CREATE OR REPLACE VIEW payments.movements
(
    day Date COMMENT 'UTC day of the decision.',
    settled_at DateTime64(3, 'UTC') COMMENT 'When it was decided.',
    participant String COMMENT 'The participant whose position moved.',
    currency LowCardinality(String) COMMENT 'ISO 4217 code.',
    side String COMMENT 'debit or credit.',
    amount Decimal(18, 5) COMMENT 'The amount, without a sign.',
    counterparty Nullable(String) COMMENT 'The participant on the other side.',
    position_after Nullable(Decimal(38, 5)) COMMENT 'Position right after it; known for debits only.',
    message_type LowCardinality(String) COMMENT 'ISO 20022 message definition identifier.',
    source LowCardinality(String) COMMENT 'The upstream system or channel.',
    event_id String COMMENT 'The event that brought the payment.',
    transaction_index Int32 COMMENT '0-based place of the transaction in its message.',
    end_to_end_id Nullable(String) COMMENT 'PmtId/EndToEndId.',
    transaction_id Nullable(String) COMMENT 'PmtId/TxId.',
    uetr Nullable(String) COMMENT 'PmtId/UETR in lower case.',
    result_partition Int32 COMMENT 'Kafka partition in the results topic: the settlement partition of the debit.',
    result_offset Int64 COMMENT 'Kafka offset in it.'
)
AS SELECT
    toDate(results.settled_at) AS day,
    results.settled_at AS settled_at,
    assumeNotNull(leg.1) AS participant,
    assumeNotNull(results.currency) AS currency,
    leg.2 AS side,
    assumeNotNull(results.amount) AS amount,
    leg.3 AS counterparty,
    if(leg.2 = 'debit', results.position_after, NULL) AS position_after,
    message_type,
    source,
    event_id,
    transaction_index,
    end_to_end_id,
    transaction_id,
    uetr,
    result_partition,
    result_offset
FROM payments.results AS results
ARRAY JOIN
[
    (toNullable(toString(debited_participant)), 'debit', toNullable(toString(credited_participant))),
    (toNullable(toString(credited_participant)), 'credit', toNullable(toString(debited_participant)))
] AS leg
WHERE status = 'ACSC' AND isNotNull(leg.1) AND isNotNull(results.currency) AND isNotNull(results.amount)
COMMENT 'The entries of a statement: each settled transaction twice, as the debit of one participant and the credit of the other.';

CREATE OR REPLACE VIEW payments.statement_by_day
(
    day Date COMMENT 'UTC day.',
    participant String COMMENT 'BIC in 11 characters, or clearing system code and member.',
    currency LowCardinality(String) COMMENT 'ISO 4217 code.',
    opening Decimal(38, 5) COMMENT 'Position at the beginning of the day: all credits less all debits of the days before.',
    debit_count UInt64 COMMENT 'Settled transactions of the day that debited the participant.',
    debits Decimal(38, 5) COMMENT 'Sum of their amounts.',
    credit_count UInt64 COMMENT 'Settled transactions of the day that credited the participant.',
    credits Decimal(38, 5) COMMENT 'Sum of their amounts, on the day of the decision.',
    closing Decimal(38, 5) COMMENT 'Position at the end of the day: opening less debits plus credits.'
)
AS SELECT
    day,
    participant,
    currency,
    closing + debits - credits AS opening,
    debit_count,
    debits,
    credit_count,
    credits,
    sum(credits - debits) OVER (PARTITION BY participant, currency ORDER BY day ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS closing
FROM
(
    SELECT
        day,
        participant,
        currency,
        sum(entry.debit_count) AS debit_count,
        sum(entry.debits) AS debits,
        sum(entry.credit_count) AS credit_count,
        sum(entry.credits) AS credits
    FROM
    (
        SELECT day, toString(participant) AS participant, toString(currency) AS currency, debit_count, debits, credit_count, credits
        FROM payments.statement_days
        UNION ALL
        -- The days on which nothing moved.
        SELECT
            toDate(arrayJoin(range(toUInt32(toUInt16(min(statement_days.day))), toUInt32(toUInt16(toDate(now('UTC')))) + 1))) AS day,
            toString(statement_days.participant) AS participant,
            toString(statement_days.currency) AS currency,
            0, 0, 0, 0
        FROM payments.statement_days
        GROUP BY participant, currency
    ) AS entry
    GROUP BY day, participant, currency
)
COMMENT 'A statement for each participant and currency, for every day from its first movement to today: opening, debits, credits, closing. The entries of it: movements.';

CREATE OR REPLACE VIEW payments.duplicates
(
    settled_at DateTime64(3, 'UTC') COMMENT 'When the second one was refused.',
    source LowCardinality(String) COMMENT 'Who sent the second one.',
    debited_participant LowCardinality(Nullable(String)) COMMENT 'Who would have been debited again.',
    credited_participant LowCardinality(Nullable(String)) COMMENT 'Who would have been credited again.',
    currency LowCardinality(Nullable(String)) COMMENT 'ISO 4217 code.',
    amount Nullable(Decimal(18, 5)) COMMENT 'What would have been settled twice.',
    uetr Nullable(String) COMMENT 'PmtId/UETR of the second one.',
    end_to_end_id Nullable(String) COMMENT 'PmtId/EndToEndId of the second one.',
    event_id String COMMENT 'The event that was refused.',
    transaction_index Int32 COMMENT '0-based place of the transaction in its message.',
    original_event_id Nullable(String) COMMENT 'The event that came first; null where it is not known.',
    original_source Nullable(String) COMMENT 'Who sent the first one; null where its row is not stored (yet, or any more).',
    original_settled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the first one was decided.',
    seconds_after Nullable(Float64) COMMENT 'Seconds from the decision on the first to that on the second.'
)
AS SELECT
    second.settled_at AS settled_at,
    second.source AS source,
    second.debited_participant AS debited_participant,
    second.credited_participant AS credited_participant,
    second.currency AS currency,
    second.amount AS amount,
    second.uetr AS uetr,
    second.end_to_end_id AS end_to_end_id,
    second.event_id AS event_id,
    second.transaction_index AS transaction_index,
    second.original_event_id AS original_event_id,
    if(first.event_id = '', NULL, toNullable(first.sent_by)) AS original_source,
    if(first.event_id = '', NULL, toNullable(first.decided_at)) AS original_settled_at,
    (toUnixTimestamp64Milli(second.settled_at) - toUnixTimestamp64Milli(original_settled_at)) / 1000 AS seconds_after
FROM payments.results AS second
LEFT JOIN
(
    SELECT event_id, any(source) AS sent_by, min(settled_at) AS decided_at
    FROM payments.results
    WHERE event_id IN (SELECT assumeNotNull(original_event_id) FROM payments.results WHERE reason_code = 'AM05' AND isNotNull(original_event_id))
    GROUP BY event_id
) AS first
ON ifNull(second.original_event_id, '') = first.event_id
WHERE second.reason_code = 'AM05'
SETTINGS join_use_nulls = 0
COMMENT 'Transactions refused because their identity was claimed before (AM05), with what came first.';

CREATE OR REPLACE VIEW payments.resends_by_source
(
    day Date COMMENT 'UTC day of the refusal.',
    source LowCardinality(String) COMMENT 'Who sends again.',
    debited_participant LowCardinality(Nullable(String)) COMMENT 'For whom.',
    transactions UInt64 COMMENT 'Transactions of that source and participant on that day, settled or not.',
    duplicates UInt64 COMMENT 'How many of them were refused as duplicates (AM05).',
    duplicate_share Float64 COMMENT 'Duplicates among the transactions, 0 to 1.'
)
AS SELECT
    toDate(settled_at) AS day,
    source,
    debited_participant,
    count() AS transactions,
    countIf(reason_code = 'AM05') AS duplicates,
    duplicates / transactions AS duplicate_share
FROM payments.results
WHERE transaction_index >= 0
GROUP BY day, source, debited_participant
HAVING duplicates > 0
COMMENT 'Who sends payments again that were sent before: duplicates for each day, source and debited participant.';

CREATE OR REPLACE VIEW payments.dead_letters_by_code
(
    day Date COMMENT 'UTC day on which a worker gave the events up.',
    code LowCardinality(String) COMMENT 'Why the events cannot be understood.',
    dead_letters UInt64 COMMENT 'How many.',
    total_bytes UInt64 COMMENT 'Bytes of their inbound values.',
    example_reason String COMMENT 'The reason of one of them.',
    last_at DateTime64(3, 'UTC') COMMENT 'The last of them.'
)
AS SELECT
    toDate(failed_at) AS day,
    code,
    count() AS dead_letters,
    sum(value_size) AS total_bytes,
    any(reason) AS example_reason,
    max(failed_at) AS last_at
FROM payments.dead_letters
GROUP BY day, code
COMMENT 'Dead letters for each day and code, with the reason of one of them.';

-- Columns that had no comment yet.
ALTER TABLE payments.sink_claims COMMENT COLUMN IF EXISTS claimed_at 'When.';
ALTER TABLE payments.schema_migrations
    COMMENT COLUMN IF EXISTS version 'Number of the file.',
    COMMENT COLUMN IF EXISTS name 'Name of the file.',
    COMMENT COLUMN IF EXISTS checksum 'SHA-256 of the file as it was applied.',
    COMMENT COLUMN IF EXISTS applied_at 'When.';
