'use strict';
/* CONTRACT 7: --listen, --socket-mode, --socket-group, and whose word is believed at a unix socket. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { Raw, assertProblem, freePort, handshake, range, waitUntil } = require('./harness');

function connect(t, where) {
    return new Promise((resolve, reject) => {
        const socket = net.connect(where, () => resolve(new Raw(socket)));
        socket.once('error', reject);
        t.cleanup(() => socket.destroy());
    });
}

/* A WebSocket there; the answer to its handshake, and the raw socket. */
async function subscribe(t, where, userId, options) {
    const raw = await connect(t, where);
    raw.send(handshake(`/ws?userId=${userId}`, options));
    return { raw, answer: await raw.answer() };
}

async function addressOf(herald, userId) {
    return (await herald.user(userId)).connections[0].address;
}

module.exports = (test) => {
    test('each --listen is served, and all are named at the start', async (t) => {
        const second = await freePort();
        const file = path.join(t.tempDir(), 's');
        const herald = await t.herald({
            store: 'memory', args: ['--listen', `127.0.0.1:${second},unix:${file}`, '--insecure'],
        });
        const places = [{ port: herald.port, host: '127.0.0.1' }, { port: second, host: '127.0.0.1' }, file];
        for (const [i, where] of places.entries()) {
            const { raw, answer } = await subscribe(t, where, `u${i}`);
            assert.equal(answer.status, 101);
            await herald.mustPush(`u${i}`, `to ${i}`);
            assert.match((await raw.frameButPings()).payload.toString(), new RegExp(`to ${i}`));
            raw.destroy();
        }
        await herald.waitLog(new RegExp(`listen=127.0.0.1:${herald.port},127.0.0.1:${second},unix:${file}`));
        await herald.stop();
        assert.ok(!fs.existsSync(file), 'the socket is gone with Herald');
    });

    test('all listeners wait together while no place is free, and go on together', async (t) => {
        const second = await freePort();
        const herald = await t.herald({
            store: 'memory', args: ['--listen', `127.0.0.1:${second}`, '--max-connections', '2'],
        });
        const both = [herald.port, second].map((port) => ({ port, host: '127.0.0.1' }));
        const held = [];
        for (const where of both) {
            held.push((await subscribe(t, where, 'u')).raw);
        }
        for (const where of both) {
            assertProblem((await subscribe(t, where, 'v')).answer, 503);
        }
        held.forEach((raw) => raw.destroy());
        for (const where of both) {
            await waitUntil('a place', async () => (await subscribe(t, where, 'w')).answer.status === 101);
        }
    });

    test('each --listen is judged for itself', async (t) => {
        const check = (...args) => t.runToEnd(['--check-config', ...args]);
        const open = await check('--listen', '127.0.0.1:1', '--listen', '0.0.0.0:2');
        assert.equal(open.code, 2);
        assert.match(open.stderr, /--listen 0\.0\.0\.0:2 is not on loopback/);
        const demo = await check('--listen', '127.0.0.1:1', '--listen', 'unix:/tmp/x', '--demo', '--insecure');
        assert.equal(demo.code, 2);
        assert.match(demo.stderr, /--listen is unix:\/tmp\/x/);
        assert.equal((await check('--listen', '127.0.0.1:1', '--listen', '[::1]:1')).code, 0);
        assert.match((await check('--socket-group', 'no-such-group')).stderr, /--socket-group: there is no group "no-such-group"/);
        assert.match((await check('--socket-mode', '888')).stderr, /--socket-mode must be octal/);
    });

    test('[::] takes IPv4 as well, and leaves it to another --listen of that port', async (t) => {
        const port = await freePort();
        const herald = await t.prepare({ store: 'memory', port, args: ['--insecure'] });
        const start = async (...listen) => {
            herald.arguments = () => ['--admin-listen', `127.0.0.1:${herald.adminPort}`, '--store', 'memory:',
                '--insecure', ...listen.flatMap((where) => ['--listen', where])];
            herald.launch();
            await herald.waitReady();
        };
        if (!fs.existsSync('/proc/net/if_inet6') || fs.readFileSync('/proc/net/if_inet6', 'utf8') === '') {
            t.skip('no IPv6 here');
        }
        for (const listen of [[`[::]:${port}`], [`[::]:${port}`, `127.0.0.1:${port}`]]) {
            await start(...listen);
            for (const host of ['127.0.0.1', '::1']) {
                const { raw, answer } = await subscribe(t, { port, host }, `at-${host}`);
                assert.equal(answer.status, 101);
                assert.equal(await addressOf(herald, `at-${host}`), host);
                raw.destroy();
            }
            await herald.stop();
        }
    });

    test('--socket-mode and --socket-group count for the sockets of both ports', async (t) => {
        const directory = t.tempDir();
        const files = ['ws', 'admin'].map((name) => path.join(directory, name));
        const group = process.getuid() === 0 ? 4711 : process.getgroups().at(-1);
        for (const [args, mode] of [[[], 0o660], [['--socket-mode', '0600', '--socket-group', `${group}`], 0o600]]) {
            const herald = await t.prepare({
                store: 'memory',
                args: ['--listen', `unix:${files[0]}`, '--admin-listen', `unix:${files[1]}`, '--insecure', ...args],
            });
            herald.launch();
            await waitUntil('both', () => files.every((file) => fs.existsSync(file)));
            await waitUntil('it serves', () => herald.log.includes('the admin API is served'));
            for (const file of files) {
                const found = fs.statSync(file);
                assert.equal(found.mode & 0o7777, mode, file);
                assert.equal(found.gid, args.length > 0 ? group : process.getgid(), file);
            }
            await herald.stop();
        }
    });

    test('--trusted-proxy unix: believes X-Forwarded-For at a unix socket, and limits count by it', async (t) => {
        const file = path.join(t.tempDir(), 's');
        const herald = await t.herald({
            store: 'memory',
            args: ['--listen', `unix:${file}`, '--insecure', '--trusted-proxy', 'unix:', '--max-connections-per-address', '2'],
        });
        const from = (address) => ({ headers: { 'X-Forwarded-For': address } });
        for (const n of range(2)) {
            assert.equal((await subscribe(t, file, `u${n}`, from('192.0.2.1'))).answer.status, 101);
            assert.equal(await addressOf(herald, `u${n}`), '192.0.2.1');
        }
        assertProblem((await subscribe(t, file, 'more', from('192.0.2.1'))).answer, 429);
        assert.equal((await subscribe(t, file, 'other', from('192.0.2.2'))).answer.status, 101);
        for (const n of range(4)) {
            assert.equal((await subscribe(t, file, `own${n}`)).answer.status, 101, 'the proxy itself has no address');
        }
        assert.equal(await addressOf(herald, 'own0'), 'unix');
        const tcp = { port: herald.port, host: '127.0.0.1' };
        assert.equal((await subscribe(t, tcp, 'liar', from('192.0.2.3'))).answer.status, 101);
        assert.equal(await addressOf(herald, 'liar'), '127.0.0.1', 'at the other listener nobody is trusted');
    });

    test('X-Forwarded-For at a unix socket is not believed unasked', async (t) => {
        const file = path.join(t.tempDir(), 's');
        const herald = await t.herald({ store: 'memory', args: ['--listen', `unix:${file}`, '--insecure'] });
        assert.equal((await subscribe(t, file, 'u', { headers: { 'X-Forwarded-For': '192.0.2.1' } })).answer.status, 101);
        assert.equal(await addressOf(herald, 'u'), 'unix');
    });
};
