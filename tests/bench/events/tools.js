'use strict';
/* What the processes of events.js share: the tools of the end-to-end tests, one clock, and sorted times. */

const { cpuSeconds } = require('../processes');

/* Milliseconds of the machine's monotonic clock: the same in every process. */
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

/* The p-th part of the times; 0 where there are none. */
function quantile(times, p) {
    const sorted = Float64Array.from(times).sort();
    return sorted.length === 0 ? 0 : sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
}

module.exports = { ...require('../../e2e/harness'), cpuSeconds, nowMs, quantile };
