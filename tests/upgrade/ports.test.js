'use strict';
/* Listening sockets, and HTTP connections that are no sessions yet, on their way from one process to the next. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { Raw, freePort, handshake, range, sleep, waitUntil } = require('../e2e/harness');

const LIVEZ = 'GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';

function connect(t, where) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(where, () => resolve(new Raw(socket)));
        socket.once('error', reject);
        t.cleanup(() => socket.destroy());
    });
}

const half = (text) => [text.slice(0, text.length / 2), text.slice(text.length / 2)];

/* Asks again and again on new connections, until it is stopped: how often it was answered. */
function keepAsking(t, where) {
    const asker = { n: 0, isStopped: false };
    asker.done = (async () => {
        while (!asker.isStopped) {
            const raw = await connect(t, where);
            assert.equal((await raw.send(LIVEZ).answer()).status, 200);
            raw.destroy();
            asker.n += 1;
        }
    })();
    asker.done.catch(() => {});
    asker.stop = async () => {
        asker.isStopped = true;
        await asker.done;
        return asker.n;
    };
    return asker;
}

/* Its addresses are in a file, because they are to change while its arguments do not. */
async function heraldWithFile(t, text) {
    const herald = await t.prepare({ store: 'file' });
    const file = path.join(herald.options.cwd, 'herald.ini');
    const store = herald.arguments().slice(herald.arguments().indexOf('--store'));
    herald.writeOptions = (options) => herald.writeFile('herald.ini', `insecure = on\n${options}\n`);
    herald.arguments = () => ['--config', file, ...store];
    herald.writeOptions(text(herald));
    await herald.start();
    return herald;
}

