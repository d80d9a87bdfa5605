/** Of UTC, as JavaScript and Kafka count time: without leap seconds. */
export const dayMs = 86_400_000;
