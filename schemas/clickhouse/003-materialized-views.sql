-- What would take too long to count anew for each question is counted once, as rows come in.
--
-- ClickHouse fills a materialized view while it inserts into its source, and gives no promise for both together: a server
-- that is killed between the two has the rows and not the view, or the other way round, and a view that is made over a full
-- table is empty. So these views do not hang on `results`. They hang on `results_feed`, through which the sink passes rows
-- that are already stored: each partition in the order of its offsets, and for each view behind the highest offset that
-- the view itself holds. A view that is new, or was cut off, is thereby filled from where it stands, exactly.
--
-- `last_offset` is what makes it exact. It is kept for each row of a view, not for the view as a whole: rows of the feed above
-- a view's highest offset cannot be in any row of it, whatever was merged or has expired.

CREATE TABLE IF NOT EXISTS payments.results_feed
(
    transaction_index Int32 COMMENT 'As in results.',
    source LowCardinality(String) COMMENT 'As in results.',
    status LowCardinality(String) COMMENT 'As in results.',
    debited_participant LowCardinality(Nullable(String)) COMMENT 'As in results.',
    credited_participant LowCardinality(Nullable(String)) COMMENT 'As in results.',
    currency LowCardinality(Nullable(String)) COMMENT 'As in results.',
    amount Nullable(Decimal(18, 5)) COMMENT 'As in results.',
    created_at DateTime64(3, 'UTC') COMMENT 'As in results.',
    received_at DateTime64(3, 'UTC') COMMENT 'As in results.',
    settled_at DateTime64(3, 'UTC') COMMENT 'As in results.',
    result_partition Int32 COMMENT 'As in results.',
    result_offset Int64 COMMENT 'As in results.',
    views Array(LowCardinality(String)) COMMENT 'The tables of the materialized views that do not hold this row yet.'
)
ENGINE = Null
COMMENT 'Holds nothing: the sink passes stored results through it to the materialized views.';

CREATE TABLE IF NOT EXISTS payments.volume_minutes
(
    minute DateTime('UTC') COMMENT 'Minute of the decision, its beginning.',
    currency LowCardinality(String) COMMENT 'ISO 4217 code; empty where the transaction has none.',
    status LowCardinality(String) COMMENT 'ACSC: settled. RJCT: rejected.',
    source LowCardinality(String) COMMENT 'The upstream system or channel.',
    debited_participant LowCardinality(String) COMMENT 'Who is debited; empty where unknown.',
    credited_participant LowCardinality(String) COMMENT 'Who is credited; empty where unknown.',
    result_partition Int32 COMMENT 'Settlement partition; add over it.',
    transactions SimpleAggregateFunction(sum, UInt64) COMMENT 'Transactions; add them up (several rows of one key may stand side by side).',
    total_amount SimpleAggregateFunction(sum, Decimal(38, 5)) COMMENT 'Sum of their amounts; an amount that could not be read counts as 0.',
    last_offset SimpleAggregateFunction(max, Int64) COMMENT 'Highest result_offset that was counted here. The sink goes on behind it.'
)
ENGINE = AggregatingMergeTree
ORDER BY (minute, currency, status, source, debited_participant, credited_participant, result_partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Transactions and amounts for each minute, currency, status, source and pair of participants. Read it by volume_by_minute and volume_by_corridor.';

CREATE MATERIALIZED VIEW IF NOT EXISTS payments.volume_minutes_fill TO payments.volume_minutes
(
    minute DateTime('UTC') COMMENT 'As in volume_minutes.',
    currency LowCardinality(String) COMMENT 'As in volume_minutes.',
    status LowCardinality(String) COMMENT 'As in volume_minutes.',
    source LowCardinality(String) COMMENT 'As in volume_minutes.',
    debited_participant LowCardinality(String) COMMENT 'As in volume_minutes.',
    credited_participant LowCardinality(String) COMMENT 'As in volume_minutes.',
    result_partition Int32 COMMENT 'As in volume_minutes.',
    transactions UInt64 COMMENT 'As in volume_minutes.',
    total_amount Decimal(38, 5) COMMENT 'As in volume_minutes.',
    last_offset Int64 COMMENT 'As in volume_minutes.'
)
AS SELECT
    toStartOfMinute(results_feed.settled_at) AS minute,
    ifNull(results_feed.currency, '') AS currency,
    results_feed.status AS status,
    results_feed.source AS source,
    ifNull(results_feed.debited_participant, '') AS debited_participant,
    ifNull(results_feed.credited_participant, '') AS credited_participant,
    results_feed.result_partition AS result_partition,
    count() AS transactions,
    ifNull(sum(results_feed.amount), 0) AS total_amount,
    max(results_feed.result_offset) AS last_offset
FROM payments.results_feed
WHERE transaction_index >= 0 AND has(views, 'volume_minutes')
GROUP BY minute, currency, status, source, debited_participant, credited_participant, result_partition
COMMENT 'Fills volume_minutes.';

CREATE TABLE IF NOT EXISTS payments.latency_minutes
(
    minute DateTime('UTC') COMMENT 'Minute of the decision, its beginning.',
    result_partition Int32 COMMENT 'Settlement partition; merge over it.',
    results SimpleAggregateFunction(sum, UInt64) COMMENT 'Results, messages rejected as a whole included; add them up.',
    created_to_settled AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Float64) COMMENT 'State: milliseconds from the creation of the event to its decision. quantileDDMerge(0.01, q)(created_to_settled) gives any quantile q over any rows, within 1 % of its value.',
    received_to_settled AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Float64) COMMENT 'State: milliseconds from the arrival of the event in Kafka to its decision, likewise.',
    created_to_settled_max SimpleAggregateFunction(max, Int64) COMMENT 'The longest, in milliseconds, exactly.',
    received_to_settled_max SimpleAggregateFunction(max, Int64) COMMENT 'The longest, in milliseconds, exactly.',
    last_offset SimpleAggregateFunction(max, Int64) COMMENT 'Highest result_offset that was counted here. The sink goes on behind it.'
)
ENGINE = AggregatingMergeTree
ORDER BY (minute, result_partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'How long decisions took, for each minute, as states that merge over any range of minutes.';

CREATE MATERIALIZED VIEW IF NOT EXISTS payments.latency_minutes_fill TO payments.latency_minutes
(
    minute DateTime('UTC') COMMENT 'As in latency_minutes.',
    result_partition Int32 COMMENT 'As in latency_minutes.',
    results UInt64 COMMENT 'As in latency_minutes.',
    created_to_settled AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Float64) COMMENT 'As in latency_minutes.',
    received_to_settled AggregateFunction(quantilesDD(0.01, 0.5, 0.95, 0.99), Float64) COMMENT 'As in latency_minutes.',
    created_to_settled_max Int64 COMMENT 'As in latency_minutes.',
    received_to_settled_max Int64 COMMENT 'As in latency_minutes.',
    last_offset Int64 COMMENT 'As in latency_minutes.'
)
AS SELECT
    toStartOfMinute(settled_at) AS minute,
    results_feed.result_partition AS result_partition,
    count() AS results,
    quantilesDDState(0.01, 0.5, 0.95, 0.99)(toFloat64(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(created_at))) AS created_to_settled,
    quantilesDDState(0.01, 0.5, 0.95, 0.99)(toFloat64(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(received_at))) AS received_to_settled,
    max(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(created_at)) AS created_to_settled_max,
    max(toUnixTimestamp64Milli(settled_at) - toUnixTimestamp64Milli(received_at)) AS received_to_settled_max,
    max(result_offset) AS last_offset
