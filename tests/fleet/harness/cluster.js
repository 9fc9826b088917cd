'use strict';
/* A Redis Cluster: its primaries, a replica for each if asked for, and what happens to slots. */

const { PATIENCE_MS, freePort, range, waitUntil } = require('../../e2e/harness');
const { SETTINGS, redisNode } = require('./redis_node');

const SLOTS = 16384;
const FAILOVER_GIVEN_UP_MS = 5500;

/* A line of CLUSTER NODES: its ninth word and those behind are slots, `N` or `N-M`. */
function hasSlot(line, slot) {
    return line.split(' ').slice(8).map((range) => range.split('-').map(Number))
        .some(([from, to = from]) => from <= slot && slot <= to);
}

class Cluster {
    constructor(nodes) {
        this.nodes = nodes;
        this.url = `redis+cluster://${nodes.slice(0, 3).map(({ port }) => `127.0.0.1:${port}`).join(',')}`;
    }

    running() {
        return this.nodes.filter((node) => node.isRunning());
    }

    /* [{from, to, node}] as one node sees it, which runs. */
    async ranges(seenBy = this.running()[0]) {
        const slots = await seenBy.call('CLUSTER', 'SLOTS');
        return slots.map(([from, to, [, port]]) => ({ from, to, node: this.nodes.find((node) => node.port === port) }));
    }

    async primaries() {
        return [...new Set((await this.ranges()).map(({ node }) => node))];
    }

    slotOf(key) {
        return this.running()[0].call('CLUSTER', 'KEYSLOT', key);
    }

    async ownerOf(slot) {
        return (await this.ranges()).find(({ from, to }) => from <= slot && slot <= to)?.node;
    }

    async ownerOfUser(userId) {
        return this.ownerOf(await this.slotOf(`herald:{${userId}}:meta`));
    }

    /* A replica of this primary that runs, has all that it has and is known to it; undefined: there is none. */
    async replicaOf(primary) {
        const known = (await primary.call('CLUSTER', 'REPLICAS', await primary.call('CLUSTER', 'MYID'))).join('\n');
        for (const node of this.running().filter((each) => each !== primary)) {
            const [role, , port, state] = await node.call('ROLE').catch(() => []);
            if (role === 'slave' && port === primary.port && state === 'connected' && known.includes(`:${node.port}@`)) {
                return node;
            }
        }
        return undefined;
    }

    /* Every node sees every node and names the same owners, and each of these takes itself for a primary: after a failover
     * some nodes, and the old primary above all, hear of it later than others. */
    waitWhole(timeoutMs = PATIENCE_MS) {
        return waitUntil('every node sees every node and all slots alike', async () => {
            const infos = await Promise.all(this.nodes.map((node) => node.call('CLUSTER', 'INFO')));
            const views = await Promise.all(this.nodes.map(async (node) => (await this.ranges(node))
                .map(({ from, to, node: owner }) => `${from}-${to} ${owner?.port}`).join(', ')));
            if (new Set(views).size > 1) {
                throw new Error(views.map((view, i) => `${this.nodes[i].port} sees ${view}`).join('; '));
            }
            const roles = await Promise.all((await this.primaries()).map((node) => node.role()));
            return roles.every((role) => role === 'master') && infos.every((text) => text.includes('cluster_state:ok')
                && text.includes(`cluster_slots_ok:${SLOTS}`) && text.includes(`cluster_known_nodes:${this.nodes.length}`));
        }, timeoutMs);
    }

    /* Each primary has a replica that has all. */
    waitReplicas(timeoutMs = PATIENCE_MS) {
        return waitUntil('each primary has a replica', async () => {
            const found = await Promise.all((await this.primaries()).map((primary) => this.replicaOf(primary)));
            return found.every((replica) => replica !== undefined);
        }, timeoutMs);
    }

    waitOwner(slot, isWanted, timeoutMs = PATIENCE_MS) {
        return waitUntil(`another owner of slot ${slot}`, async () => {
            const owner = await this.ownerOf(slot);
            return owner !== undefined && isWanted(owner) && owner;
        }, timeoutMs);
    }

