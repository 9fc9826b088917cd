'use strict';
/* FLEET 1: addresses that are wrong at the start, and servers that are not what the address says. */

const assert = require('node:assert/strict');
const net = require('node:net');
const { Authority, SETTINGS, Skip, answers: { error, value }, fakeRedis, fakeSentinel, freePort, isNotServed, prepareNode, range,
    redisNode, secret, sleep, slotsAnswer, startNode, waitAccepted, waitUntil } = require('./harness');

const HOSTS = range(17).map((n) => `h${n}`).join(',');
const PASSWORD = secret('swordfish-of-a-store');

const REFUSED = [
    ['redis+sentinel://h:26379', 'redis+sentinel:// needs the name of the primary: write redis+sentinel://HOST:26379,HOST:26379/NAME'],
    ['redis+cluster://h:6379/3', 'a Redis Cluster has no databases: leave out /3'],
    [`redis+cluster://${HOSTS}`, 'more than 16 hosts'],
    ['redis+cluster://a:7000,b,a:7000', 'a:7000 stands twice'],
    [`rediss+cluster://u:${PASSWORD}@a,b,a`, 'a:6379 stands twice'],
    [`redis+cluster://u:${PASSWORD}@a,u:${PASSWORD}@b`, 'USER:PASSWORD stands once, before all hosts'],
    ['redis://h?db=3', 'only redis+unix:// has a part that begins with ?'],
    ['redis://h', '--redis-sentinel-auth is set, but the address does not begin with redis+sentinel', '--redis-sentinel-auth', `u:${PASSWORD}`],
    ['memory:', '--redis-sentinel-auth is set, but the address is none of a Redis', '--redis-sentinel-auth', `u:${PASSWORD}`],
    ['memory:', '--redis-wait-replicas is set, but the address is none of a Redis', '--redis-wait-replicas', '1'],
];

/* Started on a store that it cannot use; what it says of it stands in the answer of /readyz. */
async function assertUnready(t, store, why, advice) {
    const herald = await prepareNode(t, 0, { store });
    herald.launch();
    await waitUntil(`${why} is said`, async () => {
        if (!herald.child.isRunning()) {
            await herald.child.exited;
            herald.wasKilled = true;
            return isNotServed(herald);
        }
        const { status, json } = await herald.request('GET', '/readyz', { timeoutMs: 2000 });
        return status === 503 && json.detail.includes(why) && json.detail.includes(advice);
    });
    if (isNotServed(herald)) {
        throw new Skip(`the program does not serve ${store.split('://')[0]}:// yet`);
    }
    const { store: told } = (await herald.request('GET', '/stats')).json;
    assert.equal(told.up, false);
    assert.ok(told.problem.includes(why), told.problem);
    await herald.waitLog(new RegExp(why.replace(/[()]/g, '\\$&')));
    return herald;
}

/* A fake that greets like a primary, in cluster mode or not. */
async function greetingFake(t, isCluster, version = '7.0.15') {
    const fake = await fakeRedis(t);
    const info = `redis_version:${version}\r\nredis_mode:${isCluster ? 'cluster' : 'standalone'}\r\ncluster_enabled:${isCluster ? 1 : 0}\r\n`;
    fake.on('PING', () => '+PONG\r\n');
    fake.on('CLIENT', () => '+OK\r\n');
    fake.on('ROLE', () => '*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n');
    fake.on('INFO', () => `$${info.length}\r\n${info}\r\n`);
    fake.on('TIME', () => `*2\r\n$10\r\n${Math.floor(Date.now() / 1000)}\r\n$1\r\n0\r\n`);
    return fake;
}

