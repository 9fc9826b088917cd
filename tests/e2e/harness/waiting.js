'use strict';
/* Waiting for what a test expects, and small tools that need nothing else. */

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Until this machine's clock shows a later millisecond than `ms`: timers may fire a little early. */
async function sleepUntil(ms) {
    while (Date.now() <= ms) {
        await sleep(ms - Date.now() + 1);
    }
}

/* Asks until the answer is true-ish and returns it; what is asked may throw meanwhile. */
async function waitUntil(what, ask, timeoutMs = 10000) {
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

function within(promise, timeoutMs, what) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not within ${timeoutMs} ms: ${what}`)), timeoutMs);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
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

module.exports = { parallel, range, sleep, sleepUntil, waitUntil, within };
