'use strict';
/* redis+sentinel://: which primary is believed, what is wrong with the Sentinels, and a real failover. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { range, waitUntil } = require('./harness');
const { Child, freePort } = require('./harness/processes');

const bulk = (text) => `$${Buffer.byteLength(String(text))}\r\n${text}\r\n`;
const array = (items) => `*${items.length}\r\n${items.join('')}`;

/* The commands that are whole in `text`, as arrays of words; ASCII alone. */
function takeCommands(text) {
    const commands = [];
    let rest = text;
    for (;;) {
        const head = /^\*(\d+)\r\n/.exec(rest);
        if (!head) {
            return { commands, rest };
        }
        let at = head[0].length;
        const words = [];
        for (let i = 0; i < Number(head[1]); i++) {
            const length = /^\$(\d+)\r\n/.exec(rest.slice(at));
            if (!length || rest.length < at + length[0].length + Number(length[1]) + 2) {
                return { commands, rest };
            }
            at += length[0].length;
            words.push(rest.slice(at, at + Number(length[1])));
            at += Number(length[1]) + 2;
        }
        commands.push(words);
        rest = rest.slice(at);
    }
}

/* A Sentinel that says what the test wants: {epoch, port} of the primary; leads: it leads a failover, so that
 * its record still has `oldPort`; others: ports of further Sentinels; silent; garbage. */
class FakeSentinel {
    constructor(t) {
        this.says = null;
        this.sockets = new Set();
        this.asked = 0;
        this.server = net.createServer((socket) => this.serve(socket));
        t.cleanup(() => this.close());
    }

    async listen() {
        await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
        this.port = this.server.address().port;
        return this;
    }

    close() {
        this.server.close();
        this.sockets.forEach((socket) => socket.destroy());
    }

    serve(socket) {
        let text = '';
        this.sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => this.sockets.delete(socket));
        socket.on('data', (bytes) => {
            const { commands, rest } = takeCommands(text + bytes.toString('latin1'));
            text = rest;
            commands.forEach((words) => socket.write(this.answer(words, socket)));
        });
    }

    answer(words, socket) {
        const [command, kind, name] = words.map((word) => word.toUpperCase());
        if (command === 'SUBSCRIBE') {
            socket.isSubscriber = true;
            return array([bulk('subscribe'), bulk(words[1]), ':1\r\n']);
        }
        if (command === 'PING') {
            return socket.isSubscriber ? array([bulk('pong'), bulk('')]) : '+PONG\r\n';
        }
        if (command !== 'SENTINEL') {
            return '+OK\r\n';
        }
        if (this.says?.silent) {
            return '';
        }
        if (this.says?.garbage) {
            return '*1\r\n*-7\r\nnonsense\r\n';
        }
        const isKnown = this.says && name === 'MYMASTER';
        if (kind === 'MASTER') {
            this.asked++;
            return isKnown ? array(['name', 'mymaster', 'ip', '127.0.0.1', 'port', this.says.oldPort ?? this.says.port,
                'flags', 'master', 'config-epoch', this.says.epoch].map(bulk)) : '-ERR No such master with that name\r\n';
        }
        if (kind === 'SENTINELS') {
            return array((this.says?.others ?? []).map((port) => array(['name', 'x', 'ip', '127.0.0.1', 'port', port].map(bulk))));
        }
        return isKnown ? array(['127.0.0.1', this.says.port].map(bulk)) : '*-1\r\n';
    }

    /* Tells its subscribers that the primary has moved. */
    tell(oldPort, newPort) {
        const message = array(['message', '+switch-master', `mymaster 127.0.0.1 ${oldPort} 127.0.0.1 ${newPort}`].map(bulk));
        const subscribers = [...this.sockets].filter((socket) => socket.isSubscriber);
        subscribers.forEach((socket) => socket.write(message));
        return subscribers.length;
    }
}

async function sentinels(t, n) {
    const all = [];
    for (let i = 0; i < n; i++) {
        all.push(await new FakeSentinel(t).listen());
    }
    return { all, store: `redis+sentinel://${all.map((one) => `127.0.0.1:${one.port}`).join(',')}/mymaster` };
}

async function startAway(t, store, args = []) {
    const herald = await t.prepare({ store, args });
    herald.launch();
    await herald.waitStatus('/livez', 200);
    return herald;
}

async function waitProblem(herald, why) {
    await waitUntil(`it says ${why}`, async () => why.test((await herald.request('GET', '/stats')).json.store.problem));
    assert.match((await herald.request('GET', '/readyz')).json.detail, why);
    await herald.waitLog(new RegExp(why.source.split(' \\(')[0]));
}

