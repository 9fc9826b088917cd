'use strict';
/* Event streams as two clients read them that need a browser: Yaffle's event-source-polyfill, which cannot send
 * Last-Event-ID and puts lastEventId into the query, and @microsoft/fetch-event-source, which hands every block to the
 * page. The pages parse each message as JSON and connect again when that fails, as their documentation shows it. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { range, waitUntil } = require('../e2e/harness');
const { startSite } = require('./pages');

const MODULES = path.join(__dirname, '../node_modules');
const read = (file) => fs.readFileSync(path.join(MODULES, file), 'utf8');

/* The CommonJS files of a package as one script that sets window[name]. */
function bundle(name, directory, files) {
    const parts = files.map((file) => `${JSON.stringify(`./${file}`)}: (exports, require) => {${read(`${directory}/${file}.js`)}\n}`);
    return `window[${JSON.stringify(name)}] = (() => {
        const files = {${parts.join(',\n')}}, made = {};
        const require = (file) => {
            if (!made[file]) {
                made[file] = {};
                files[file](made[file], require);
            }
            return made[file];
        };
        return require('./index');
    })();`;
}

const libraries = {
    'event-source-polyfill': {
        script: read('event-source-polyfill/src/eventsource.js'),
        holdsBackMs: 18000000, // what it takes for the longest
        open: (url) => {
            const source = new window.EventSourcePolyfill(url);
            source.onmessage = ({ data }) => window.seen.push(JSON.parse(data));
            source.onopen = () => { window.opened += 1; };
        },
    },
    'fetch-event-source': {
        script: bundle('fetchSource', '@microsoft/fetch-event-source/lib/cjs', ['parse', 'fetch', 'index']),
        holdsBackMs: 86400000,
        open: (url) => window.fetchSource.fetchEventSource(url, {
            openWhenHidden: true,
            onopen: async () => { window.opened += 1; },
            onmessage: ({ event, data }) => {
                const value = JSON.parse(data); // every block comes here
                if (event === '') {
                    window.seen.push(value);
                }
            },
            onclose: () => { throw new Error('come again'); },
        }),
    },
};

/* A page that remembers how long it was asked to wait by anybody. */
async function openPage(t, library) {
    const site = await startSite(t);
    const herald = await t.herald({ store: 'file', args: ['--allowed-origin', site.origin] });
    const { page } = await t.tab(site.origin);
    await page.evaluate(() => {
        Object.assign(window, { seen: [], waits: [], opened: 0 });
        const original = window.setTimeout.bind(window);
        window.setTimeout = (action, ms) => {
            window.waits.push(ms);
            return original(action, ms);
        };
    });
    await page.addScriptTag({ content: library.script });
    const subscribe = () => page.evaluate(`(${library.open})("http://127.0.0.1:${herald.port}/sse?userId=u"); 0`);
    const seen = () => page.evaluate(() => window.seen);
    return { herald, page, subscribe, seen };
}

module.exports = (test) => {
    for (const [name, library] of Object.entries(libraries)) {
        test(`${name}: parses all that comes, and gets what it missed, once`, async (t) => {
            const { herald, page, subscribe, seen } = await openPage(t, library);
            await herald.mustPush('u', { n: 1 });
            await subscribe();
            await waitUntil('the first', async () => (await seen()).length === 1);
            await herald.mustPush('u', { n: 2 });
            await waitUntil('the second', async () => (await seen()).length === 2);
            assert.equal(await page.evaluate(() => window.opened), 1, 'one connection was enough');
            await herald.waitPending('u', 0);
            await herald.stop();
            await herald.restart();
            await herald.mustPush('u', { n: 3 });
            await waitUntil('the third', async () => (await seen()).length === 3, 20000);
            assert.deepEqual(await seen(), range(3, 1).map((n) => ({ n })));
        });

        test(`${name}: is held back by a kick, also before its first notification`, async (t) => {
            const { herald, page, subscribe } = await openPage(t, library);
            await subscribe();
            await waitUntil('it is open', async () => (await herald.user('u')).online && await page.evaluate(() => window.opened === 1));
            await herald.post('/deleteClient', { userId: 'u' });
            await waitUntil('it means to wait for long', () => page.evaluate((ms) => window.waits.includes(ms), library.holdsBackMs));
            assert.equal((await herald.user('u')).online, false);
        });
    }
};
