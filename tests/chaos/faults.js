'use strict';
/* What goes wrong, in an order and with pauses that the seed decides. Each fault ends with its part running again. */

const { sleep, waitUntil } = require('./tools');
const { UPGRADE_DEATHS, canUpgrade, upgradeAndKill, waitWhole } = require('./upgrades');

const CLOSES_COME_MS = 300; /* a connection that an upgrade has ended is known to have by then */

async function bringBack(world, herald) {
    herald.wasKilled = false;
    herald.launch();
    /* Ready needs the store, which may be down at this moment: serving is enough. */
    await herald.waitStatus('/livez', 200, 20000);
    world.backMs = Date.now();
    world.count('herald came back');
}

async function mustDrain(herald, body) {
    const { status, text } = await herald.post('/drain', body);
    if (status !== 202) {
        throw new Error(`POST /drain: ${status} ${text}`);
    }
}

const FAULTS = {
    async 'kill -9 of Herald'(world, downMs) {
        await world.herald.kill();
        await sleep(downMs / 4);
        await bringBack(world, world.herald);
    },
    async 'stop of Herald'(world, downMs) {
        await world.herald.stop();
        await sleep(downMs / 4);
        await bringBack(world, world.herald);
    },
    /* Its clients come back to it. */
    async 'drain of some'(world, downMs) {
        await mustDrain(world.herald, { connections: 5, rate: 20 });
        await sleep(downMs / 4);
    },
    /* Some are closed and refused by then. */
    async 'drain that is taken back'(world, downMs) {
        await mustDrain(world.herald, { rate: 5 });
        await sleep(downMs / 2);
        await mustDrain(world.herald, { cancel: true });
    },
    /* Nobody's connection ends. */
    async 'upgrade of Herald'(world) {
        await waitWhole(world.herald);
        world.isUpgrading = true;
        await world.herald.upgrade();
        await sleep(CLOSES_COME_MS);
        world.isUpgrading = false;
    },
    async 'kill -9 of Redis'(world, downMs) {
        await world.redis.kill();
        await sleep(downMs);
        await world.redis.start();
    },
    /* Some pauses are longer than the 2 s after which Herald gives up on a command. */
    async 'SIGSTOP of Redis'(world, downMs) {
        world.redis.pause();
        await sleep(downMs * 2);
        world.redis.resume();
    },
    async 'kill -9 of both'(world, downMs) {
        await Promise.all([world.herald.kill(), world.redis.kill()]);
        await bringBack(world, world.herald);
        await sleep(downMs / 2);
        await world.redis.start();
    },
    async 'kill -9 of Herald while Redis is stopped'(world, downMs) {
        world.redis.pause();
        await sleep(downMs / 2);
        await world.herald.kill();
        await bringBack(world, world.herald);
        world.redis.resume();
    },
};

/* The endpoint of a webhook dies, or answers nothing that is good for it. */
const ENDPOINT_FAULTS = {
    async 'kill -9 of the endpoint'({ hearing: { hook } }, downMs) {
        await hook.kill();
        await sleep(downMs);
        await hook.start();
    },
    async 'the endpoint answers 500'({ hearing: { hook } }, downMs) {
        hook.answers('refuse');
        await sleep(downMs * 2);
        hook.answers('accept');
    },
    async 'the endpoint does not answer'({ hearing: { hook } }, downMs) {
        hook.answers('deaf');
        await sleep(downMs * 2);
        hook.answers('accept');
    },
    async 'kill -9 of Herald and the endpoint'(world, downMs) {
        await Promise.all([world.herald.kill(), world.hearing.hook.kill()]);
        await bringBack(world, world.herald);
        await sleep(downMs / 2);
        await world.hearing.hook.start();
    },
    async 'kill -9 of Herald, Redis and the endpoint'(world, downMs) {
        await Promise.all([world.herald.kill(), world.redis.kill(), world.hearing.hook.kill()]);
        await sleep(downMs / 4);
        await Promise.all([world.redis.start(), world.hearing.hook.start()]);
        await bringBack(world, world.herald);
    },
};

for (const [name, choose] of Object.entries(UPGRADE_DEATHS)) {
    FAULTS[name] = async (world, downMs) => {
        await waitWhole(world.herald);
        world.count(await upgradeAndKill(world.herald, downMs / 4, choose));
        if (!world.herald.child.isRunning()) {
            await bringBack(world, world.herald);
        }
    };
}

function faultsOf(kind, { herald: { binary }, hearing }) {
    const hasUpgrades = canUpgrade(binary);
    return Object.keys({ ...FAULTS, ...(hearing === undefined ? {} : ENDPOINT_FAULTS) }).filter((name) => (kind === 'redis' || !name.includes('Redis') && !name.includes('both'))
        && (hasUpgrades || !name.includes('upgrade')));
}

/* Each kind of fault comes once before any comes again, so that a short run has seen them all. */
async function runFaults(world, { kind, only, endMs }) {
    const random = world.random.branch('faults');
    const names = faultsOf(kind, world).filter((name) => name.includes(only));
    if (names.length === 0) {
        throw new Error(`no fault is called ${only}: ${faultsOf(kind, world).join(', ')}`);
    }
    let bag = [];
    while (Date.now() < endMs) {
        await sleep(random.between(400, 1600));
        if (bag.length === 0) {
            bag = [...names];
        }
        const name = bag.splice(random.between(0, bag.length - 1), 1)[0];
        const downMs = random.between(50, 1700);
        world.note(`${name} (${downMs})`);
        world.count(name);
        await (FAULTS[name] ?? ENDPOINT_FAULTS[name])(world, downMs);
    }
    await waitUntil('everything is up again', () => world.herald.waitReady(2000).then(() => true), 30000);
}

module.exports = { runFaults };
