/**
 * Upper bounds of all histograms, in seconds: 1 ms to 60 s. Closest around the commit interval of 100 ms, where an
 * end-to-end time of a fleet that keeps up lies, so that a quantile read from them is off by a third at most there.
 */
export const secondsBuckets: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 30, 60,
];
