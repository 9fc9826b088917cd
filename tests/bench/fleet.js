'use strict';
/* What a fleet costs: nodes that share one Redis. Subscribers and publishers are spread over the nodes, so of three nodes two
 * pushes of three come from another node than the user's. Commands are counted with MONITOR, which takes time: so never in
 * the run in which CPU time is taken.
 *
 *   fleet-commands   commands of Redis that a push costs, with its acknowledgement
 *   fleet-cpu        CPU time of Redis for a push, 2 000 a second
 *   fleet-across     how late a push is at a reader on another node
 *   fleet-connect    commands and CPU time of Redis for a user who comes and goes
 *   fleet-restart    how soon all users are subscribed again after a restart of Redis
 *   fleet-memory     what Redis keeps for a user
 *   fleet-ask        questions that other nodes have to answer */

const http = require('node:http');
const { faultsOfLoad, isQuick, load, startLoad } = require('./measure');
const { pushLines, userId } = require('./lines');
const { connectionsOf, makePlace, nameArgs, sleep, startHerald, startRedis, stop } = require('./processes');
const { ask, infoOf, monitorUsers, redisCpu } = require('./redis');

const quickOr = (quick, usual) => (isQuick ? quick : usual);

/* The node that the measurement has started is the first of count. */
async function withNodes(count, herald, redis, work) {
    const nodes = [herald];
    try {
        while (nodes.length < count) {
            const name = `node-${nodes.length + 1}`;
            nodes.push(await startHerald(herald.program, makePlace(name), redis.url, nameArgs(herald.program, name)));
        }
        return await work(nodes);
    } finally {
        await Promise.all(nodes.slice(1).map(({ child }) => stop(child)));
    }
}

/* As one server for the generator, who measures the first one's CPU. */
const spread = (nodes) => ({ child: nodes[0].child, port: nodes.map(({ port }) => port), adminPort: nodes.map(({ adminPort }) => adminPort) });

async function untilConnections(nodes, count) {
    for (const end = Date.now() + 60000; Date.now() < end; await sleep(20)) {
        const open = (await Promise.all(nodes.map(connectionsOf))).reduce((sum, one) => sum + one, 0);
        if (open === count) {
            return;
        }
    }
    throw new Error(`after a minute there are not ${count} connections`);
}

/* --- pushes --- */

/* How users are pushed to: 91 of them, one after the other, so that the node that takes a user's pushes changes with each round. */
const rhythms = {
    slow: { rate: 60 }, /* each every 1.5 s */
    often: { rate: 360 }, /* each four times a second */
    waiting: { rate: 60, wait: 10 },
};
const counted = { mode: 'push', subscribers: 91, publishers: 30, inTurn: 1, isEndless: true };

/* Of the middle of the run: at its ends positions are written that no later push carries. */
async function countRhythm(rhythm, nodes, redis) {
    const work = { ...counted, ...rhythm };
    const loading = startLoad(work, spread(nodes));
    loading.ended.catch(() => {}); /* awaited below */
    await untilConnections(nodes, work.subscribers).finally(() => sleep(quickOr(2000, 4000)));
    const { counts, stop: end } = monitorUsers(redis);
    await sleep(quickOr(2000, 9000));
    end();
    loading.stop();
    const faults = faultsOfLoad(work, await loading.ended);
    await untilConnections(nodes, 0);
    /* Each push is published once: by its script, or with ttl 0 by the node. Herald's own comparison of each user in a
     * minute (HGET, GET) belongs to no push. */
    const { hget = 0, get = 0, ...others } = counts;
    const total = Object.entries(others).reduce((sum, [name, count]) => sum + (name.startsWith('lua ') ? 0 : count), 0);
    const pushes = rhythm.ttl === 0 ? counts.spublish : counts['lua spublish'];
    return { perPush: total / (pushes || 1), compared: (hget + get) / pushes, faults };
}

