'use strict';
/* Waiting for what a test expects, and small tools that need nothing else. */

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Until this machine's clock shows a later millisecond than `ms`: timers may fire a little early. */
async function sleepUntil(ms) {
    while (Date.now() <= ms) {
        await sleep(ms - Date.now() + 1);
    }
}

/* For waits that end at once when all is well: long, so that no busy machine is taken for a fault. */
const PATIENCE_MS = 45000;

/* Asks until the answer is true-ish and returns it; what is asked may throw meanwhile. */
async function waitUntil(what, ask, timeoutMs = PATIENCE_MS) {
    const end = Date.now() + timeoutMs;
    let last;
    for (;;) {
        try {
            const answer = await ask();
            if (answer) {
                return answer;
            }
            last = answer;
        } catch (error) {
            last = error.message;
        }
        if (Date.now() > end) {
            throw new Error(`waited ${timeoutMs} ms in vain: ${what} (last: ${last})`);
        }
        await sleep(10);
    }
}

const TICK_MS = 100;

/* By the time in which this process ran: what came while it stood still is seen before it is called late. */
function within(promise, timeoutMs, what) {
    let timer;
    const late = new Promise((_, reject) => {
        let left = timeoutMs;
        timer = setInterval(() => {
            left -= TICK_MS;
            if (left <= 0) {
                reject(new Error(`not within ${timeoutMs} ms: ${what}`));
            }
        }, TICK_MS);
    });
    return Promise.race([promise, late]).finally(() => clearInterval(timer));
}

const range = (count, from = 0) => Array.from({ length: count }, (_, i) => from + i);

/* Runs `count` jobs, at most `width` at once. */
async function parallel(count, width, job) {
    let next = 0;
    const lane = async () => {
        while (next < count) {
            await job(next++);
        }
    };
    await Promise.all(range(Math.min(width, count)).map(lane));
}

module.exports = { PATIENCE_MS, parallel, range, sleep, sleepUntil, waitUntil, within };
