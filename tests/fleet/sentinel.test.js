'use strict';
/* A primary and a replica that three Sentinels watch, and Heralds that ask these where the primary is. */

const assert = require('node:assert/strict');
const { HANG_UP, SETTINGS, answers: { value }, fakeRedis, fakeSentinel, range, redisNode, sleep, startFleet, startNode, startPublisher,
    startReader, startSentinels, waitAccepted, waitUntil } = require('./harness');

const USERS = range(6).map((n) => `u${n}`);
const KINDS = ['plain', 'v1', 'sse'];

/* Two nodes, a reader for each user, two publishers. */
async function startAll(t) {
    const group = await startSentinels(t);
    const nodes = await startFleet(t, 2, { store: group.url });
    const readers = await Promise.all(USERS.map((userId, n) => startReader(t, nodes, userId, { kind: KINDS[n % 3], first: n })));
    const publishers = range(2).map((n) => startPublisher(t, nodes, USERS, { first: n, pauseMs: 10 }));
    return { group, nodes, readers, publishers };
}

async function assertNothingLost({ nodes, readers, publishers }) {
    await waitAccepted(nodes);
    for (const publisher of publishers) {
        await publisher.stop();
        for (const reader of readers) {
            await reader.waitValues(publisher.valuesFor(reader.userId));
            reader.assertStayed({ mayReset: true });
        }
        await publisher.assertRemembered();
    }
}