const countPushes = ({ nodes: count, kinds }, herald, redis) => withNodes(count, herald, redis, async (nodes) => {
    const result = { faults: [] };
    for (const [name, rhythm] of Object.entries(kinds)) {
        result[name] = await countRhythm(rhythm, nodes, redis);
        result.faults.push(...result[name].faults.map((fault) => `${name}: ${fault}`));
    }
    return result;
});

const nodesShown = (count) => (count === 1 ? '1 node' : `${count} nodes`);
const commandsOf = (name, what, most) => ({ what, unit: '', digits: 2, of: (r) => r[name].perPush, most });
const commands = (count) => ({
    name: `fleet-commands-${count}`, store: 'redis', run: countPushes, nodes: count, kinds: rhythms,
    figures: [
        commandsOf('slow', `${nodesShown(count)}: commands a push, each user every 1.5 s`, 2),
        commandsOf('often', '  each user four times a second', 1),
        commandsOf('waiting', '  every 1.5 s, and each push waits', 4),
        { what: '  of the comparison once a minute, every 1.5 s', unit: '', digits: 2, of: (r) => r.slow.compared },
    ],
});
const ttl0 = (count) => ({
    name: `fleet-ttl0-${count}`, store: 'redis', run: countPushes, nodes: count, kinds: { ttl0: { rate: 360, ttl: 0 } },
    figures: [commandsOf('ttl0', `${nodesShown(count)}: commands a push with ttl 0`, 1)],
});

/* Each user has had a notification before: the first one costs more, and here it would be one of five. */
const atRate = (work, count) => (measurement, herald, redis) => withNodes(count, herald, redis, async (nodes) => {
    const all = { mode: 'push', subscribers: quickOr(300, 3000), rate: quickOr(500, 2000), inTurn: 1, warmupMs: 2000, windowMs: 6000, ...work };
    await pushLines(herald, 0, all.subscribers);
    const server = work.isAcross ? { ...nodes[1], adminPort: nodes[0].adminPort } : spread(nodes);
    const r = await load(all, server, redis);
    return { ...r, faults: faultsOfLoad(all, r) };
});
const perPush = (what, name) => ({ what, unit: 'us', of: (r) => r[name] * 1e6 / r.windowReceived });
const cpu = (count, keys) => ({
    name: `fleet-cpu-${count}${keys ? '-keys' : ''}`, store: 'redis', run: atRate({ keys }, count),
    figures: [
        perPush(`${nodesShown(count)}${keys ? ', with keys' : ''}, 2 000 pushes/s: CPU of Redis per push`, 'redisCpu'),
        perPush('  CPU of the first Herald', 'cpu'),
    ],
});

/* --- users who come and go --- */

const allUsers = quickOr(1000, 18000);

/* Connects them, and lets them go: afterwards is called between the two. */
async function visit(nodes, firstUser, subscribers, afterwards) {
    const loading = startLoad({ mode: 'idle', subscribers, firstUser, settleMs: 0, isEndless: true }, spread(nodes));
    loading.ended.catch(() => {}); /* awaited below */
    await untilConnections(nodes, subscribers);
    await sleep(1500);
    await afterwards();
    loading.stop();
    const result = await loading.ended;
    await untilConnections(nodes, 0);
    await sleep(500);
    return { result, faults: result.closed > 0 ? [`${result.closed} connections closed`] : [] };
}

const totalOf = (counts) => Object.entries(counts).reduce((sum, [name, count]) => sum + (/^(lua |hget|get)/.test(name) ? 0 : count), 0);

