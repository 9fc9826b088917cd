'use strict';
/* What goes wrong in a fleet, one thing every few seconds, drawn by the seed; each ends with its part running again. A
 * primary is only killed or stopped when its replica has all that it has: otherwise nobody could take over. */

const { execFileSync } = require('node:child_process');
const { range, sleep, waitUntil } = require('../tools');
const { UPGRADE_DEATHS, canUpgrade, upgradeAndKill, waitWhole } = require('../upgrades');

const STOPPED_MS = 5000;
const UPGRADE_MS = 400; /* most are over by then */
const CUT_MS = 8000;
const CLOSES_COME_MS = 1000; /* the readers know by then of what an upgrade has ended */
const CALM_MS = 70000; /* after a cut: TCP repeats an end that got lost for so long */
const LONG_CUT_MS = 25000; /* a node gives a silent connection up after 20 s */

async function bringBack(node) {
    node.wasKilled = false;
    node.launch();
    await node.waitStatus('/livez', 200, 20000);
    node.isMeantToRun = true;
}

/* Packets of one node get lost for a while: on their way to these ports, from them, or both. Only in a network namespace
 * of the run's own, where each node is a user and has an address of its own (../fleet.js). */
const WAYS = {
    'to Redis': ({ uid }, port) => [['uidrange', `${uid}-${uid}`, 'dport', port]],
    'from Redis': ({ address }, port) => [['to', address, 'sport', port]],
    'to its clients': (_, port) => [['sport', port]],
    'from its clients': (_, port) => [['dport', port]],
};

async function cutFor(world, ms, node, ways, ports) {
    const rules = ports.flatMap((port) => ways.flatMap((way) => WAYS[way](node, String(port))));
    const change = (verb) => rules.forEach((rule) =>
        execFileSync('ip', ['rule', verb, 'pref', '50', 'ipproto', 'tcp', ...rule, 'blackhole']));
    change('add');
    try {
        await sleep(ms);
    } finally {
        change('del');
        world.calmMs = Date.now() + CALM_MS;
    }
}

/* From all primaries, or from one. */
async function cutFromRedis(world, node, ways) {
    const primaries = (await world.store.primaries()).map(({ port }) => port);
    await cutFor(world, CUT_MS, node, ways, world.random.isTrue(0.5) ? primaries : [world.random.pick(primaries)]);
}

/* In a third of the cases for so long that the node gives its clients up. */
function cutFromClients(world, node, ways) {
    return cutFor(world, world.random.isTrue(1 / 3) ? LONG_CUT_MS : CUT_MS, node, ways, [node.port, node.adminPort]);
}

async function pauseNode(server) {
    server.child.signal('SIGSTOP');
    await sleep(STOPPED_MS);
    server.child.signal('SIGCONT');
}

/* Everybody is back, and the node has its store. */
async function waitCalm(world, node) {
    await waitWhole(node);
    const expected = world.total - world.blocked.length;
    await waitUntil('every reader is back', async () => (await world.ask('crowd.js', { what: 'status' }))
        .reduce((sum, { open }) => sum + open, 0) >= expected, 60000).catch((error) => world.note(error.message));
}

/* How many sessions of a node, and attempts to get one, have ended. */
async function endedAt(world, { port }) {
    const answers = await world.ask('crowd.js', { what: 'status' });
    return answers.reduce((sum, ended) => sum + (ended.endedAt[port] ?? 0), 0);
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
    /* Where a cut may still be ending sessions it is not counted how many end. */
    async 'upgrade of a node'(world, node) {
        await waitCalm(world, node);
        const before = await endedAt(world, node);
        await node.upgrade();
        node.watchChild();
        await sleep(CLOSES_COME_MS);
        world.nNoticed += Date.now() < (world.calmMs ?? 0) ? 0 : await endedAt(world, node) - before;
    },
    async 'SIGSTOP of a node'(world, node) {
        await pauseNode(node);
    },
};

/* Whichever process dies while a node is replaced in place: one of them goes on, or the node is started anew. */
for (const [name, choose] of Object.entries(UPGRADE_DEATHS)) {
    NODE_FAULTS[name] = async (world, node) => {
        await waitCalm(world, node);
        node.isMeantToRun = false;
        world.note(await upgradeAndKill(node, world.random.between(0, UPGRADE_MS), choose));
        if (node.child.isRunning()) {
            node.watchChild();
            node.isMeantToRun = true;
        } else {
            await bringBack(node);
        }
    };
}