module.exports = (test) => {
    test('addresses that cannot be meant are refused at the start, with their sentences', async (t) => {
        for (const [store, text, ...args] of REFUSED) {
            const { code, stderr } = await t.runToEnd([...args, '--store', store, '--listen', '127.0.0.1:1', '--admin-listen', '127.0.0.1:2']);
            assert.equal(code, 2, store);
            assert.ok(stderr.includes(`herald: --store: ${text}`), `${store}: ${stderr}`);
        }
    });

    test('a replica behind a plain address is named, with what to write', async (t) => {
        const primary = await (await redisNode(t, SETTINGS)).start();
        const replica = await (await redisNode(t, { ...SETTINGS, replicaof: `127.0.0.1 ${primary.port}` })).start();
        await assertUnready(t, `redis://127.0.0.1:${replica.port}`, `this Redis is a replica of 127.0.0.1:${primary.port}`,
            'write redis+sentinel:// or redis+cluster://, or point --store at the primary');
    });

    test('a node of a Cluster behind a plain address is named, with what to write', async (t) => {
        const node = await (await redisNode(t, { ...SETTINGS, 'cluster-enabled': 'yes', 'cluster-port': await freePort() })).start();
        await assertUnready(t, `redis://127.0.0.1:${node.port}`, 'this is a node of a Redis Cluster',
            'write redis+cluster://HOST:PORT in --store');
    });

    test('a single Redis behind the address of a Cluster is named, with what to write', async (t) => {
        const node = await (await redisNode(t, SETTINGS)).start();
        await assertUnready(t, `redis+cluster://127.0.0.1:${node.port}`, 'this Redis is not in cluster mode',
            'write redis:// in --store');
    });

    /* A Cluster of one node refuses nothing, and so does a Redis that has learnt CLUSTER SLOTS. */
    test('what a Redis says of its mode counts, though nothing is refused', async (t) => {
        for (const [scheme, isCluster, why] of [['redis', true, 'this is a node of a Redis Cluster'],
            ['redis+cluster', false, 'this Redis is not in cluster mode']]) {
            const fake = await greetingFake(t, isCluster);
            fake.on('CLUSTER', () => slotsAnswer([{ from: 0, to: 16383, host: '', port: fake.port }]));
            for (const name of ['SSUBSCRIBE', 'SUNSUBSCRIBE']) {
                fake.on(name, ({ words }) => value([words[0].toLowerCase(), words[1], 1]));
            }
            await assertUnready(t, `${scheme}://127.0.0.1:${fake.port}`, why, 'in --store');
        }
    });

    test('of several hosts the one that is no node of a Cluster is named', async (t) => {
        const node = await (await redisNode(t, SETTINGS)).start();
        const herald = await assertUnready(t, `redis+cluster://127.0.0.1:1,127.0.0.1:${node.port}`, 'this Redis is not in cluster mode',
            'write redis:// in --store');
        await herald.waitLog(new RegExp(`address=127.0.0.1:${node.port} why="this Redis is not in cluster mode"`));
        await herald.waitLog(/address=127.0.0.1:1 why="Connection refused"/);
    });

    test('a Cluster in formation has no owner for a slot', async (t) => {
        const node = await (await redisNode(t, { ...SETTINGS, 'cluster-enabled': 'yes', 'cluster-port': await freePort() })).start();
        await assertUnready(t, `redis+cluster://127.0.0.1:${node.port}`, 'the Cluster has no owner for slot', 'see CLUSTER INFO');
    });

    test('a Cluster that announces no address is named', async (t) => {
        const fake = await greetingFake(t, true);
        fake.on('CLUSTER', () => slotsAnswer([{ from: 0, to: 16383, host: '?', port: fake.port }]));
        await assertUnready(t, `redis+cluster://127.0.0.1:${fake.port}`, 'the Cluster announces no address for slot',
            'see cluster-announce-hostname');
    });

    test('a Sentinel behind the address of a Redis is named, with what to write', async (t) => {
        const sentinel = await fakeSentinel(t);
        for (const scheme of ['redis', 'redis+cluster']) {
            await assertUnready(t, `${scheme}://127.0.0.1:${sentinel.port}`, 'this is a Sentinel',
                'write redis+sentinel://HOST:26379,HOST:26379/NAME');
        }
    });

    test('a Redis among the Sentinels is named, with what to write', async (t) => {
        const node = await (await redisNode(t, SETTINGS)).start();
        await assertUnready(t, `redis+sentinel://127.0.0.1:${node.port}/pigeons`, `127.0.0.1:${node.port} is no Sentinel`,
            'name Sentinels in --store');
    });

    /* What answers at the port of a Sentinel: the round is over in half a second, and says why. */
    test('a Sentinel that speaks TLS, or does not, and what is none, each with its sentence', async (t) => {
        const authority = new Authority(t.tempDir());
        const { cert, key } = authority.issue('redis');
        const securePort = await freePort();
        await (await redisNode(t, { ...SETTINGS, 'tls-port': securePort, 'tls-cert-file': cert, 'tls-key-file': key,
            'tls-ca-cert-file': authority.file, 'tls-auth-clients': 'no' })).start();
        const sentinel = await fakeSentinel(t);
        const web = net.createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
        t.cleanup(() => web.close());
        const webPort = await freePort();
        await new Promise((resolve) => { web.listen(webPort, '127.0.0.1', resolve); });
        for (const [scheme, port, why, advice] of [
            ['redis', securePort, 'speaks TLS', 'write rediss+sentinel:// in --store'],
            ['rediss', securePort, 'is not good', 'see --redis-tls-ca and --redis-tls-name'],
            ['rediss', sentinel.port, 'does not answer TLS', 'write redis+sentinel:// in --store if it is without TLS'],
            ['redis', webPort, 'is no Sentinel', 'name Sentinels in --store']]) {
            const address = `127.0.0.1:${port}`;
            await assertUnready(t, `${scheme}+sentinel://${address}/pigeons`, `${address} ${why}`, advice);
        }
    });

    test('a database that Redis does not have is named, with what to write', async (t) => {
        const node = await (await redisNode(t, SETTINGS)).start();
        await assertUnready(t, `redis://127.0.0.1:${node.port}/99`, 'ERR DB index is out of range', 'take a lower /N in --store');
    });

    test('a Redis without TLS behind an address with it is named, with what to write', async (t) => {
        const node = await (await redisNode(t, SETTINGS)).start();
        await assertUnready(t, `rediss://127.0.0.1:${node.port}`, `127.0.0.1:${node.port} does not answer TLS`,
            'write redis:// in --store if it is without TLS');
    });

    /* Of a server with TLS a plain link is reset at its first byte each time. */
    test('a Redis that resets a connection now and then is not said to speak TLS', async (t) => {
        const node = await (await redisNode(t, SETTINGS)).start();
        const open = new Set();
        let resets = 2; /* one worker has two links, which connect at the same time */
        const server = net.createServer((socket) => {
            socket.on('error', () => {});
            if (resets > 0) {
                resets -= 1;
                socket.once('data', () => socket.resetAndDestroy());
                return;
            }
            const redis = net.connect(node.port, '127.0.0.1');
            redis.on('error', () => {});
            socket.pipe(redis).pipe(socket);
            open.add(socket);
        });
        const port = await freePort();
        await new Promise((resolve) => { server.listen(port, '127.0.0.1', resolve); });
        t.cleanup(() => [...open, server].forEach((each) => (each === server ? server.close() : each.destroy())));
        const herald = await startNode(t, 0, { store: `redis://127.0.0.1:${port}`, args: ['--workers', '1'] });
        assert.equal(resets, 0);
        resets = 1;
        open.forEach((socket) => socket.resetAndDestroy());
        await waitUntil('one was reset again', () => resets === 0);
        await waitAccepted([herald]);
        assert.ok(!herald.log.includes('speaks TLS'), herald.log);
    });

    test('a Redis of version 6 is named as too old, whatever it refuses first', async (t) => {
        for (const scheme of ['redis', 'redis+cluster']) {
            const fake = await greetingFake(t, scheme === 'redis+cluster', '6.2.14');
            fake.on('CLUSTER', () => slotsAnswer([{ from: 0, to: 16383, host: '', port: fake.port }]));
            fake.on('SSUBSCRIBE', ({ words }) => error(`ERR unknown command \`${words[0]}\`, with args beginning with: \`x\`, `));
            const herald = await assertUnready(t, `${scheme}://127.0.0.1:${fake.port}`, '', 'Herald needs Redis 7.0 or later');
            await herald.waitLog(/Redis 6\.2\.14 is too old/);
            await Promise.all(range(20).map(async (n) => { /* both links have failed several times meanwhile */
                await sleep(50 * n);
                assert.match((await herald.request('GET', '/readyz')).json.detail, /Herald needs Redis 7.0 or later/);
            }));
        }
    });

    test('Sentinels that do not know the name, and Sentinels that do not answer', async (t) => {
        const sentinels = [await fakeSentinel(t), await fakeSentinel(t, { another: { port: 1 } })];
        const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
        await assertUnready(t, `redis+sentinel://u:${PASSWORD}@${hosts}/pigeons`, 'no Sentinel knows pigeons',
            'see SENTINEL MASTERS there');
        sentinels.forEach((sentinel) => sentinel.close());
        await assertUnready(t, `redis+sentinel://${hosts}/pigeons`, 'no Sentinel answers (2 asked)', 'start them, or change --store');
    });

    test('a Sentinel of an older epoch is not believed, nor one that names a replica', async (t) => {
        const primary = await (await redisNode(t, SETTINGS)).start();
        const replica = await (await redisNode(t, { ...SETTINGS, replicaof: `127.0.0.1 ${primary.port}` })).start();
        const other = await (await redisNode(t, SETTINGS)).start();
        const honest = await fakeSentinel(t, { pigeons: { port: primary.port, epoch: 5 } });
        const liar = await fakeSentinel(t, { pigeons: { port: other.port, epoch: 4 } });
        const herald = await prepareNode(t, 0, { store: `redis+sentinel://127.0.0.1:${liar.port},127.0.0.1:${honest.port}/pigeons` });
        herald.launch();
        await Promise.race([herald.child.exited, herald.waitReady()]).catch(() => {});
        if (isNotServed(herald)) {
            herald.wasKilled = true;
            throw new Skip('the program does not serve redis+sentinel:// yet');
        }
        await herald.mustPush('u', 1);
        assert.equal(await primary.call('EXISTS', 'herald:{u}:meta'), 1);
        assert.equal(await other.call('EXISTS', 'herald:{u}:meta'), 0);
        honest.close(); /* the only one left says an older epoch */
        await primary.kill();
        await primary.start();
        await waitUntil('it stays away from what it does not believe', async () =>
            (await herald.request('GET', '/readyz')).json.degraded?.includes('store'));
        assert.equal(await other.call('DBSIZE'), 0);
        liar.masters.pigeons = { port: replica.port, epoch: 6 };
        await waitUntil('a replica is no primary', async () => (await herald.push('u', 2)).status === 503);
        liar.masters.pigeons = { port: primary.port, epoch: 6 };
        await waitUntil('it is back', async () => (await herald.push('u', 3)).status === 202);
    });
};
