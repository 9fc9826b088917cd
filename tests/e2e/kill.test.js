'use strict';
/* CONTRACT 5.1 the hard way: a killer restarts Herald on the file store every 300 ms while publishers
 * push and half of the users are online; every 202 reaches its user. Repeats are allowed, losses are not. */

const assert = require('node:assert/strict');
const { range, sleep, waitUntil } = require('./harness');

const SECONDS = 8;
const LEAST_KILLS = 5; /* however slow the machine is */
const LEAST_ACCEPTED = 100;
const USERS = 16;

/* One publisher a user, so that its numbers rise. A push whose answer broke may or may not be kept. */
async function publish(herald, user, state) {
    for (let n = 0; !state.isOver; n++) {
        try {
            const { status } = await herald.push(user.id, n);
            if (status === 202) {
                user.accepted.push(n);
                state.accepted += 1;
            } else {
                state.refused += 1;
                await sleep(2);
            }
        } catch {
            state.broken += 1;
            await sleep(5);
        }
    }
}

/* Each connection of its own must rise; over all of them nothing may be missing. */
function keep(user, client) {
    let last = -1;
    const take = (n) => {
        if (n <= last) {
            user.disorder ??= `${n} after ${last}`;
        }
        last = n;
        user.seen.add(n);
    };
    client.values().forEach(take);
    client.socket.on('message', (bytes) => take(JSON.parse(bytes.toString())));
}

async function stayOnline(herald, user, state) {
    while (!state.isOver) {
        try {
            const client = await herald.subscribe(user.id);
            keep(user, client);
            await client.closed;
        } catch {
            await sleep(10);
        }
    }
}

async function killAgainAndAgain(herald, state) {
    const end = Date.now() + SECONDS * 1000;
    while (Date.now() < end || state.kills < LEAST_KILLS || state.accepted < LEAST_ACCEPTED) {
        await sleep(300);
        await herald.kill();
        state.kills += 1;
        await herald.restart();
    }
}

module.exports = (test) => {
    test('kill -9 again and again: every 202 is delivered (file)', async (t) => {
        const herald = await t.herald({
            store: 'file', args: ['--inbox-max', '1000000', '--inbox-max-bytes', '1GiB'],
        });
        const state = { accepted: 0, refused: 0, broken: 0, kills: 0, isOver: false };
        const users = range(USERS).map((n) => ({ id: `user-${n}`, accepted: [], seen: new Set() }));
        const publishers = users.map((user) => publish(herald, user, state));
        const online = users.slice(0, USERS / 2).map((user) => stayOnline(herald, user, state));
        await killAgainAndAgain(herald, state);
        state.isOver = true;
        await Promise.all(publishers);
        herald.dropClients();
        await Promise.all(online);

        const missing = (user) => user.accepted.filter((n) => !user.seen.has(n));
        for (const user of users) {
            keep(user, await herald.subscribe(user.id));
        }
        await waitUntil('every accepted push has arrived',
            () => users.every((user) => missing(user).length === 0), 20000).catch(() => {});
        const lost = users.map((user) => [user.id, missing(user)]).filter(([, numbers]) => numbers.length > 0);
        t.note(`${state.kills} kills, ${state.accepted} accepted, ${state.refused} refused, ${state.broken} broken, `
            + `${lost.reduce((sum, [, numbers]) => sum + numbers.length, 0)} lost`);
        assert.deepEqual(lost.map(([id, numbers]) => [id, numbers.slice(0, 5)]), []);
        assert.deepEqual(users.filter((user) => user.disorder).map((user) => [user.id, user.disorder]), []);
    });
};
