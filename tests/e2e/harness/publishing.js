'use strict';
/* Publishers, and the order of what they published. */

const assert = require('node:assert/strict');

const STORES = ['memory', 'file', 'redis'];

/* The same test against each store; body(t, store). */
function everyStore(test, name, body, options = {}) {
    for (const store of options.stores ?? STORES) {
        test(`${name} (${store})`, options, async (t) => body(t, store));
    }
}

/* Pushes from, from + 1, ... to - 1, one after the other; answers what each push answered. */
async function pushNumbers(herald, userId, from, to, extra) {
    const answers = [];
    for (let n = from; n < to; n++) {
        answers.push(await herald.mustPush(userId, n, extra));
    }
    return answers;
}

function assertRising(values, message) {
    for (let i = 1; i < values.length; i++) {
        assert.ok(values[i] > values[i - 1], `${message}: ${values[i]} after ${values[i - 1]} at ${i}`);
    }
}

/* Pushes from, from + 1, ... until it is stopped; stop() returns the first number that was not pushed. */
function keepPushing(herald, userId, from) {
    const pusher = { next: from, isStopped: false };
    pusher.done = (async () => {
        while (!pusher.isStopped) {
            await herald.mustPush(userId, pusher.next);
            pusher.next += 1;
        }
    })();
    const never = new Promise(() => {});
    pusher.failed = pusher.done.then(() => never);
    pusher.failed.catch(() => {});
    /* Waits, but not for messages of a publisher that was refused. */
    pusher.race = (waiting) => Promise.race([waiting, pusher.failed]);
    pusher.stop = async () => {
        pusher.isStopped = true;
        await pusher.done;
        return pusher.next;
    };
    return pusher;
}

/* CONTRACT 5.1: each number from `from` to `to` reached a herald.v1 client once, as a notification or in a gap. */
function assertAccounted(frames, from, to) {
    let next = from;
    for (const frame of frames) {
        if (frame.type === 'notification' && frame.seq !== undefined) {
            assert.equal(frame.seq, next, `notification ${frame.seq}, where ${next} is due`);
            next = frame.seq + 1;
        } else if (frame.type === 'gap' && frame.cause !== 'reset') {
            assert.equal(frame.from, next, `a gap from ${frame.from}, where ${next} is due`);
            assert.ok(frame.to >= frame.from, JSON.stringify(frame));
            next = frame.to + 1;
        }
    }
    assert.equal(next, to + 1, `accounted up to ${next - 1}`);
}

module.exports = { assertAccounted, assertRising, everyStore, keepPushing, pushNumbers };
