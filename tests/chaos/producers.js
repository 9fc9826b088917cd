'use strict';
/* Backends: each lane pushes one after the other, as fast as its answers and a short pause let it. */

const { sleep } = require('./tools');

const SHORT_TTL_S = [1, 2];

class Lane {
    constructor(name, world) {
        this.name = name;
        this.world = world;
        this.random = world.random.branch(`lane ${name}`);
        this.n = 0;
    }

    draw() {
        const { random, world } = this;
        const count = random.isTrue(0.1) ? random.between(2, 4) : 1;
        const to = new Set();
        while (to.size < count) {
            to.add(random.pick(world.userIds));
        }
        const kind = random.next();
        const ttl = kind < 0.05 ? 0 : kind < 0.1 ? random.pick(SHORT_TTL_S) : 3600;
        /* Now and then beyond the 16 KiB that Redis publishes with the number. */
        const size = random.isTrue(0.03) ? random.between(16000, 24000) : random.between(0, 600);
        return { lane: this.name, n: this.n++, to: [...to], ttl, size };
    }

    bodyOf(push) {
        const data = { to: push.to, lane: push.lane, n: push.n, fill: '~'.repeat(push.size) };
        const whom = push.to.length === 1 ? { userId: push.to[0] } : { userIds: push.to };
        return { ...whom, data, ttl: push.ttl };
    }

    /* Anything but an acceptance or a known refusal is a fault. */
    take(push, answer) {
        const { ledger } = this.world;
        if (![200, 202, 429, 503].includes(answer.status)) {
            ledger.fault(`push ${push.lane}.${push.n} was answered ${answer.status} ${answer.text.slice(0, 200)}`);
            return;
        }
        if (answer.status >= 400 || push.ttl === 0) {
            return;
        }
        const results = push.to.length > 1 ? answer.json.results : [answer.json];
        if (results.length !== push.to.length) {
            ledger.fault(`push ${push.lane}.${push.n} to ${push.to.length} users has ${results.length} results`);
            return;
        }
        results.forEach((result, i) => {
            if (result.id !== undefined) {
                ledger.accepts(push, push.to[i], result);
            }
        });
    }

    async run() {
        const { world, random } = this;
        while (!world.isOver) {
            const push = this.draw();
            world.ledger.pushes(push);
            try {
                const answer = await world.herald.post('/push', this.bodyOf(push), {}, { timeoutMs: 8000 });
                this.take(push, answer);
                await sleep(answer.status === 503 ? 20 : random.around(8));
            } catch {
                await sleep(30);
            }
        }
    }
}

module.exports = { Lane };
