'use strict';
/* A publisher that repeats each push with its idempotency key, at the next node, until one has accepted it. It knows what
 * it was told, and finds an answer that contradicts another. */

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { sleep } = require('../../e2e/harness');

const RETRY_MS = 50;

class Publisher {
    constructor(nodes, { first = 0, deadlineMs = 60000 } = {}) {
        this.nodes = nodes;
        this.at = first;
        this.deadlineMs = deadlineMs;
        this.accepted = []; /* {userId, data, id, seq, tries} in the order of the answers */
        this.refusals = new Map(); /* status, or 'broken' -> how often */
        this.failedAt = []; /* the node of each refusal */
        this.next = 0;
        this.isOver = false;
    }

    node() {
        return this.nodes[this.at % this.nodes.length];
    }

    async ask(node, body) {
        try {
            const answer = await node.post('/push', body, {}, { timeoutMs: 5000 });
            return answer;
        } catch {
            return { status: 'broken' };
        }
    }

    /* Until it is accepted; answers what it was told. */
    async push(userId, data, extra = {}) {
        const body = { userId, data, idempotencyKey: extra.idempotencyKey ?? randomUUID(), ...extra };
        const end = Date.now() + this.deadlineMs;
        for (let tries = 1; ; tries++) {
            const node = this.node();
            const { status, json, text } = await this.ask(node, body);
            if (status === 202) {
                const told = { userId, data, id: json.id, seq: json.seq, tries, key: body.idempotencyKey };
                this.accepted.push(told);
                return told;
            }
            this.refusals.set(status, (this.refusals.get(status) ?? 0) + 1);
            this.failedAt.push(node);
            assert.ok(['broken', 500, 503].includes(status), `a push is answered ${status}: ${text}`);
            assert.ok(Date.now() < end, `no node accepted a push in ${this.deadlineMs} ms: ${text}`);
            this.at += 1;
            await sleep(RETRY_MS);
        }
    }

    /* Pushes `from`, and the numbers behind it, to these users in turn, until it is stopped. */
    begin(userIds, { pauseMs = 5, extra, from = 0 } = {}) {
        this.next = from;
        this.done = (async () => {
            while (!this.isOver) {
                await this.push(userIds[this.next % userIds.length], this.next, extra);
                this.next += 1;
                await sleep(pauseMs);
            }
        })();
        this.done.catch(() => {}); /* stop() tells */
        return this;
    }

    async stop() {
        this.isOver = true;
        await this.done;
        return this.accepted;
    }

    valuesFor(userId) {
        return this.accepted.filter((each) => each.userId === userId).map(({ data }) => data);
    }

    /* What was accepted is said to be a duplicate, of the same id, wherever one asks. */
    async assertRemembered(sample = this.accepted.slice(-20)) {
        for (const [n, { userId, data, key, id }] of sample.entries()) {
            const { status, json } = await this.nodes[n % this.nodes.length].push(userId, data, { idempotencyKey: key });
            assert.deepEqual([status, json?.id, json?.duplicate], [202, id, true], `the repeat of ${id}`);
        }
    }
}

function startPublisher(t, nodes, userIds, options = {}) {
    const publisher = new Publisher(nodes, options).begin(userIds, options);
    t.cleanup(() => { publisher.isOver = true; });
    return publisher;
}

module.exports = { Publisher, startPublisher };