/* In a planned one Redis does not wait for the replica: what it had answered last can be gone, and is then told as 4004. */
module.exports = (test) => {
    test('the three Sentinels of the harness fail over and back', async (t) => {
        const group = await startSentinels(t);
        const first = await group.primary();
        await first.call('SET', 'kept', 'yes');
        await waitUntil('the replica has it', async () => await (await group.replica()).call('GET', 'kept') === 'yes');
        await first.kill();
        const second = await group.waitSwitched(first);
        assert.equal(await second.call('GET', 'kept'), 'yes');
        await first.start();
        await group.waitWhole();
        assert.equal(await first.role(), 'slave');
    });

    test('the primary is killed: the nodes follow the Sentinels, sessions stay, nothing accepted is lost', async (t) => {
        const all = await startAll(t);
        const old = await all.group.primary();
        await old.kill();
        const next = await all.group.waitSwitched(old);
        await waitAccepted(all.nodes);
        await waitUntil('the subscriptions follow', async () =>
            (await next.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).includes('name=herald'));
        await old.start();
        await all.group.waitWhole();
        await assertNothingLost(all);
    });

    /* The old primary stays, and goes on taking writes. */
    test('a Sentinel that says the primary has moved takes all links there at once', async (t) => {
        const [old, next] = await Promise.all(range(2).map(async () => (await redisNode(t, SETTINGS)).start()));
        const sentinel = await fakeSentinel(t, { pigeons: { port: old.port, epoch: 1 } });
        const node = await startNode(t, 0, { store: `redis+sentinel://127.0.0.1:${sentinel.port}/pigeons` });
        const client = await node.subscribe('u');
        await node.mustPush('u', 'old');
        await client.waitCount(1);
        await waitUntil('it listens', () => sentinel.seen.some(([name, channel]) => name === 'SUBSCRIBE' && channel === '+switch-master'));
        sentinel.masters.pigeons = { port: next.port, epoch: 2 };
        const said = ['message', '+switch-master', `pigeons 127.0.0.1 ${old.port} 127.0.0.1 ${next.port}`];
        sentinel.connections.forEach((connection) => connection.send(value(said)));
        await waitUntil('no link is left', async () => !(await old.call('CLIENT', 'LIST')).includes('name=herald'));
        await waitAccepted([node], 'u');
        assert.equal(await next.call('EXISTS', 'herald:{u}:meta'), 1);
        await node.waitLog(/the primary has moved/);
    });

    /* What it takes once a replica is promoted is lost, and nobody hears when that is. The old primary goes on here. */
    for (const isGivenUp of [false, true]) {
        test(`a primary that a Sentinel begins to replace is given no push${isGivenUp ? ', until that is given up' : ''}`, async (t) => {
            const [old, next] = await Promise.all(range(2).map(async () => (await redisNode(t, SETTINGS)).start()));
            const masters = { pigeons: { port: old.port, epoch: 1 } };
            const [first, leader] = await Promise.all(range(2).map(() => fakeSentinel(t, masters)));
            const node = await startNode(t, 0, { store: `redis+sentinel://127.0.0.1:${first.port},127.0.0.1:${leader.port}/pigeons` });
            await node.mustPush('u', 'old');
            await waitUntil('it listens', () => leader.seen.some(([name, channel]) => name === 'SUBSCRIBE' && channel === '+try-failover'));
            leader.masters = { pigeons: { port: old.port, epoch: 1, flags: 'master,failover_in_progress' } };
            leader.connections.forEach((connection) => connection.send(value(['message', '+try-failover', `master pigeons 127.0.0.1 ${old.port}`])));
            await waitUntil('it is believed', async () => (await node.push('u', 'lost')).status === 503);
            await waitUntil('no link is left', async () => !(await old.call('CLIENT', 'LIST')).includes('name=herald'));
            await waitUntil('it says why', async () =>
                /a Sentinel is replacing the primary of pigeons/.test((await node.request('GET', '/stats')).json.store.problem));
            leader.masters = { pigeons: { port: isGivenUp ? old.port : next.port, epoch: 2 } };
            await waitAccepted([node], 'u');
            assert.equal(await next.call('EXISTS', 'herald:{u}:meta'), isGivenUp ? 0 : 1);
        });
    }

    test('what a Sentinel says of another name moves nobody', async (t) => {
        const primary = await (await redisNode(t, SETTINGS)).start();
        const sentinel = await fakeSentinel(t, { pigeons: { port: primary.port, epoch: 1 } });
        const node = await startNode(t, 0, { store: `redis+sentinel://127.0.0.1:${sentinel.port}/pigeons` });
        await waitUntil('it listens', () => sentinel.seen.some(([name]) => name === 'SUBSCRIBE'));
        let asked = 0; /* by the rounds of the start */
        await waitUntil('it asks no more', async () => {
            asked = sentinel.counts.get('SENTINEL');
            await sleep(500);
            return sentinel.counts.get('SENTINEL') === asked;
        });
        for (const name of ['pigeons2', 'pigeon', 'doves']) {
            sentinel.connections.forEach((connection) =>
                connection.send(value(['message', '+switch-master', `${name} 127.0.0.1 1 127.0.0.1 2`])));
        }
        await sleep(500);
        assert.equal(sentinel.counts.get('SENTINEL'), asked);
        await node.mustPush('u', 1);
    });

    /* While it leads a failover its record has the old address beside the new epoch. */
    test('the address that a Sentinel gives counts, not the one in its record', async (t) => {
        const [old, next] = await Promise.all(range(2).map(async () => (await redisNode(t, SETTINGS)).start()));
        const sentinel = await fakeSentinel(t, { pigeons: { port: old.port, epoch: 2 } });
        sentinel.on('SENTINEL', ({ words }) => (words[1] === 'GET-MASTER-ADDR-BY-NAME' ? value(['127.0.0.1', String(next.port)]) : undefined));
        const node = await startNode(t, 0, { store: `redis+sentinel://127.0.0.1:${sentinel.port}/pigeons` });
        await node.mustPush('u', 1);
        assert.equal(await next.call('EXISTS', 'herald:{u}:meta'), 1);
        assert.equal(await old.call('DBSIZE'), 0);
    });

    test('Sentinels that were not named are learnt, and believed', async (t) => {
        const [old, next] = await Promise.all(range(2).map(async () => (await redisNode(t, SETTINGS)).start()));
        const unnamed = await fakeSentinel(t, { pigeons: { port: old.port, epoch: 1 } });
        const named = await fakeSentinel(t, { pigeons: { port: old.port, epoch: 1 } });
        named.on('SENTINEL', ({ words }) => (words[1] === 'SENTINELS'
            ? value([['name', 'other', 'ip', '127.0.0.1', 'port', String(unnamed.port)], ['ip', '', 'port', '0'], []]) : undefined));
        const node = await startNode(t, 0, { store: `redis+sentinel://127.0.0.1:${named.port}/pigeons` });
        await node.mustPush('u', 1);
        unnamed.masters.pigeons = { port: next.port, epoch: 2 };
        named.close();
        await old.kill(); /* the links ask again */
        await waitAccepted([node], 'u');
        assert.equal(await next.call('EXISTS', 'herald:{u}:meta'), 1);
    });

    test('a primary with replicas that need not have anything is called risky, once', async (t) => {
        const primary = await (await redisNode(t, SETTINGS)).start();
        await (await redisNode(t, { ...SETTINGS, replicaof: `127.0.0.1 ${primary.port}` })).start();
        const sentinel = await fakeSentinel(t, { pigeons: { port: primary.port, epoch: 1 } });
        await waitUntil('the replica is there', async () => await primary.info('connected_slaves') === '1');
        for (const [number, count] of [['0', 1], ['1', 0]]) {
            await primary.call('CONFIG', 'SET', 'min-replicas-to-write', number);
            await waitUntil('it takes writes', async () => await primary.call('SET', 'x', 'y').catch(() => '') === 'OK');
            const node = await startNode(t, 0, { store: `redis+sentinel://127.0.0.1:${sentinel.port}/pigeons` });
            await node.mustPush('u', 1);
            await (count > 0 ? node.waitLog(/set min-replicas-to-write 1/) : node.mustPush('u', 2));
            assert.equal(node.log.split('set min-replicas-to-write 1 and min-replicas-max-lag 10').length - 1, count);
            await node.stop();
        }
    });

    test('a Redis that hangs up is not knocked at all the time', async (t) => {
        const fake = await fakeRedis(t);
        let count = 0;
        fake.on('*', ({ name }) => {
            count += name === 'CLIENT' ? 1 : 0;
            return HANG_UP;
        });
        const sentinel = await fakeSentinel(t, { pigeons: { port: fake.port, epoch: 1 } });
        for (const store of [fake.url, `redis+sentinel://127.0.0.1:${sentinel.port}/pigeons`]) {
            const node = await t.prepare({ store });
            node.launch();
            await waitUntil('it has tried', () => count > 4);
            await sleep(1500);
            assert.ok(count < 80, `${count} connections of four links in 1.5 s: ${store}`);
            await node.stop();
            count = 0;
        }
    });
};