module.exports = (test) => {
    test('a head of which the half has come is answered by the other process', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const [begin, end] = half(handshake('/ws?userId=alice'));
        const subscriber = await connect(t, herald.port);
        const admin = await connect(t, herald.adminPort);
        subscriber.send(begin);
        admin.send(LIVEZ.slice(0, 10));
        await sleep(50); /* most often both are read by now; in the kernel the bytes are as safe */
        await herald.upgrade();
        assert.equal((await subscriber.send(end).answer()).status, 101);
        assert.equal((await admin.send(LIVEZ.slice(10)).answer()).status, 200);
        assert.equal((await herald.mustPush('alice', 1)).status, 'sent');
        assert.match((await subscriber.frameButPings()).payload.toString(), /^1$/);
    });

    test('a connection between two requests goes on, at both ports', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const raws = await Promise.all([herald.port, herald.adminPort].map((port) => connect(t, port)));
        for (let n = 0; n < 3; n++) {
            for (const raw of raws) {
                const answer = await raw.send(LIVEZ).answer();
                assert.equal(answer.status, 200);
                assert.match(answer.headers.connection ?? 'keep-alive', /keep-alive/);
            }
            await herald.upgrade();
        }
        for (const raw of raws) {
            assert.equal((await raw.send(LIVEZ).answer()).status, 200);
        }
    });

    test('more connections than one message takes go on, each with its own bytes', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const raws = await Promise.all(range(600).map(() => connect(t, herald.port)));
        raws.forEach((raw, i) => raw.send(i % 2 === 0 ? LIVEZ : `GET /n${i}`));
        await Promise.all(raws.filter((_, i) => i % 2 === 0).map((raw) => raw.answer()));
        await herald.upgrade();
        raws.forEach((raw, i) => raw.send(i % 2 === 0 ? LIVEZ : ' HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'));
        const answers = await Promise.all(raws.map((raw) => raw.answer()));
        assert.deepEqual(answers.map(({ status }) => status), raws.map((_, i) => (i % 2 === 0 ? 200 : 404)));
    });

    test('a PROXY header of which the half has come names the client all the same', async (t) => {
        const herald = await t.herald({ store: 'file', args: ['--trusted-proxy', '127.0.0.0/8', '--insecure'] });
        const header = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n';
        const head = handshake('/ws?userId=late');
        const late = await connect(t, herald.port);
        const early = await connect(t, herald.port);
        late.send(header.slice(0, 20));
        early.send(header + handshake('/ws?userId=early').slice(0, 30));
        await sleep(50);
        await herald.upgrade();
        assert.equal((await late.send(header.slice(20) + head).answer()).status, 101);
        assert.equal((await early.send(handshake('/ws?userId=early').slice(30)).answer()).status, 101);
        for (const userId of ['late', 'early']) {
            assert.equal((await herald.user(userId)).connections[0].address, '192.0.2.7', userId);
        }
    });

    test('whoever connects meanwhile is answered, also over a unix socket', async (t) => {
        const file = path.join(t.tempDir(), 's');
        const herald = await t.herald({ store: 'file', args: ['--listen', `unix:${file}`, '--insecure'] });
        const { ino } = fs.statSync(file);
        const askers = [herald.port, herald.adminPort, file].map((where) => keepAsking(t, where));
        for (let n = 0; n < 5; n++) {
            await herald.upgrade();
        }
        for (const asker of askers) {
            assert.ok(await asker.stop() > 0);
        }
        assert.equal(fs.statSync(file).ino, ino, 'its file is the same');
        await herald.stop();
        assert.ok(!fs.existsSync(file), 'the last one takes it away');
    });

    test('a unix socket whose file somebody has removed is made anew', async (t) => {
        const file = path.join(t.tempDir(), 'a', 's');
        fs.mkdirSync(path.dirname(file));
        const herald = await t.herald({ store: 'file', args: ['--listen', `unix:${file}`, '--socket-mode', '0600', '--insecure'] });
        const client = await herald.subscribe('alice');
        fs.rmSync(file);
        await herald.upgrade();
        await herald.waitLog(new RegExp(`level=warn event="a socket's file was gone, and is made anew" path=${file}`));
        assert.equal(fs.statSync(file).mode & 0o777, 0o600);
        const asker = keepAsking(t, file);
        await waitUntil('somebody is answered there', () => asker.n > 0);
        await herald.upgrade(); /* it is handed over like any other */
        assert.ok(await asker.stop() > 0);
        fs.rmSync(path.dirname(file), { recursive: true });
        await herald.upgrade();
        await herald.waitLog(/level=error event="a socket's file is gone, and nobody can connect there: upgrade again, or restart, when it can be made"/);
        await herald.mustPush('alice', 'still here');
        await client.waitCount(1);
    });

    test('an address that is not named any more is closed, another one is opened, and sessions stay', async (t) => {
        const other = await freePort();
        const file = path.join(t.tempDir(), 's');
        const named = (...listen) => (herald) => `listen = ${listen.join(',')}\nadmin-listen = 127.0.0.1:${herald.adminPort}`;
        const herald = await heraldWithFile(t, (each) => named(`127.0.0.1:${each.port}`, `unix:${file}`)(each));
        const old = herald.port;
        const client = await herald.subscribe('alice');
        herald.writeOptions(named(`localhost:${other}`)(herald));
        herald.port = other;
        await herald.upgrade();
        await assert.rejects(connect(t, old), { code: 'ECONNREFUSED' });
        assert.ok(!fs.existsSync(file), 'nobody listens there');
        const second = await herald.subscribe('alice');
        await herald.mustPush('alice', 'both');
        await Promise.all([client.waitCount(1), second.waitCount(1)]);
    });

    test('an address that another program has is refused, and the running process goes on', async (t) => {
        const herald = await heraldWithFile(t, (each) => `listen = 127.0.0.1:${each.port}\nadmin-listen = 127.0.0.1:${each.adminPort}`);
        const server = net.createServer().listen(0, '127.0.0.1');
        t.cleanup(() => server.close());
        await new Promise((resolve) => server.once('listening', resolve));
        const client = await herald.subscribe('alice');
        const taken = server.address().port;
        herald.writeOptions(`listen = 127.0.0.1:${herald.port},127.0.0.1:${taken}\nadmin-listen = 127.0.0.1:${herald.adminPort}`);
        assert.equal((await herald.tryUpgrade()).successor, undefined);
        await herald.waitLog(new RegExp(`upgrade given up: --listen: cannot listen on 127.0.0.1:${taken}: `));
        await herald.mustPush('alice', 'still here');
        await client.waitCount(1);
        await herald.subscribe('bob');
    });
};