    /* A planned failover: the replica of this primary takes over while both are up. Answers the new primary.
     * Redis gives one up after 5 s, without a word, which a busy machine can take: then it is asked again. */
    async failover(primary) {
        const replica = await waitUntil('it has a replica', () => this.replicaOf(primary));
        let askMs = 0;
        await waitUntil('the replica is the primary', async () => {
            if (await replica.role() === 'master') {
                return true;
            }
            if (Date.now() >= askMs) {
                await replica.call('CLUSTER', 'FAILOVER');
                askMs = Date.now() + FAILOVER_GIVEN_UP_MS;
            }
            return false;
        }, PATIENCE_MS);
        return replica;
    }

    /* Every node has heard of the owner's epoch: of two owners of a slot the higher epoch wins, so one that moves on
     * before that may be taken back, and each says MOVED to the other. */
    waitHeard(slot, ownerId) {
        return waitUntil(`every node knows the owner of slot ${slot}`, async () => {
            const views = await Promise.all(this.running().map((node) => node.call('CLUSTER', 'NODES')));
            const lines = views.map((view) => view.split('\n').find((line) => line.startsWith(ownerId)) ?? '');
            return new Set(lines.map((line) => line.split(' ')[6])).size === 1 && lines.every((line) => hasSlot(line, slot));
        });
    }

    /* With all that is in it, 10 keys at a time. onHalf is awaited while the slot is on the move. */
    async moveSlot(slot, from, to, onHalf = async () => {}) {
        const [fromId, toId] = await Promise.all([from, to].map((node) => node.call('CLUSTER', 'MYID')));
        await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
        await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
        await onHalf();
        for (;;) {
            const keys = await from.call('CLUSTER', 'GETKEYSINSLOT', slot, 10);
            if (keys.length === 0) {
                break;
            }
            await from.call('MIGRATE', '127.0.0.1', to.port, '', 0, 5000, 'KEYS', ...keys);
        }
        for (const node of [to, from, ...(await this.primaries()).filter((each) => each !== to && each !== from)]) {
            await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId).catch(() => {}); /* the others hear of it anyway */
        }
        await this.waitHeard(slot, toId);
    }
}

/* replicas: 0 or 1 for each primary. */
async function startCluster(t, { primaries = 3, replicas = 0, settings = {} } = {}) {
    const nodes = await Promise.all(range(primaries * (1 + replicas)).map(async () => (await redisNode(t, {
        ...SETTINGS, 'cluster-enabled': 'yes', 'cluster-port': await freePort(), 'cluster-node-timeout': '1500',
        'cluster-require-full-coverage': 'no', 'cluster-replica-validity-factor': '0', ...settings,
    })).start()));
    const busPorts = await Promise.all(nodes.map((node) => node.call('CONFIG', 'GET', 'cluster-port')));
    for (const [i, node] of nodes.entries()) {
        await node.call('CLUSTER', 'SET-CONFIG-EPOCH', i + 1);
        if (i < primaries) {
            const end = Math.floor((i + 1) * SLOTS / primaries) - 1;
            await node.call('CLUSTER', 'ADDSLOTSRANGE', Math.floor(i * SLOTS / primaries), end);
        }
        for (const other of range(i)) {
            await node.call('CLUSTER', 'MEET', '127.0.0.1', nodes[other].port, busPorts[other][1]);
        }
    }
    const cluster = new Cluster(nodes);
    await cluster.waitWhole();
    for (const i of range(primaries * replicas)) {
        const id = await nodes[i].call('CLUSTER', 'MYID');
        await waitUntil('a replica is taken', () => nodes[primaries + i].call('CLUSTER', 'REPLICATE', id).then(() => true));
    }
    if (replicas > 0) {
        await cluster.waitReplicas();
    }
    return cluster;
}

module.exports = { Cluster, SLOTS, startCluster };
