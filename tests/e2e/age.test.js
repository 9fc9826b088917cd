'use strict';
/* FLEET 5, --max-session-age. In a file of its own: it takes a minute, and other files run beside it. */

const assert = require('node:assert/strict');
const { range, waitUntil } = require('./harness');

/* When the clients are closed, in ms from now. */
function watchCloses(clients) {
    const begin = Date.now();
    const ends = [];
    clients.forEach((client) => client.closed.then(({ code }) => ends.push({ code, ms: Date.now() - begin })));
    return ends;
}

module.exports = (test) => {
    test('a session is closed at 0.8 to 1.2 of --max-session-age, and told so before', { timeoutMs: 200000, tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--config', 'herald.ini'], files: { 'herald.ini': '' } });
        herald.writeFile('herald.ini', 'max-session-age = 1m\n');
        herald.child.signal('SIGHUP');
        await herald.waitLog(/event="options read again" changed=max-session-age/);
        const clients = await Promise.all(range(12).map((n) => herald.subscribeV1(`u${n}`)));
        const plain = await Promise.all(range(12).map((n) => herald.subscribe(`p${n}`)));
        const stream = await herald.events('s');
        const ends = watchCloses([...clients, ...plain]);
        await waitUntil('all are closed', () => ends.length === 24, 120000);
        assert.deepEqual(ends.filter(({ code }) => code !== 1012), []);
        const times = ends.map(({ ms }) => ms);
        assert.ok(Math.min(...times) >= 47500 && Math.max(...times) <= 73000, times.join());
        assert.ok(Math.max(...times) - Math.min(...times) > 8000, `spread: ${times.join()}`);
        for (const client of clients) {
            const [{ reason, reconnectAfterMs }, ...more] = client.goaways;
            assert.deepEqual(more, []);
            assert.equal(reason, 'age');
            assert.ok(reconnectAfterMs > 5000 && reconnectAfterMs <= 10000, `${reconnectAfterMs}`);
            assert.match((await client.closed).reason, /^restart retry_ms=\d+$/);
        }
        assert.deepEqual(plain.flatMap((client) => client.messages), []);
        await stream.waitEnd();
        assert.ok(stream.retry > 0);
        assert.equal(await herald.metric('herald_sessions_closed_total{cause="age"}'), 25);
        assert.equal((await herald.request('GET', '/readyz')).status, 200);
    });

    test('--max-session-age below a minute is refused with the range', async (t) => {
        for (const value of ['59s', '0', '31d', 'never']) {
            const { code, stderr } = await t.runToEnd(['--max-session-age', value]);
            assert.equal(code, 2);
            assert.match(stderr, /--max-session-age must be (from 1m to 30d|a duration like .*) \(or off\), not "/);
        }
    });
};