async function waitReady(herald) {
    await waitUntil('it is ready', async () => (await herald.request('GET', '/readyz')).json.status === 'ready');
}

async function hasUser(redis, userId) {
    return (await redis.command(`EXISTS herald:{${userId}}:meta`)) === ':1';
}

module.exports = (test) => {
    test('the highest epoch is believed, and never a lower one than before', async (t) => {
        const [older, newer] = await Promise.all(range(2).map(async () => (await t.redis()).start()));
        const { all, store } = await sentinels(t, 3);
        all[0].says = { epoch: 3, port: older.port };
        all[1].says = { epoch: 5, port: newer.port };
        all[2].says = { epoch: 3, port: older.port };
        const herald = await t.herald({ store });
        await herald.mustPush('u', 1);
        assert.equal(await hasUser(newer, 'u'), true);
        assert.equal(await hasUser(older, 'u'), false);
        all[1].says = { silent: true };
        await newer.command('CLIENT KILL TYPE normal SKIPME yes');
        await waitProblem(herald, /the Sentinels know only an older primary of mymaster/);
        assert.equal((await herald.push('u', 2)).status, 503);
        assert.equal(await hasUser(older, 'u'), false);
        all[2].says = { epoch: 5, port: newer.port };
        await waitReady(herald);
        assert.equal((await herald.mustPush('u', 3)).seq, 2);
    });

    test('a Sentinel that leads a failover has the new address in its second answer', async (t) => {
        const [older, newer] = await Promise.all(range(2).map(async () => (await t.redis()).start()));
        const { all, store } = await sentinels(t, 1);
        all[0].says = { epoch: 7, oldPort: older.port, port: newer.port };
        const herald = await t.herald({ store });
        await herald.mustPush('u', 1);
        assert.equal(await hasUser(newer, 'u'), true);
    });

    test('what is wrong with the Sentinels is said in one sentence', async (t) => {
        const { all, store } = await sentinels(t, 2);
        const herald = await startAway(t, store);
        await waitProblem(herald, /no Sentinel knows mymaster \(see SENTINEL MASTERS there\)/);
        all.forEach((one) => { one.says = { garbage: true }; });
        await waitProblem(herald, /no Sentinel answers \(2 asked\) \(start them, or change --store\)/);
        all.forEach((one) => { one.says = { silent: true }; });
        await waitProblem(herald, /no Sentinel answers \(2 asked\)/);
        const nowhere = await startAway(t, `redis+sentinel://127.0.0.1:${await freePort()}/mymaster`);
        await waitProblem(nowhere, /no Sentinel answers \(1 asked\)/);
        const redis = await (await t.redis()).start();
        all[1].says = { epoch: 1, port: redis.port };
        await waitReady(herald);
    });

    test('a replica is not used, and asked about again until the Sentinels name a primary', async (t) => {
        const primary = await (await t.redis()).start();
        const replica = await (await t.redis()).start('--replicaof', '127.0.0.1', String(primary.port));
        const { all, store } = await sentinels(t, 1);
        all[0].says = { epoch: 1, port: replica.port };
        const herald = await startAway(t, store);
        await waitProblem(herald, new RegExp(`this Redis is a replica of 127\\.0\\.0\\.1:${primary.port}`));
        all[0].says = { epoch: 1, port: primary.port };
        await waitReady(herald);
        await herald.mustPush('u', 1);
    });

    test('+switch-master moves all links, though the old primary goes on as one', async (t) => {
        const [older, newer] = await Promise.all(range(2).map(async () => (await t.redis()).start()));
        const { all, store } = await sentinels(t, 3);
        all.forEach((one) => { one.says = { epoch: 1, port: older.port }; });
        const herald = await t.herald({ store });
        const userIds = range(6).map((n) => `u${n}`); /* on both workers */
        const clients = await Promise.all(userIds.map((userId) => herald.subscribe(userId)));
        all.forEach((one) => { one.says = { epoch: 2, port: newer.port }; });
        await waitUntil('a Sentinel has subscribers', () => all.some((one) => one.tell(older.port, newer.port) > 0));
        await herald.waitLog(new RegExp(`the primary has moved.*127\\.0\\.0\\.1:${newer.port}`));
        await waitUntil('nobody is left at the old one', async () => !/name=herald/.test(await ask(older.port, 'CLIENT LIST')));
        await waitReady(herald);
        for (const [n, userId] of userIds.entries()) {
            await waitUntil('a push is accepted', async () => (await herald.push(userId, 'moved')).status === 202);
            await clients[n].waitCount(1);
        }
        assert.equal(await hasUser(newer, 'u0'), true);
        assert.equal(await hasUser(older, 'u0'), false);
    });

    test('Sentinels that were not named are found, and asked when the named one is gone', async (t) => {
        const redis = await (await t.redis()).start();
        const { all } = await sentinels(t, 2);
        all[0].says = { epoch: 1, port: redis.port, others: [all[1].port] };
        all[1].says = { epoch: 1, port: redis.port };
        const herald = await t.herald({ store: `redis+sentinel://127.0.0.1:${all[0].port}/mymaster` });
        await redis.command('CLIENT KILL TYPE normal SKIPME yes');
        await waitUntil('the second is asked', () => all[1].asked > 0);
        all[0].close();
        await redis.command('CLIENT KILL TYPE normal SKIPME yes');
        await waitUntil('a push is accepted', async () => (await herald.push('u', 1)).status === 202);
    });

    test('a real failover: sessions stay, pushes go on, and what was accepted is there', async (t) => {
        const primary = await (await t.redis()).start();
        const replica = await (await t.redis()).start('--replicaof', '127.0.0.1', String(primary.port));
        await waitUntil('the replica is linked', async () => /,online|state=online/.test(await replicationOf(primary)));
        const ports = await Promise.all(range(3).map(() => realSentinel(t, primary.port)));
        const store = `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/mymaster`;
        const herald = await t.herald({ store, args: ['--redis-sentinel-auth', ':letmein'] });
        await herald.waitLog(/min-replicas-to-write 1 and min-replicas-max-lag 10/);
        const client = await herald.subscribe('u');
        await herald.mustPush('u', 'before');
        await client.waitCount(1);
        await waitUntil('the Sentinels know the replica and each other', async () => (await Promise.all(
            ports.map((port) => knownBy(port)))).every((text) => /slaves=1,sentinels=3/.test(text)), 30000);
        await primary.kill();
        await waitUntil('a push is accepted again', async () => (await herald.push('u', 'after')).status === 202);
        await waitUntil('it has come', () => client.values().includes('after'));
        assert.equal(await hasUser(replica, 'u'), true);
        assert.doesNotMatch(herald.log, /letmein/);
    });

    test('a Sentinel that wants a password is said as such', async (t) => {
        const redis = await (await t.redis()).start();
        const port = await realSentinel(t, redis.port);
        const herald = await startAway(t, `redis+sentinel://127.0.0.1:${port}/mymaster`);
        await waitProblem(herald, /a Sentinel refuses: .*(NOAUTH|WRONGPASS).* \(see --redis-sentinel-auth\)/);
        const end = await t.runToEnd(['--store', `redis+sentinel://127.0.0.1:${port}/mymaster`, '--redis-sentinel-auth', 'swordfish']);
        assert.equal(end.code, 2);
        assert.match(end.stderr, /--redis-sentinel-auth must be USER:PASSWORD/);
        assert.doesNotMatch(end.stderr, /swordfish/);
    });
};

