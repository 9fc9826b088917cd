'use strict';
/* node tests/bench/events.js [--herald PATH] [--only messages|storm] [--store redis|file] [--rate 5000] [--seconds 15]
 *     [--sessions 20000]
 *
 * messages: RATE client messages a second, of 500 users with herald.v1, to one endpoint with batch 50; meanwhile 50 pushes
 * a second with `wait` to clients who acknowledge at once. Prints what was accepted and read, and how long a message takes
 * from its frame to the endpoint, beside how long such a push takes (the goal: p99 at most three times as long).
 * storm: SESSIONS sessions on two nodes that share a Redis, all of which are cut at once, and come back, each to the other
 * node, within --offline-after: no event may be written.
 * Everything runs on this machine, clients and endpoint too. The exit is 0 when nothing was lost, refused or written that
 * must not be; no time fails it. */

const os = require('node:os');
const { Consumer, Scope, cpuSeconds, makeWebhookSecret, nowMs, quantile, range, sleep, waitUntil } = require('./events/tools');
const { readArguments } = require('./arguments');
const { startPart } = require('./rolling/talk');

const USERS = 500, SKIP_MS = 4000;
const WAIT_RATE = 50, WAITERS = 10;
const EACH = 5000; /* sessions of a client process, which has a limit of descriptors */
const GRACE_S = 60;
const MOST = { rate: 100000, seconds: 300, sessions: 20000 };
const EVENTS = 'user.online,user.offline,client.message';

const part = (scope, name, options) => startPart(scope, `../events/${name}.js`, options);
const machine = () => `load ${os.loadavg().map((each) => each.toFixed(1)).join(' ')}, ${os.cpus().length} cores`;

/* Pushes at fixed times that are answered when a client has acknowledged them; how long each took. */
async function pushAndWait(herald, ms) {
    const clients = await Promise.all(range(WAITERS).map((n) => herald.subscribeV1(`waiter-${n}`, { autoAck: true })));
    const times = [], under = [], begin = nowMs();
    let failed = 0;
    for (let n = 0; nowMs() - begin < ms; await sleep(2)) {
        for (; n < (nowMs() - begin) * WAIT_RATE / 1000; n++) {
            const sent = nowMs();
            under.push(herald.push(`waiter-${n % WAITERS}`, 'x'.repeat(180), { wait: 5 }).then(({ status, json }) => {
                if (status !== 200 || json.status !== 'delivered') {
                    failed += 1;
                } else if (sent - begin > SKIP_MS) {
                    times.push(nowMs() - sent);
                }
            }, () => { failed += 1; }));
        }
    }
    await Promise.all(under);
    clients.forEach((client) => client.terminate());
    return { failed, p50: quantile(times, 0.5), p99: quantile(times, 0.99), count: times.length };
}

