'use strict';
/* Backends: each lane pushes one after the other, as fast as its answers and a short pause let it. A push that got no
 * 2xx for each of its users may have been kept: it is repeated with its idempotency key until it has. */

const { sleep } = require('./tools');

const ANSWER_MS = 8000;
const SHORT_TTL_S = [1, 2];
const COLLAPSE_KEYS = ['score', 'status'];

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
        const ttl = kind < 0.05 ? 0 : kind < 0.12 ? random.pick(SHORT_TTL_S) : 3600;
        const collapseKey = ttl > 0 && random.isTrue(0.15) ? random.pick(COLLAPSE_KEYS) : undefined;
        /* Now and then beyond the 16 KiB that Redis publishes with the number. */
        const size = random.isTrue(0.03) ? random.between(16000, 24000) : random.between(0, 600);
        return { lane: this.name, n: this.n++, to: [...to], ttl, size, collapseKey, mustCancel: random.isTrue(0.05) };
    }

    bodyOf(push) {
        const data = { to: push.to, lane: push.lane, n: push.n, fill: '~'.repeat(push.size) };
        const whom = push.to.length === 1 ? { userId: push.to[0] } : { userIds: push.to };
        const keys = push.ttl === 0 ? {}
            : { idempotencyKey: `${push.lane}.${push.n}`, collapseKey: push.collapseKey };
        return { ...whom, data, ttl: push.ttl, ...keys };
    }

    /* Anything but an acceptance or a known refusal is a fault. true: nothing of it is open any more. */
    take(push, answer, isFirstTry) {
        const { ledger } = this.world;
        if (![200, 202, 429, 503].includes(answer.status)) {
            ledger.fault(`push ${push.lane}.${push.n} was answered ${answer.status} ${answer.text.slice(0, 200)}`);
            return true;
        }
        if (answer.status >= 400) {
            return false;
        }
        const results = push.to.length > 1 ? answer.json.results : [answer.json];
        if (results.length !== push.to.length) {
            ledger.fault(`push ${push.lane}.${push.n} to ${push.to.length} users has ${results.length} results`);
            return true;
        }
        if (push.ttl === 0) {
            return true;
        }
        const kept = results.filter(({ id }) => id !== undefined);
        results.forEach((result, i) => {
            if (result.id !== undefined) {
                ledger.accepts(push, push.to[i], result, isFirstTry);
            }
        });
        return kept.length === results.length;
    }

    /* true: it was answered for good, which one with ttl 0 need not be. Some hang up before they can have an answer. */
    async push(push, isFirstTry) {
        const { world, random } = this;
        const timeoutMs = isFirstTry && random.isTrue(0.03) ? random.between(1, 4) : ANSWER_MS;
        try {
            const answer = await world.herald.post('/push', this.bodyOf(push), {}, { timeoutMs });
            const isAnswered = this.take(push, answer, isFirstTry);
            if (answer.status === 503) {
                world.seesRefusal(`push ${push.lane}.${push.n} was answered ${answer.text.slice(0, 200)}`);
            }
            await sleep(isAnswered ? random.around(8) : 20);
            return isAnswered;
        } catch (error) {
            if (timeoutMs === ANSWER_MS) {
                world.seesRefusal(`push ${push.lane}.${push.n} was not answered (${error.message})`);
            }
            await sleep(30);
            return false;
        }
    }

    /* Until it is known what became of it. 409: delivered; 404: it left the inbox otherwise. */
    async cancel(push) {
        const { herald, ledger } = this.world;
        const entry = ledger.entryOf(push, push.to[0]);
        ledger.asksCancel(entry);
        for (;;) {
            try {
                const answer = await herald.cancel(entry.userId, entry.id);
                if (answer.status === 200) {
                    ledger.cancels(entry);
                } else if (![404, 409, 503].includes(answer.status)) {
                    ledger.fault(`the cancel of ${entry.id} for ${entry.userId} was answered ${answer.status} ${answer.text}`);
                }
                if (answer.status !== 503) {
                    return;
                }
            } catch {
                /* it may be down */
            }
            await sleep(50);
        }
    }

    async run() {
        const { world } = this;
        while (!world.isOver) {
            const push = this.draw();
            world.ledger.pushes(push);
            let isAnswered = await this.push(push, true);
            while (!isAnswered && push.ttl > 0) {
                world.count('repeats of a push', world.tries);
                isAnswered = await this.push(push, false);
            }
            if (push.mustCancel && push.ttl > 0) {
                await this.cancel(push);
            }
        }
    }
}

module.exports = { Lane };
