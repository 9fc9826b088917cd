'use strict';
/* Event streams as the clients of others read them: npm's eventsource and eventsource-client. Two that need a
 * browser are in tests/browser. */

const assert = require('node:assert/strict');
const { EventSource } = require('eventsource');
const { createEventSource } = require('eventsource-client');
const { waitUntil } = require('./harness');

const DAY_MS = 86400000;

/* Each adds the values that it gets to `seen`, and to `waits` how long it will wait before it connects again. */
const libraries = {
    eventsource(url, seen) {
        const source = new EventSource(url);
        source.onmessage = ({ data }) => seen.push(JSON.parse(data));
        return () => source.close();
    },
    'eventsource-client'(url, seen, waits) {
        const source = createEventSource({
            url,
            onMessage: ({ event, data }) => {
                const value = JSON.parse(data); // every event comes here
                if (event === undefined) {
                    seen.push(value);
                }
            },
            onScheduleReconnect: ({ delay }) => waits.push(delay),
        });
        return () => source.close();
    },
};

/* eventsource does not say how long it waits: its timers are looked at. */
function watchTimers(t, waits) {
    const original = globalThis.setTimeout;
    globalThis.setTimeout = (action, ms, ...rest) => {
        waits.push(ms);
        return original(action, ms, ...rest);
    };
    t.cleanup(() => { globalThis.setTimeout = original; });
}

module.exports = (test) => {
    for (const [name, open] of Object.entries(libraries)) {
        const start = async (t) => {
            const herald = await t.herald({ store: 'file' });
            const seen = [], waits = [];
            const subscribe = () => t.cleanup(open(`http://127.0.0.1:${herald.port}/sse?userId=u`, seen, waits));
            const online = () => waitUntil('it is online', async () => (await herald.user('u')).online);
            return { herald, seen, waits, subscribe, online };
        };

        test(`${name}: gets what waits and what comes, over a restart, and nothing twice`, async (t) => {
            const { herald, seen, subscribe } = await start(t);
            await herald.mustPush('u', { n: 1 });
            subscribe();
            await waitUntil('the first', () => seen.length === 1);
            await herald.mustPush('u', { n: 2 });
            await waitUntil('the second', () => seen.length === 2);
            await herald.waitPending('u', 0);
            await herald.stop();
            await herald.restart();
            await herald.mustPush('u', { n: 3 });
            await waitUntil('the third', () => seen.length === 3);
            assert.deepEqual(seen, [{ n: 1 }, { n: 2 }, { n: 3 }]);
        });

        test(`${name}: is held back by a kick, also before its first notification`, async (t) => {
            const { herald, waits, subscribe, online } = await start(t);
            if (name === 'eventsource') {
                watchTimers(t, waits);
            }
            subscribe();
            await online();
            await herald.post('/deleteClient', { userId: 'u' });
            await waitUntil('it waits for a day', () => waits.includes(DAY_MS));
            assert.equal((await herald.user('u')).online, false);
        });
    }
};