async function measureMessages(scope, { store, rate, seconds }) {
    const endpoint = part(scope, 'endpoint');
    const port = await endpoint.ask('listen');
    const hooks = `bench http://127.0.0.1:${port}/ ${makeWebhookSecret()} batch=50 types=client.message\n`;
    const herald = await scope.herald({ store, files: { hooks }, args: ['--events', EVENTS, '--client-messages', 'v1', '--webhooks', 'hooks',
        '--client-messages-per-second', String(Math.ceil(rate / USERS * 2))] });
    const talkers = part(scope, 'talkers', { first: 0, count: USERS });
    await talkers.ask('connect', { ports: [herald.port] });
    const ms = SKIP_MS + seconds * 1000;
    const { pid } = herald.child.process;
    const [cpu, begin] = [cpuSeconds(pid), nowMs()];
    const [said, waited] = await Promise.all([talkers.ask('talk', { rate, ms, skipMs: SKIP_MS }), pushAndWait(herald, ms)]);
    const cores = (cpuSeconds(pid) - cpu) / (nowMs() - begin) * 1000;
    const atOnce = await endpoint.ask('count');
    const refused = Object.values(said.errors).reduce((sum, count) => sum + count, 0);
    await waitUntil('all is answered', async () => (await talkers.ask('accepted')) + refused >= said.all);
    await waitUntil('all that was accepted is read', async () => (await endpoint.ask('count')) >= said.all - refused);
    const read = await endpoint.ask('counts', { fromMs: said.fromMs });
    console.log(`messages, ${store}: said ${said.sent}, accepted ${said.accepted} (${(said.accepted / seconds).toFixed(0)} a second), errors ${
        JSON.stringify(said.errors)}, closed ${said.closes}; of ${said.all} in all the endpoint had ${atOnce} when the last was said`);
    console.log(`  ${read.requests} requests with ${(read.events / read.requests).toFixed(1)} events each, ${read.repeats} events again; Herald took ${
        cores.toFixed(2)} cores; ${machine()}`);
    console.log(`  ms, p50 and p99: frame to accepted ${said.p50.toFixed(1)}, ${said.p99.toFixed(1)}; frame to endpoint ${read.p50.toFixed(1)}, ${
        read.p99.toFixed(1)}; push with wait ${waited.p50.toFixed(1)}, ${waited.p99.toFixed(1)} (${waited.count}, ${waited.failed} failed)`);
    console.log(`  frame to endpoint in times of a push with wait: p50 ${(read.p50 / waited.p50).toFixed(2)}, p99 ${
        (read.p99 / waited.p99).toFixed(2)} (goal: 3)`);
    return said.closes === 0 && Object.keys(said.errors).length === 0 && waited.failed === 0;
}

/* Reads on; how many events there ever were. */
async function readAll(consumer) {
    while ((await consumer.next({ limit: 1000 })).length > 0);
    return consumer.record.events.length;
}

async function measureStorm(scope, { sessions }) {
    const store = await scope.store('redis');
    const nodes = [];
    for (const n of range(2)) {
        nodes.push(await scope.herald({ store, args: ['--node-name', `n${n}`, '--events', EVENTS, '--offline-after', `${GRACE_S}s`,
            '--ping-interval', '30m', '--silence-timeout', '2h', '--max-handshakes-per-second', '0'] }));
    }
    const ports = nodes.map(({ port }) => port);
    const parts = range(Math.ceil(sessions / EACH)).map((n) =>
        part(scope, 'talkers', { first: n * EACH, count: Math.min(EACH, sessions - n * EACH) }));
    await Promise.all(parts.map((each) => each.ask('connect', { ports })));
    const online = new Consumer(nodes[0], 'storm');
    await waitUntil('each of them was told of', async () => (await readAll(online)) >= sessions, 120000);
    const before = await readAll(online);
    const back = await Promise.all(parts.map((each) => each.ask('comeBack', { ports })));
    const slowest = Math.max(...back.map(({ ms }) => ms));
    await sleep(GRACE_S * 1000 + 25000); /* whoever counts as gone is told of by then, also if a lease had to end */
    const after = await readAll(online);
    const gone = online.record.ofType('user.offline').length;
    console.log(`storm: ${sessions} sessions came, ${before} events; all were back ${(slowest / 1000).toFixed(1)} s after they were cut (grace ${
        GRACE_S} s), ${after - before} further events, ${gone} of them read as offline; ${machine()}`);
    return after === before && before === sessions && slowest < GRACE_S * 1000;
}

async function main() {
    const options = readArguments(process.argv.slice(2), { only: '', store: 'redis', rate: '5000', seconds: '15', sessions: '20000' }, MOST);
    const scope = new Scope(options.herald);
    let isGood = true;
    try {
        if ('messages'.includes(options.only)) {
            isGood = await measureMessages(scope, options) && isGood;
        }
        if ('storm'.includes(options.only)) {
            isGood = await measureStorm(scope, options) && isGood;
        }
    } finally {
        await scope.end();
    }
    process.exit(isGood ? 0 : 1);
}

main().catch((error) => {
    console.error(error.message);
    process.exit(2);
});
