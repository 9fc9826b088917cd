'use strict';
/* Backends that read events while things die: two ways to pull, and the other end of a webhook as a process of its own,
 * which keeps what it accepts in a file before it answers. */

const { fork } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { Consumer, freePort, makeWebhookSecret, sleep, waitUntil, within } = require('../tools');

const CALL_MS = 8000;
const READ_MS = 200; /* between two looks into the file */

/* Pulls. `lazy`: acknowledges by POST /events/ack, seldom, and forgets now and then what it has read: it gets it again. */
class Puller {
    constructor(name, world, { isLazy = false } = {}) {
        this.name = name;
        this.world = world;
        this.isLazy = isLazy;
        this.random = world.random.branch(`puller ${name}`);
        this.reader = world.events.reader(name);
    }

    /* Anything but events or a known refusal is a fault; the answer when it was a 200. */
    async ask(consumer, query) {
        const answer = await consumer.ask({ ...query, timeoutMs: CALL_MS });
        if (answer.status === 200) {
            answer.json.events.forEach((event) => this.world.events.reads(this.reader, event));
            return answer;
        }
        if (![429, 503].includes(answer.status)) {
            this.world.events.fault(`${this.name} was answered ${answer.status} ${answer.text.slice(0, 200)}`);
        }
        throw new Error(`refused with ${answer.status}`);
    }

    async ack(consumer, cursor) {
        const { status, text } = await this.world.target().post('/events/ack', { consumer: this.name, cursor }, {}, { timeoutMs: CALL_MS });
        if (![200, 429, 503].includes(status)) {
            this.world.events.fault(`an ack of ${this.name} was answered ${status} ${text.slice(0, 200)}`);
        }
    }

    async once(consumer) {
        const { random } = this;
        if (!this.isLazy) {
            const { json } = await this.ask(consumer, { ack: this.cursor, wait: 2, limit: random.pick([1, 10, 100, 1000]) });
            this.cursor = json.cursor;
            return;
        }
        const { json } = await this.ask(consumer, { limit: random.pick([10, 300]) });
        if (random.isTrue(0.7)) {
            await this.ack(consumer, json.cursor);
        }
        await sleep(random.around(json.events.length > 0 ? 30 : 200));
    }

    async run() {
        while (!this.world.isHeard) {
            try {
                await this.once(new Consumer(this.world.target(), this.name, {}));
            } catch {
                await sleep(50); /* it may be down */
            }
        }
    }
}

/* The process of receiver.js, and what its files say. */
class Hook {
    constructor(name, world, folder) {
        this.name = name;
        this.world = world;
        this.file = path.join(folder, `${name}.events`);
        this.key = makeWebhookSecret();
        this.reader = world.events.reader(name);
        this.at = 0;
    }

    async start() {
        this.port ??= await freePort();
        this.child = fork(path.join(__dirname, 'receiver.js'), [JSON.stringify({ name: this.name, port: this.port, key: this.key, file: this.file })]);
        this.exited = new Promise((resolve) => { this.child.once('exit', resolve); });
        await within(new Promise((resolve) => { this.child.once('message', resolve); }), 20000, `${this.name} listens`);
        return this;
    }

    line() {
        return `${this.name} http://127.0.0.1:${this.port}/hook ${this.key} batch=20 timeout=2s\n`;
    }

    async kill() {
        this.child.kill('SIGKILL');
        await this.exited;
    }

    /* How it answers from now on: 'accept', 'refuse' (with 500), 'deaf' (never). */
    answers(how) {
        this.child.send({ how });
    }

    /* What stands in the file since the last look; a line that is not whole yet is left for the next one. */
    look() {
        const bytes = fs.existsSync(this.file) ? fs.readFileSync(this.file) : Buffer.alloc(0);
        const end = bytes.lastIndexOf(10) + 1;
        for (const line of bytes.subarray(this.at, end).toString().split('\n').filter(Boolean)) {
            const { fault, events } = JSON.parse(line);
            if (fault !== null) {
                this.world.events.fault(`${this.name} got a request that cannot be: ${fault}`);
            }
            events.forEach((event) => this.world.events.reads(this.reader, event));
        }
        this.at = Math.max(this.at, end);
    }

    async run() {
        while (!this.world.isHeard) {
            this.look();
            await sleep(READ_MS);
        }
        this.look();
    }
}

/* Until each reader has had, or been told of as missing, all that was accepted. */
function waitHeard(world, timeoutMs) {
    const left = () => world.events.readers.map((reader) => `${reader.name} ${world.events.missing(reader)}`);
    return waitUntil('every backend has read what was accepted', () =>
        world.events.readers.every((reader) => world.events.missing(reader) === 0), timeoutMs)
        .catch((error) => world.note(`${error.message}; not read: ${left().join(', ')}`));
}

module.exports = { Hook, Puller, waitHeard };
