'use strict';
/* A backend that pulls: GET /events, with the cursor of one answer as the `ack` of the next call. */

const assert = require('node:assert/strict');
const { EventRecord } = require('./event_ids');
const { PATIENCE_MS, waitUntil } = require('./waiting');

const CURSOR = /^[A-Za-z0-9_-]{1,600}$/;

const queryOf = (values) => Object.entries(values).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');

class Consumer {
    /* herald: whose admin API is asked; it may be replaced, by another node of its fleet. options: limit, types, from. */
    constructor(herald, name, options = {}) {
        this.herald = herald;
        this.name = name;
        this.options = options;
        this.record = new EventRecord({ isWhole: options.types === undefined });
        this.cursor = undefined; /* of the last answer */
    }

    /* One call, whatever comes of it. `timeoutMs` is the patience of its HTTP client. */
    ask({ timeoutMs = PATIENCE_MS, ...query } = {}) {
        const target = `/events?${queryOf({ consumer: this.name, ...this.options, ...query })}`;
        return this.herald.request('GET', target, { timeoutMs });
    }

    /* One call that must succeed: its events, all of them, also those that came before. Nothing is acknowledged, unless
     * the query says so: { ack: consumer.cursor }. */
    async peek(query = {}) {
        const answer = await this.ask(query);
        assert.equal(answer.status, 200, answer.text);
        return this.keep(answer);
    }

    keep({ json, text }) {
        assert.ok(Array.isArray(json.events), text);
        assert.match(json.cursor, CURSOR);
        this.cursor = json.cursor;
        json.events.forEach((event) => this.record.take(event));
        return json.events;
    }

    /* The next ones: acknowledges what the last answer had. */
    next(query = {}) {
        return this.peek({ ack: this.cursor, ...query });
    }

    /* POST /events/ack of what the last answer had: {consumer, lag}. */
    async ack(cursor = this.cursor) {
        const answer = await this.herald.post('/events/ack', { consumer: this.name, cursor });
        assert.equal(answer.status, 200, answer.text);
        return answer.json;
    }

    /* Reads on until the record holds what isEnough(record) asks for; answers the record. */
    async readUntil(what, isEnough, timeoutMs = PATIENCE_MS) {
        await waitUntil(what, async () => {
            if (!isEnough(this.record)) {
                await this.next({ wait: 1 });
            }
            return isEnough(this.record);
        }, timeoutMs).catch((error) => {
            const seen = this.record.events.slice(-8).map((event) => JSON.stringify(event).slice(0, 200));
            throw new Error(`${error.message}; ${this.record.events.length} events, the last ones: ${seen.join(' ')}`);
        });
        return this.record;
    }

    /* The first `count` events of a type, and of a user if one is named. */
    async readCount(type, count, userId) {
        const found = () => this.record.ofType(type).filter((event) => userId === undefined || event.userId === userId);
        await this.readUntil(`${count} of ${type}${userId === undefined ? '' : ` of ${userId}`}`, () => found().length >= count);
        return found().slice(0, count);
    }

    /* What GET /events/consumers says of this one; undefined: it does not exist. */
    async listed() {
        const answer = await this.herald.request('GET', '/events/consumers');
        assert.equal(answer.status, 200, answer.text);
        return answer.json.consumers.find(({ name }) => name === this.name);
    }

    forget() {
        return this.herald.request('DELETE', `/events/consumers/${encodeURIComponent(this.name)}`);
    }
}

module.exports = { Consumer };
