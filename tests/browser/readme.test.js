'use strict';
/* The commands in README.md work as they are written; only the ports are changed. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Child, cleanEnvironment, freePort, waitUntil, within } = require('../e2e/harness');

const README = fs.readFileSync(path.join(__dirname, '../../README.md'), 'utf8');

/* The fenced blocks of a language, for this Herald. */
function blocks(language, herald) {
    const found = [...README.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))];
    return found.map(([, text]) => text.replaceAll('8080', herald.port).replaceAll('8081', herald.adminPort));
}

/* What several commands have printed, one JSON text behind the other. */
const answersIn = (text) => text.replaceAll('}{', '}\n{').trim().split('\n').map((line) => JSON.parse(line));

/* Playwright takes a text that begins with a function for nothing but that function. */
const asScript = (text) => `'use strict';\n${text}`;

const openDemo = (t) => t.herald({ store: 'file', args: ['--demo'] });

function shell(t, script) {
    const child = new Child('bash', ['-c', script], { env: cleanEnvironment(), cwd: t.tempDir() });
    t.cleanup(() => child.stop('SIGKILL', 5000));
    return child;
}

module.exports = (test) => {
    test('its commands answer as it says', async (t) => {
        const herald = await openDemo(t);
        const [subscribe, backend] = blocks('sh', herald);
        const alice = shell(t, `exec ${subscribe}`);
        await waitUntil('alice is online', async () => (await herald.user('alice')).online);
        const typed = shell(t, backend);
        await within(typed.exited, 20000, 'the end of the commands');
        assert.equal(typed.stderr, '');
        const answers = answersIn(typed.stdout);
        assert.deepEqual(answers.slice(0, 3).map(({ status }) => status), ['sent', 'delivered', 'sent']);
        assert.ok(Array.isArray(answers[3].notifications), typed.stdout);
        assert.equal(answers[4].closed, 1);
        await within(alice.exited, 5000, 'the end of the kicked stream');
        for (const data of ['{"hello":"world"}', '"are you there?"', '"typing ..."']) {
            assert.ok(alice.stdout.includes(`data: ${data}\n`), alice.stdout);
        }
    });

    /* Each tab has its own position: one that was away gets what another has acknowledged meanwhile, and does
     * not go on at the other's place as if nothing had been there. */
    test('a tab that was away is not led past what another tab of the user got', async (t) => {
        const herald = await openDemo(t);
        const snippet = blocks('js', herald)[2];
        const open = async () => {
            const { page } = await t.tab(`http://127.0.0.1:${herald.port}/`);
            const shown = [];
            page.on('console', (message) => message.type() === 'log' && shown.push(message.text()));
            await page.evaluate(asScript(snippet));
            return { page, shown };
        };
        const away = await open();
        const stays = await open();
        await waitUntil('both are online', async () => (await herald.user('alice')).connections.length === 2);
        await herald.mustPush('alice', 'one');
        await waitUntil('both have it', () => [away, stays].every(({ shown }) => shown.includes('one')));
        await herald.waitPending('alice', 0);
        await away.page.goto(`http://127.0.0.1:${herald.port}/demo/facts`);
        await waitUntil('one has left', async () => (await herald.user('alice')).connections.length === 1);
        await herald.mustPush('alice', 'two');
        await waitUntil('the other has it', () => stays.shown.includes('two'));
        await herald.waitPending('alice', 0);
        await away.page.goto(`http://127.0.0.1:${herald.port}/`);
        await away.page.evaluate(asScript(snippet));
        await waitUntil('it is told', () => away.shown.includes('2 to 2: acknowledged'));
        assert.deepEqual(away.shown, ['one', '2 to 2: acknowledged']);
        assert.deepEqual(stays.shown, ['one', 'two']);
    });

    test('each of its ways to subscribe shows what is pushed, before and after a restart', async (t) => {
        for (const way of [0, 1, 2]) {
            const herald = await openDemo(t);
            const ways = blocks('js', herald);
            assert.equal(ways.length, 4, 'three ways for pages, and a backend');
            const { page } = await t.tab(`http://127.0.0.1:${herald.port}/`);
            const shown = [];
            page.on('console', (message) => message.type() === 'log' && shown.push(message.text()));
            await page.evaluate(asScript(ways[way])); // the demo page's policy refuses scripts that are added to it
            await waitUntil('the page is online', async () => (await herald.user('alice')).online);
            await herald.mustPush('alice', 'first');
            await waitUntil('the first is shown', () => shown.includes('first'));
            await herald.waitPending('alice', 0);
            await herald.stop();
            await herald.restart();
            await herald.mustPush('alice', 'second');
            await waitUntil('the second is shown', () => shown.includes('second'), 20000);
            await herald.waitPending('alice', 0);
            assert.deepEqual(shown, ['first', 'second']);
        }
    });

    test('its backend that pulls reads what a page has said, once', async (t) => {
        const herald = await openDemo(t);
        const page = await herald.subscribeV1('alice');
        assert.equal((await page.say('m-1', 'hello')).type, 'accepted');
        const typed = shell(t, blocks('sh', herald)[2]);
        await within(typed.exited, 20000, 'the end of the commands');
        assert.equal(typed.stderr, '');
        const said = answersIn(typed.stdout).map(({ events }) => events.filter(({ type }) => type === 'client.message'));
        assert.deepEqual(said.map((events) => events.map(({ userId, data }) => [userId, data])), [[['alice', 'hello']], []]);
    });

    test('its backend that gets webhooks answers the connection that spoke, and nobody else', async (t) => {
        const port = await freePort();
        const herald = await t.prepare({ store: 'file', args: ['--demo', '--webhooks', 'hooks.conf'] });
        const { cwd } = herald.options;
        const [makesFile] = blocks('sh', herald)[3].replaceAll('3000', port).split('\n');
        const made = new Child('bash', ['-c', makesFile], { env: cleanEnvironment(), cwd });
        assert.equal((await made.exited).code, 0, made.stderr);
        fs.writeFileSync(path.join(cwd, 'backend.mjs'), blocks('js', herald)[3].replaceAll('3000', port));
        const backend = new Child(process.execPath, ['backend.mjs'], { env: cleanEnvironment(), cwd });
        t.cleanup(() => backend.stop('SIGKILL'));
        await herald.start();
        const [speaks, listens] = [await herald.subscribeV1('alice'), await herald.subscribeV1('alice')];
        assert.equal((await speaks.say('m-1', { n: 1 })).type, 'accepted');
        const answer = () => speaks.values().find(({ title }) => title === 'Your backend heard');
        await waitUntil('the backend answers', answer, 20000);
        assert.deepEqual(answer().data, { n: 1 });
        await listens.roundTrip();
        assert.deepEqual(listens.values(), []);
        assert.equal(backend.stderr, '');
        assert.doesNotMatch(herald.log, /level=(warn|error)/, 'who follows it is warned of nothing');
    });
};