const CUT_FAULTS = {
    'a node and Redis are cut apart': (world, node) => cutFromRedis(world, node, ['to Redis', 'from Redis']),
    'nothing comes from a node to Redis': (world, node) => cutFromRedis(world, node, ['to Redis']),
    'nothing comes from Redis to a node': (world, node) => cutFromRedis(world, node, ['from Redis']),
    'a node and its clients are cut apart': (world, node) => cutFromClients(world, node, ['to its clients', 'from its clients']),
    'nothing comes from a node to its clients': (world, node) => cutFromClients(world, node, ['to its clients']),
    'nothing comes from its clients to a node': (world, node) => cutFromClients(world, node, ['from its clients']),
};

/* One way at a time, and from one primary to one other: a slot that goes back before all have heard of its move can end
 * with two primaries that each name the other, and then Redis drops what is in it. */
async function moveSlots(store, slots, from, to) {
    await store.waitWhole(60000);
    for (const slot of slots) {
        await store.moveSlot(slot, from, to);
    }
    await store.waitWhole(60000);
}

const ENDPOINT_FAULTS = {
    async 'kill -9 of the endpoint'({ random, hearing: { hook } }) {
        await hook.kill();
        await sleep(random.between(200, 4000));
        await hook.start();
    },
    async 'the endpoint answers 500'({ random, hearing: { hook } }) {
        hook.answers('refuse');
        await sleep(random.between(200, 4000));
        hook.answers('accept');
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
        async 'SIGSTOP of the primary'(world) {
            await world.store.waitWhole(60000);
            const old = await world.store.primary();
            await pauseNode(old);
            await world.store.waitSwitched(old);
            await world.store.waitWhole(60000);
        },
        async 'a planned failover'(world) {
            await world.store.waitWhole(60000);
            await world.store.failover();
            await world.store.waitWhole(60000);
        },
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
            const { from, node: old } = world.random.pick(await world.store.ranges());
            await old.kill();
            await world.store.waitOwner(from, (owner) => owner !== old);
            await old.start();
            await world.store.waitWhole(60000);
        },
        async 'a planned failover'(world) {
            await world.store.waitReplicas(60000);
            await world.store.failover(world.random.pick(await world.store.primaries()));
            await world.store.waitWhole(60000);
        },
        async '50 slots there and back'(world) {
            await world.store.waitWhole(60000);
            const ranges = await world.store.ranges();
            const { node: from } = world.random.pick(ranges);
            const to = world.random.pick(ranges.map(({ node }) => node).filter((node) => node !== from));
            const own = ranges.filter(({ node }) => node === from);
            const slots = range(50).map(() => world.random.pick(own)).map((each) => world.random.between(each.from, each.to));
            await moveSlots(world.store, [...new Set(slots)], from, to);
            await moveSlots(world.store, [...new Set(slots)], to, from);
        },
        async 'SIGSTOP of a Redis'(world) {
            await world.store.waitReplicas(60000);
            await pauseNode(world.random.pick(world.store.nodes));
            await world.store.waitWhole(60000);
        },
    },
};

/* Each kind once before any comes again, also later than endMs if `needsEach`; `only`: those whose names contain it, or one
 * of several parts with | between. */
async function runFaults(world, { everyMs, endMs, only, needsEach = false }) {
    const ofNodes = { ...NODE_FAULTS, ...(world.canCut ? CUT_FAULTS : {}) };
    const all = { ...ofNodes, ...REDIS_FAULTS[world.kind], ...(world.hearing === undefined ? {} : ENDPOINT_FAULTS) };
    const hasUpgrades = canUpgrade(world.nodes[0].binary);
    const names = Object.keys(all).filter((name) => only.split('|').some((part) => name.includes(part)) && (hasUpgrades || !name.includes('upgrade')));
    let bag = [];
    while (Date.now() < endMs || (needsEach && names.some((name) => !world.happened.has(name)))) {
        const next = Date.now() + everyMs;
        bag = bag.length === 0 ? [...names] : bag;
        if (bag.length === 0) {
            await sleep(endMs - Date.now());
            break;
        }
        const name = bag.splice(world.random.between(0, bag.length - 1), 1)[0];
        const node = name in ofNodes ? world.random.pick(world.nodes) : undefined;
        world.note(node === undefined ? name : `${name} (${node.name})`);
        await all[name](world, node);
        world.happened.set(name, (world.happened.get(name) ?? 0) + 1);
        await sleep(Math.max(0, Math.min(next, endMs) - Date.now()));
    }
    await Promise.all(world.nodes.map(waitWhole));
}

module.exports = { runFaults };
