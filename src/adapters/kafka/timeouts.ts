/** What our clients ask of Kafka; a broker may forbid either, which `settlefleet doctor` looks at. */

/** The least that brokers allow by default (group.min.session.timeout.ms): so long a dead member keeps its partitions. */
export const sessionTimeoutMs = 6_000;
/** So long a Kafka transaction stays open at most; a killed worker's is ended before, by whoever takes its partitions over. */
export const transactionTimeoutMs = 10_000;