async function ask(port, line) {
    const socket = net.connect(port, '127.0.0.1');
    return new Promise((resolve, reject) => {
        let text = '';
        socket.on('error', reject);
        socket.on('data', (bytes) => { text += bytes; });
        socket.on('close', () => resolve(text));
        socket.end(`${line}\r\nQUIT\r\n`);
    });
}

const replicationOf = (redis) => ask(redis.port, 'INFO replication');
const knownBy = (port) => ask(port, 'AUTH letmein\r\nINFO sentinel');

/* redis-sentinel with a password, which watches the primary; its port. */
async function realSentinel(t, primaryPort) {
    const port = await freePort();
    const file = path.join(t.tempDir(), 'sentinel.conf');
    fs.writeFileSync(file, `port ${port}\nbind 127.0.0.1\nrequirepass letmein\nsentinel sentinel-pass letmein\n`
        + `sentinel monitor mymaster 127.0.0.1 ${primaryPort} 2\nsentinel down-after-milliseconds mymaster 1000\n`
        + 'sentinel failover-timeout mymaster 5000\n');
    const child = new Child('redis-server', [file, '--sentinel'], {});
    t.cleanup(() => child.stop('SIGKILL'));
    await waitUntil('a Sentinel answers', async () => /NOAUTH/.test(await ask(port, 'PING')));
    return port;
}