const comeAndGo = ({ isWaiting }, herald, redis) => withNodes(2, herald, redis, async (nodes) => {
    const few = 200, first = few;
    if (isWaiting) {
        await pushLines(nodes[0], 0, few + allUsers);
        await sleep(500);
    }
    const monitor = monitorUsers(redis);
    let coming;
    const small = await visit(nodes, 0, few, async () => { coming = totalOf(monitor.counts); });
    monitor.stop();
    const all = totalOf(monitor.counts), before = await redisCpu(redis);
    let between;
    const { result, faults } = await visit(nodes, first, allUsers, async () => { between = await redisCpu(redis); });
    const after = await redisCpu(redis);
    return { coming: coming / few, all: all / few, comingCpu: (between - before) / allUsers * 1e6, leavingCpu: (after - between) / allUsers * 1e6,
        perSecond: allUsers / result.connectSeconds, faults: [...small.faults, ...faults] };
});

const connects = (name, what, isWaiting, most) => ({
    name, store: 'redis', run: comeAndGo, isWaiting,
    figures: [
        { what: `commands of a user who comes and goes, ${what}`, unit: '', digits: 2, of: (r) => r.all, most },
        { what: '  of them for coming', unit: '', digits: 2, of: (r) => r.coming },
        { what: `  CPU of Redis for coming, ${allUsers} users on 2 nodes`, unit: 'us', of: (r) => r.comingCpu, most: isWaiting ? undefined : 30 },
        { what: '  CPU of Redis for going', unit: 'us', of: (r) => r.leavingCpu },
        { what: '  users who come, 128 at a time', unit: '/s', of: (r) => r.perSecond },
    ],
});

const subscribed = async (redis) => Number((await infoOf(redis, 'stats')).pubsubshard_channels);

const restartRedis = ({ awayMs }, herald, redis) => withNodes(2, herald, redis, async (nodes) => {
    let seconds;
    const { faults } = await visit(nodes, 0, allUsers, async () => {
        const channels = await subscribed(redis);
        await stop(redis.child);
        await sleep(awayMs);
        Object.assign(redis, await startRedis(redis.place));
        while (await ask(redis, 'PING').catch(() => '') !== 'PONG') {
            await sleep(5);
        }
        const from = process.hrtime.bigint(), secondsNow = () => Number(process.hrtime.bigint() - from) / 1e9;
        while (await subscribed(redis) < channels) {
            if (secondsNow() > 30) {
                throw new Error(`${await subscribed(redis)} of ${channels} channels are there 30 s after the restart`);
            }
            await sleep(5);
        }
        seconds = secondsNow();
    });
    return { seconds, faults };
});
const restart = (name, awayMs) => ({
    name, store: 'redis', run: restartRedis, awayMs,
    figures: [{ what: `${allUsers} users subscribed again, Redis away ${awayMs / 1000} s`, unit: 'ms', of: (r) => r.seconds * 1000, most: 2000 }],
});

/* --- memory --- */

/* Once buffers of connections have shrunk again. */
async function usedMemory(redis) {
    await sleep(quickOr(1000, 3000));
    return Number((await infoOf(redis, 'memory')).used_memory);
}

async function weigh(measurement, herald, redis) {
    const users = quickOr(2000, 16000), further = 10, at = [await usedMemory(redis)];
    const note = async () => at.push(await usedMemory(redis));
    await pushLines(herald, 0, users);
    await note();
    for (let i = 0; i < further; i++) {
        await pushLines(herald, 0, users);
    }
    await note();
    const { faults } = await visit([herald], 0, users, note); /* acknowledges all */
    await note();
    await pushLines(herald, 0, users);
    await note();
    await pushLines(herald, 0, users, (i) => `,"idempotencyKey":"order-${String(i).padStart(6, '0')}"`);
    await note();
    const [start, one, more, online, known, again, keyed] = at.map((bytes) => bytes / users);
    return { one: one - start, further: (more - one) / further, subscription: online - known, known: known - start,
        key: keyed - again - (more - one) / further, faults };
}

const weight = (what, name) => ({ what, unit: 'bytes', of: (r) => r[name] });

/* --- questions --- */

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