FROM payments.results_feed
WHERE has(views, 'latency_minutes')
GROUP BY minute, result_partition
COMMENT 'Fills latency_minutes.';

CREATE TABLE IF NOT EXISTS payments.statement_days
(
    day Date COMMENT 'UTC day of the decision.',
    participant LowCardinality(String) COMMENT 'The participant whose position moved.',
    currency LowCardinality(String) COMMENT 'ISO 4217 code.',
    result_partition Int32 COMMENT 'Settlement partition of the transactions; add over it.',
    debit_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Settled transactions that debited the participant; add them up.',
    debits SimpleAggregateFunction(sum, Decimal(38, 5)) COMMENT 'Sum of their amounts.',
    credit_count SimpleAggregateFunction(sum, UInt64) COMMENT 'Settled transactions that credited the participant; add them up.',
    credits SimpleAggregateFunction(sum, Decimal(38, 5)) COMMENT 'Sum of their amounts.',
    last_offset SimpleAggregateFunction(max, Int64) COMMENT 'Highest result_offset that was counted here. The sink goes on behind it.'
)
ENGINE = AggregatingMergeTree
ORDER BY (participant, currency, day, result_partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'What moved the position of each participant in each currency on each day. Read it by statement_by_day and positions_now. Never expires: an opening is the sum of all that was before.';

CREATE MATERIALIZED VIEW IF NOT EXISTS payments.statement_days_fill TO payments.statement_days
(
    day Date COMMENT 'As in statement_days.',
    participant LowCardinality(String) COMMENT 'As in statement_days.',
    currency LowCardinality(String) COMMENT 'As in statement_days.',
    result_partition Int32 COMMENT 'As in statement_days.',
    debit_count UInt64 COMMENT 'As in statement_days.',
    debits Decimal(38, 5) COMMENT 'As in statement_days.',
    credit_count UInt64 COMMENT 'As in statement_days.',
    credits Decimal(38, 5) COMMENT 'As in statement_days.',
    last_offset Int64 COMMENT 'As in statement_days.'
)
AS SELECT
    toDate(settled_at) AS day,
    assumeNotNull(side.1) AS participant,
    assumeNotNull(results_feed.currency) AS currency,
    results_feed.result_partition AS result_partition,
    countIf(side.2 = 'debit') AS debit_count,
    sumIf(assumeNotNull(amount), side.2 = 'debit') AS debits,
    countIf(side.2 = 'credit') AS credit_count,
    sumIf(assumeNotNull(amount), side.2 = 'credit') AS credits,
    max(result_offset) AS last_offset
FROM payments.results_feed
ARRAY JOIN [(toNullable(toString(debited_participant)), 'debit'), (toNullable(toString(credited_participant)), 'credit')] AS side
WHERE status = 'ACSC' AND has(views, 'statement_days') AND isNotNull(side.1) AND isNotNull(results_feed.currency) AND isNotNull(amount)
GROUP BY day, participant, currency, result_partition
COMMENT 'Fills statement_days.';
