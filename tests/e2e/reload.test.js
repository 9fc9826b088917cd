'use strict';
/* CONTRACT 7: SIGHUP takes new values of the options marked live from the file, of origins above all. */

const assert = require('node:assert/strict');
const { exchange, handshake, sleep, waitUntil } = require('./harness');

const FILE = 'herald.ini';
const CONFIGURED = { store: 'memory', args: ['--config', FILE, '--max-data', '2KiB'] };

async function started(t, text) {
    return t.herald({ ...CONFIGURED, files: { [FILE]: text } });
}

async function reload(herald, text, expected) {
    const before = herald.log.length;
    herald.writeFile(FILE, text);
    herald.child.signal('SIGHUP');
    await waitUntil('it has looked', () => expected.test(herald.log.slice(before)));
    return herald.log.slice(before);
}

const statusFrom = async (herald, Origin) =>
    (await exchange(herald.port, handshake('/ws?userId=1', { headers: { Origin } }))).status;

module.exports = (test) => {
    test('origins that are added may connect, those that are gone may not, and open sessions stay', async (t) => {
        const herald = await started(t, 'allowed-origin = https://a.example\n');
        const open = await herald.subscribe('ada', { headers: { Origin: 'https://a.example' } });
        assert.equal(await statusFrom(herald, 'https://b.example'), 403);
        await reload(herald, 'allowed-origin = https://b.example, https://*.c.example\n',
            /event="options read again" changed=allowed-origin$/m);
        assert.equal(await statusFrom(herald, 'https://a.example'), 403);
        assert.equal(await statusFrom(herald, 'https://b.example'), 101);
        assert.equal(await statusFrom(herald, 'https://x.c.example'), 101);
        await herald.mustPush('ada', 'still there');
        await open.waitCount(1);
        await reload(herald, '', /changed=allowed-origin$/m);
        assert.equal(await statusFrom(herald, 'https://b.example'), 403);
        assert.equal(await herald.metric('herald_options_reloads_total'), 2);
    });

    test('times and limits count from then on, for open sessions too', { tries: 3 }, async (t) => {
        const herald = await started(t, 'ping-interval = 500ms\nmax-connections-per-user = 3\n');
        const clients = [await herald.subscribe('ada'), await herald.subscribe('ada'), await herald.subscribe('ada')];
        await reload(herald, 'ping-interval = 100ms\nmax-connections-per-user = 2\nmax-messages-per-second = 30\n',
            /changed=ping-interval,max-connections-per-user,max-messages-per-second/);
        await sleep(600); /* the ping that the old interval had set */
        const before = clients[2].pings.length;
        await sleep(1500);
        assert.ok(clients[2].pings.length - before >= 8, `${clients[2].pings.length - before} pings`);
        await herald.subscribe('ada');
        assert.equal((await clients[0].waitClosed()).code, 4508);
        assert.equal((await clients[1].waitClosed()).code, 4508);
        for (let i = 0; i < 200; i++) {
            clients[2].socket.send('x');
        }
        assert.equal((await clients[2].waitClosed()).code, 4005);
    });

    test('what takes a restart is named and stays; a flag stays stronger than the file', async (t) => {
        const herald = await started(t, 'inbox-max = 2\nlog-level = info\n');
        const said = await reload(herald, 'inbox-max = 1\nmax-data = 1KiB\nlog-level = debug\n', /take a restart/);
        assert.match(said, /level=warn event="these options take a restart" options=inbox-max$/m);
        assert.match(said, /changed=log-level$/m);
        await herald.mustPush('ada', 'x'.repeat(1500));
        await herald.mustPush('ada', 'y');
        assert.equal((await herald.user('ada')).pending, 2);
        await herald.push('', 1);
        await waitUntil('it logs as debug does', () => /level=debug/.test(herald.log));
    });

    test('a wrong file changes nothing, and the log says where it is wrong', async (t) => {
        const good = 'allowed-origin = https://a.example\n';
        const herald = await started(t, good);
        for (const [text, where] of [
            ['allowed-origin = https://b.example\nping-interval = soon\n', /herald\.ini:2: ping-interval must be/],
            ['allowed-origin = https://b.example\npong-interval = 1s\n', /herald\.ini:2: pong-interval is not known; did you mean ping-interval/],
            ['allowed-origin = https://b.example/path\n', /--allowed-origin must be/],
        ]) {
            assert.match(await reload(herald, text, /level=error event="the options stay as they were"/), where);
            assert.equal(await statusFrom(herald, 'https://a.example'), 101);
            assert.equal(await statusFrom(herald, 'https://b.example'), 403);
        }
        const { text } = await herald.request('GET', '/metrics');
        assert.match(text, /^herald_options_reloads_total\{result="kept"\} 3$/m);
        await reload(herald, good, /event="options read again" changed=none$/m);
    });
};