/* The answer, and how long it took in ms. */
function timed(node, method, where, body = '') {
    return new Promise((resolve, reject) => {
        const from = process.hrtime.bigint();
        http.request({ host: '127.0.0.1', port: node.adminPort, path: where, method, agent,
            headers: body ? { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) } : {} }, (answer) => {
            const pieces = [];
            answer.on('data', (piece) => pieces.push(piece)).on('error', reject).on('end', () => {
                const ms = Number(process.hrtime.bigint() - from) / 1e6, text = Buffer.concat(pieces).toString();
                return answer.statusCode === 200 ? resolve({ ms, answer: JSON.parse(text) }) : reject(new Error(`${where}: ${text.slice(0, 200)}`));
            });
        }).on('error', reject).end(body);
    });
}

async function timedTimes(count, request) {
    const all = [];
    let last;
    for (let i = 0; i < count; i++) {
        last = await request(i);
        all.push(last.ms);
    }
    all.sort((a, b) => a - b);
    return { p50: all[Math.floor(count / 2)], p99: all[Math.ceil(count * 0.99) - 1], last: last.answer };
}

/* 100 users have a session on each node; 400 more on each node have one. */
const askNodes = (measurement, herald, redis) => withNodes(5, herald, redis, async (nodes) => {
    const idle = { mode: 'idle', settleMs: 0, isEndless: true };
    const groups = nodes.flatMap((node, i) => [[node, { ...idle, subscribers: 100 }], [node, { ...idle, subscribers: 400, firstUser: 1000 + i * 400 }]]);
    const loads = groups.map(([node, work]) => startLoad(work, node));
    try {
        loads.forEach(({ ended }) => ended.catch(() => {}));
        await untilConnections(nodes, nodes.length * 500);
        await sleep(1000);
        const user = await timedTimes(quickOr(200, 2000), (i) => timed(nodes[i % 5], 'GET', `/users/${userId(i % 100)}`));
        const body = JSON.stringify({ userIds: Array.from({ length: 10000 }, (_, i) => userId(i)) });
        const online = await timedTimes(quickOr(20, 200), (i) => timed(nodes[i % 5], 'POST', '/online', body));
        return { user, online, faults: [] };
    } finally {
        loads.forEach(({ stop: end }) => end());
        await Promise.allSettled(loads.map(({ ended }) => ended));
    }
});

module.exports = [
    commands(1), commands(3), ttl0(1), ttl0(3),
    cpu(1), cpu(1, 1), cpu(3), cpu(3, 1),
    {
        name: 'fleet-across', store: 'redis', run: atRate({ isAcross: true }, 2),
        figures: [
            { what: '2 000 pushes/s until read on another node: p50', unit: 'us', of: (r) => r.latency.p50, most: 600 },
            { what: '  p99', unit: 'us', of: (r) => r.latency.p99, most: 3000 },
        ],
    },
    connects('fleet-connect', 'nothing waiting', false, 3), connects('fleet-connect-waiting', 'one waiting', true),
    restart('fleet-restart', 300), restart('fleet-restart-late', 4000),
    {
        name: 'fleet-memory', store: 'redis', run: weigh,
        figures: [
            weight('Redis: a user with one notification waiting', 'one'), weight('  each further one', 'further'),
            weight('  a known user with none', 'known'), weight('  a subscription', 'subscription'), weight('  an idempotency key', 'key'),
        ],
    }, {
        name: 'fleet-ask', store: 'redis', run: askNodes,
        figures: [
            { what: 'GET /users/ID of a user on each of 5 nodes: p50', unit: 'ms', digits: 2, of: (r) => r.user.p50 },
            { what: '  p99', unit: 'ms', digits: 2, of: (r) => r.user.p99, most: 20 },
            { what: 'POST /online, 10 000 userIds, 5 nodes: p50', unit: 'ms', digits: 2, of: (r) => r.online.p50 },
            { what: '  p99', unit: 'ms', digits: 2, of: (r) => r.online.p99, most: 50 },
        ],
    },
];
