'use strict';
/* What goes wrong in a fleet, one thing every few seconds, drawn by the seed; each ends with its part running again. A
 * primary is only killed or stopped when its replica has all that it has: otherwise nobody could take over. */

const { execFileSync } = require('node:child_process');
const { range, sleep, waitUntil } = require('../tools');

const STOPPED_MS = 5000;
const CUT_MS = 8000;

async function bringBack(node) {
    node.wasKilled = false;
    node.launch();
    await node.waitStatus('/livez', 200, 20000);
    node.isMeantToRun = true;
}

/* What this node sends to a port of Redis gets lost; its clients are not cut off. Only in a network namespace of the run's
 * own, where each node is a user of its own (../fleet.js). */
function cutRules(verb, node, ports) {
    for (const port of ports) {
        execFileSync('ip', ['rule', verb, 'pref', '50', 'uidrange', `${node.uid}-${node.uid}`, 'ipproto', 'tcp',
            'dport', String(port), 'blackhole']);
    }
}

async function pauseNode(server) {
    server.child.signal('SIGSTOP');
    await sleep(STOPPED_MS);
    server.child.signal('SIGCONT');
}

const NODE_FAULTS = {
    async 'kill -9 of a node'(world, node) {
        node.isMeantToRun = false;
        await node.kill();
        await sleep(world.random.between(200, 2000));
        await bringBack(node);
    },
    async 'SIGTERM of a node'(world, node) {
        node.isMeantToRun = false;
        await node.stop(60000);
        await bringBack(node);
    },
    async 'SIGSTOP of a node'(world, node) {
        await pauseNode(node);
    },
};

const CUT_FAULTS = {
    async 'a node is cut off from Redis'(world, node) {
        const primaries = (await world.store.primaries()).map(({ port }) => port);
        const ports = world.random.isTrue(0.5) ? primaries : [world.random.pick(primaries)];
        cutRules('add', node, ports);
        try {
            await sleep(CUT_MS);
        } finally {
            cutRules('del', node, ports);
        }
    },
};

const REDIS_FAULTS = {
    standalone: {
        async 'kill -9 of Redis'(world) {
            await world.store.nodes[0].kill();
            await sleep(world.random.between(100, 2000));
            await world.store.nodes[0].start();
        },
        async 'SIGSTOP of Redis'(world) {
            await pauseNode(world.store.nodes[0]);
        },
    },
    sentinel: {
        async 'kill -9 of the primary'(world) {
            await world.store.waitWhole();
            const old = await world.store.primary();
            await old.kill();
            await world.store.waitSwitched(old);
            await old.start();
            await world.store.waitWhole(60000);
        },
        async 'SIGSTOP of the replica'(world) {
            await pauseNode(await world.store.replica());
            await world.store.waitWhole(60000);
        },
        async 'kill -9 of a Sentinel'(world) {
            const sentinel = world.random.pick(world.store.sentinels);
            await sentinel.kill();
            await sleep(world.random.between(1000, 4000));
            await sentinel.start();
            await world.store.waitWhole(60000);
        },
    },
    cluster: {
        async 'kill -9 of a primary'(world) {
            await world.store.waitReplicas(60000);
            const [{ from, node: old }] = (await world.store.ranges()).filter(({ node }) => node.isRunning());
            await old.kill();
            await world.store.waitOwner(from, (owner) => owner !== old);
            await old.start();
            await world.store.waitWhole(60000);
        },
        async 'a planned failover'(world) {
            await world.store.waitReplicas(60000);
            await world.store.failover(world.random.pick(await world.store.primaries()));
            await world.store.waitReplicas(60000);
        },
        async '50 slots there and back'(world) {
            const primaries = await world.store.primaries();
            for (const slot of range(50).map(() => world.random.between(0, 16383))) {
                const from = await world.store.ownerOf(slot);
                const to = world.random.pick(primaries.filter((primary) => primary !== from));
                await world.store.moveSlot(slot, from, to);
                await world.store.moveSlot(slot, to, from);
            }
        },
        async 'SIGSTOP of a Redis'(world) {
            await world.store.waitReplicas(60000);
            await pauseNode(world.random.pick(world.store.nodes));
            await world.store.waitWhole(60000);
        },
    },
};

/* Each kind once before any comes again. */
async function runFaults(world, everyMs, endMs) {
    const ofNodes = { ...NODE_FAULTS, ...(world.canCut ? CUT_FAULTS : {}) };
    const all = { ...ofNodes, ...REDIS_FAULTS[world.kind] };
    let bag = [];
    while (Date.now() < endMs) {
        const next = Date.now() + everyMs;
        bag = bag.length === 0 ? Object.keys(all) : bag;
        const name = bag.splice(world.random.between(0, bag.length - 1), 1)[0];
        const node = name in ofNodes ? world.random.pick(world.nodes) : undefined;
        world.note(node === undefined ? name : `${name} (${node.name})`);
        await all[name](world, node);
        world.happened.set(name, (world.happened.get(name) ?? 0) + 1);
        await sleep(Math.max(0, Math.min(next, endMs) - Date.now()));
    }
    await Promise.all(world.nodes.map((node) => waitUntil(`${node.name} is ready`, async () =>
        (await node.request('GET', '/readyz', { timeoutMs: 2000 })).json?.status === 'ready', 60000)));
}

module.exports = { runFaults };
