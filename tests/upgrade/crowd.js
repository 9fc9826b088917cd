'use strict';
/* Many sessions of each level that must notice nothing, and a publisher that pushes to their users all the time. */

const assert = require('node:assert/strict');
const { range, waitUntil } = require('../e2e/harness');
const { startPublisher } = require('../fleet/harness');

const OPEN = {
    plain: (herald, userId) => herald.subscribe(userId),
    v1: (herald, userId) => herald.subscribeV1(userId, { autoAck: true }),
    sse: (herald, userId) => herald.events(userId),
};

const valuesOf = ({ kind, client }) => (kind === 'sse'
    ? client.events.filter(({ event }) => event === 'message').map(({ data }) => JSON.parse(data))
    : client.values());

class Crowd {
    constructor(herald, sessions) {
        this.herald = herald;
        this.sessions = sessions;
        this.closes = [];
        for (const { userId, kind, client } of sessions) {
            (client.closed ?? client.ended).then((end) => this.closes.push({ userId, kind, ...end }));
        }
    }

    get userIds() {
        return [...new Set(this.sessions.map(({ userId }) => userId))];
    }

    publish(t, options = {}) {
        this.publisher = startPublisher(t, [this.herald], this.userIds, { pauseMs: 2, ...options });
        return this.publisher;
    }

    /* Every session of a user whom the publisher has reached has had something new. */
    async waitFlow() {
        const before = this.publisher.accepted.length;
        await waitUntil('pushes flow', () => this.publisher.accepted.length >= before + 2 * this.userIds.length);
    }

    /* No session was closed, and each has had what was accepted for its user: all of it, once, in order. */
    async assertUnnoticed() {
        await this.publisher.stop();
        for (const session of this.sessions) {
            const expected = this.publisher.valuesFor(session.userId);
            await waitUntil(`all ${expected.length} for ${session.userId} (${session.kind})`,
                () => valuesOf(session).length >= expected.length || this.closes.length > 0);
            assert.deepEqual(this.closes, [], 'nobody is closed');
            assert.deepEqual(valuesOf(session), expected, `what ${session.userId} has had (${session.kind})`);
        }
    }

    /* Where sessions were closed: whoever comes back after the last number that it had, has all of them in the end. */
    async assertNothingLost() {
        const accepted = await this.publisher.stop();
        for (const userId of this.userIds) {
            const pending = await this.herald.request('GET', `/users/${userId}`);
            const had = new Set(this.sessions.filter((each) => each.userId === userId).flatMap(valuesOf));
            const client = await this.herald.subscribeV1(userId);
            await waitUntil(`all that was accepted for ${userId}`, () => {
                client.values().forEach((value) => had.add(value));
                return accepted.every((each) => each.userId !== userId || had.has(each.data));
            }).catch((error) => { throw new Error(`${error.message}; ${pending.text}`); });
        }
    }
}

/* `perKind` users have a session of each kind. */
async function openCrowd(herald, { perKind = 20, kinds = Object.keys(OPEN) } = {}) {
    const sessions = await Promise.all(range(perKind).flatMap((n) => kinds.map(async (kind) => {
        const userId = `${kind}-${n}`;
        return { userId, kind, client: await OPEN[kind](herald, userId) };
    })));
    return new Crowd(herald, sessions);
}

module.exports = { openCrowd, valuesOf };
