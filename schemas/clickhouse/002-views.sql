-- What analysts ask first. Plain views over the tables: always exact, nothing to fill or to keep in step.

CREATE OR REPLACE VIEW payments.volume_by_minute AS
SELECT
    toStartOfMinute(settled_at) AS minute,
    currency,
    status,
    count() AS transactions,
    sum(amount) AS total_amount
FROM payments.results
WHERE transaction_index >= 0
GROUP BY minute, currency, status
COMMENT 'Transactions and their amounts for each minute, currency and status. Messages rejected as a whole are not counted.';

CREATE OR REPLACE VIEW payments.rejections_by_reason AS
SELECT
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

CREATE OR REPLACE VIEW payments.latency_by_minute AS
SELECT
    toStartOfMinute(settled_at) AS minute,
    count() AS results,
    quantile(0.5)(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(created_at)) AS created_to_settled_p50_ms,
    quantile(0.95)(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(created_at)) AS created_to_settled_p95_ms,
    quantile(0.99)(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(created_at)) AS created_to_settled_p99_ms,
    quantile(0.99)(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(received_at)) AS received_to_settled_p99_ms
FROM payments.results
GROUP BY minute
COMMENT 'How long events waited for their decision, in milliseconds: from their creation, and from their arrival in Kafka.';

CREATE OR REPLACE VIEW payments.positions_over_time AS
SELECT
    settled_at,
    assumeNotNull(debited_participant) AS participant,
    assumeNotNull(currency) AS currency,
    assumeNotNull(position_after) AS position,
    assumeNotNull(sequence) AS sequence,
    result_partition,
    result_offset
FROM payments.results
WHERE isNotNull(position_after) AND isNotNull(debited_participant) AND isNotNull(currency) AND isNotNull(sequence)
COMMENT 'The position of a participant in a currency right after each of its debits; credits show with the next debit.';

CREATE OR REPLACE VIEW payments.dead_letters_by_code AS
SELECT
    toDate(failed_at) AS day,
    code,
    count() AS dead_letters,
    sum(value_size) AS total_bytes,
    any(reason) AS example_reason,
    max(failed_at) AS last_at
FROM payments.dead_letters
GROUP BY day, code
COMMENT 'Dead letters for each day and code, with the reason of one of them.';
