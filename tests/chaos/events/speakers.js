'use strict';
/* Clients of herald.v1 that talk to the backends, and publishers that ask to be told what was not acknowledged. */

const { Talker, sleep } = require('../tools');

const SAY_EVERY_MS = 150; /* below the rate of a user, so that a backlog after an outage fits its burst now and then */
const LIFE_MS = 4000;
const UNANSWERED_MAX = 40;

/* A Talker whose connections end by themselves as well, half of them by RST. */
class Speaker extends Talker {
    constructor(userId, world) {
        super(async () => {
            const client = await world.target().subscribeV1(userId, { autoAck: true });
            client.socket.once('close', (code) => world.seesSpeakerEnd?.(this, client, code));
            return client;
        });
        this.userId = userId;
        this.world = world;
        this.random = world.random.branch(`speaker ${userId}`);
        this.n = 0;
    }

    get connection() {
        return `${this.userId}/${this.connections}`;
    }

    send(message) {
        message.entry ??= this.world.events.says(this.userId, message.id, message.data);
        if (this.client?.socket.readyState === 1) {
            this.world.events.sends(message.entry, this.connection);
        }
        super.send(message);
    }

    async take(frame, client) {
        const message = this.unanswered.get(frame.id);
        if (message !== undefined && client === this.client) {
            if (frame.type === 'accepted') {
                this.world.events.accepts(message.entry, this.connection);
            } else if (frame.type === 'error' && ['store-unavailable', 'rate'].includes(frame.code)) {
                this.world.events.delays(frame);
            } else if (frame.type === 'error') {
                this.world.events.refuses(message.entry, frame);
            }
        }
        await super.take(frame, client);
    }

    sayOne() {
        const id = `${this.userId}-${this.n++}`;
        const size = this.random.isTrue(0.05) ? this.random.between(2000, 8000) : this.random.between(0, 200);
        this.say(id, { id, fill: '~'.repeat(size) });
    }

    end() {
        const tcp = this.client?.socket._socket;
        if (this.random.isTrue(0.5) && tcp && !tcp.destroyed) {
            tcp.resetAndDestroy();
        } else {
            this.client?.socket.close();
        }
    }

    async talk() {
        const { random, world } = this;
        let endMs = Date.now() + random.around(LIFE_MS);
        while (!world.isOver) {
            await sleep(random.around(SAY_EVERY_MS));
            if (this.unanswered.size < UNANSWERED_MAX) {
                this.sayOne();
            }
            if (Date.now() > endMs) {
                this.isEnding = this.client;
                this.end();
                endMs = Date.now() + random.around(LIFE_MS);
            }
        }
        await this.waitAnswered();
    }
}

/* Pushes to users who never come, with alertAfter: each is told of once. */
class Watcher {
    constructor(name, world) {
        this.name = name;
        this.world = world;
        this.random = world.random.branch(`watcher ${name}`);
        this.n = 0;
    }

    async pushOne() {
        const userId = `absent-${this.random.between(0, 31)}`;
        const body = { userId, data: { n: this.n }, ttl: 3600, alertAfter: this.random.between(1, 3),
            idempotencyKey: `${this.name}.${this.n++}` };
        for (;;) {
            try {
                const { status, json, text } = await this.world.target().post('/push', body, {}, { timeoutMs: 8000 });
                if (status === 202) {
                    this.world.events.awaits(userId, json.id);
                    return;
                }
                if (![429, 503].includes(status)) {
                    this.world.events.fault(`a push with alertAfter was answered ${status} ${text.slice(0, 200)}`);
                    return;
                }
            } catch {
                /* it may be down */
            }
            await sleep(50);
        }
    }

    async run() {
        while (!this.world.isOver) {
            await this.pushOne();
            await sleep(this.random.around(120));
        }
    }
}

module.exports = { Speaker, Watcher };
