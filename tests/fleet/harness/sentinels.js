'use strict';
/* A primary and a replica that three Sentinels watch. */

const { PATIENCE_MS, range, waitUntil } = require('../../e2e/harness');
const { SETTINGS, redisNode } = require('./redis_node');

const NAME = 'pigeons';

class Sentinels {
    constructor(nodes, sentinels) {
        this.nodes = nodes;
        this.sentinels = sentinels;
        this.url = `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${NAME}`;
        this.hints = [`redis://127.0.0.1:${nodes[0].port}`];
    }

    /* The node that most Sentinels name, whether it runs or not. */
    async primary() {
        const named = await Promise.all(this.sentinels.filter((each) => each.isRunning()).map((sentinel) =>
            sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME).then(([, port]) => Number(port), () => 0)));
        return this.nodes.find(({ port }) => named.filter((each) => each === port).length * 2 > this.sentinels.length);
    }

    primaries() {
        return this.primary().then((primary) => (primary === undefined ? [] : [primary]));
    }

    async replica() {
        const primary = await this.primary();
        return this.nodes.find((node) => node !== primary);
    }

    /* The Sentinels know each other and the replica, and the replica has all. */
    async waitWhole(timeoutMs = PATIENCE_MS) {
        await waitUntil('the Sentinels know all, and the replica follows', async () => {
            const replica = await this.replica();
            const role = await replica.call('ROLE');
            const known = await Promise.all(this.sentinels.map((sentinel) => sentinel.call('SENTINEL', 'CKQUORUM', NAME)));
            const slaves = await Promise.all(this.sentinels.map((sentinel) => sentinel.call('SENTINEL', 'REPLICAS', NAME)));
            const isFollowed = slaves.every((list) => list.some((fields) => {
                const state = Object.fromEntries(range(fields.length / 2).map((i) => [fields[2 * i], fields[2 * i + 1]]));
                return state.port === String(replica.port) && state.flags === 'slave' && state['master-link-status'] === 'ok';
            }));
            return role[0] === 'slave' && role[3] === 'connected' && isFollowed
                && known.every((text) => text.startsWith('OK 3 usable'));
        }, timeoutMs);
    }

    /* Until another node than `old` is named, and it takes writes. */
    async waitSwitched(old, timeoutMs = PATIENCE_MS) {
        return waitUntil('another primary', async () => {
            const primary = await this.primary();
            return primary !== undefined && primary !== old && await primary.role() === 'master' && primary;
        }, timeoutMs);
    }

    /* A planned one: both are up. Answers the new primary. */
    async failover() {
        const old = await this.primary();
        await waitUntil('a Sentinel begins a failover', () =>
            this.sentinels[0].call('SENTINEL', 'FAILOVER', NAME).then(() => true));
        return this.waitSwitched(old);
    }
}

async function startSentinels(t, settings = {}) {
    const primary = await (await redisNode(t, { ...SETTINGS, ...settings })).start();
    const replica = await (await redisNode(t, { ...SETTINGS, ...settings, replicaof: `127.0.0.1 ${primary.port}` })).start();
    /* A Sentinel looks at a replica at once and then each 10 s: it is to see one that follows. */
    await waitUntil('the replica follows', async () => (await replica.call('ROLE'))[3] === 'connected');
    const watched = [`monitor ${NAME} 127.0.0.1 ${primary.port} 2`, `down-after-milliseconds ${NAME} 1000`,
        `failover-timeout ${NAME} 4000`];
    const sentinels = await Promise.all(range(3).map(async () =>
        (await redisNode(t, { bind: '127.0.0.1', sentinel: watched }, ['--sentinel'])).start()));
    const group = new Sentinels([primary, replica], sentinels);
    await group.waitWhole();
    return group;
}

module.exports = { NAME, Sentinels, startSentinels };
