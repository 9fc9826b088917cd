'use strict';
/* node tests/chaos/fleet.js [--herald PATH] [--store standalone|sentinel|cluster] [--seconds 600] [--nodes 5]
 *     [--connections 4000] [--rate 1000] [--every 10] [--seed N] [--only FAULT|FAULT] [--keep DIR]
 *
 * The long run of a fleet, by hand: NODES Heralds with CONNECTIONS readers each on one store, RATE pushes a second with
 * keys, and every EVERY seconds something that goes wrong (fleet/faults.js). One node's clock is 5 s ahead. Readers
 * (fleet/crowd.js) and publishers (fleet/press.js) are processes of their own. At the end everything is up, and each
 * invariant has a line of its own with what was counted; the exit is 0 when all hold.
 *
 * As root, and where `ip` is there, all of it runs in a network namespace of its own, so that a node can be cut off from
 * Redis and nothing else on the machine is touched; otherwise that fault is left out. */

const { execFileSync, fork, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { Hearing, hasEvents } = require('./events/hearing');
const { Random } = require('./random');
const { runFaults } = require('./fleet/faults');
const { bytesInUse, tellingHeap } = require('./fleet/heap');
const { SETTINGS, Scope, clockAhead, hasCommand, isSanitized, range, redisNode, sleep, startCluster, startNode, startSentinels,
    waitUntil, within } = require('./tools');

const CROWD_MAX = 4500; /* readers of a process */
const PRESSES = 2;
const FIRST_UID = 23000;
const BLOCKED = 5;
const SETTLE_MS = 5000;
const WARM_MS = 10000; /* of pushes, before it is measured how much memory is in use */
/* In a shorter run nobody is blocked, because what that has done is looked at a minute later; and the faults that --only
 * names each happen once, if it takes longer. */
const SHORT_S = 60;
const KEPT_BYTES = 2 * 2 ** 20; /* a node; its 20 links to Redis keep what a failover needed, up to a bound: a ring, a buffer */
const ENDPOINT_FDS = 16; /* one for each partition at most, and they come with the first events */
const BACK_MS = 120000; /* until all is as it was; connections to a primary that is none any more stay for a minute */

function parseArguments(args) {
    const options = {
        herald: path.join(__dirname, '../../build/release/herald'), store: 'standalone', seconds: '600', nodes: '5',
        connections: '4000', rate: '1000', every: '10', seed: String(Date.now() % 2 ** 31),
        only: '', keep: '', wait: '1',
    };
    for (let i = 0; i < args.length; i += 2) {
        const name = args[i].replace(/^--/, '');
        if (!(name in options) || args[i + 1] === undefined) {
            throw new Error(`not understood: ${args[i]}; the options are ${Object.keys(options).map((each) => `--${each}`).join(' ')}`);
        }
        options[name] = args[i + 1];
    }
    for (const name of ['seconds', 'nodes', 'connections', 'rate', 'every', 'seed']) {
        options[name] = Number(options[name]);
    }
    options.herald = path.resolve(options.herald);
    return options;
}

/* Again, in a network namespace in which only this run is: true when that has happened, with its exit code set. */
function enterNamespace() {
    if (process.env.FLEET_NAMESPACE !== undefined || process.getuid() !== 0 || !hasCommand('unshare') || !hasCommand('ip')
        || spawnSync('unshare', ['-n', 'true']).status !== 0) {
        return false;
    }
    const { status } = spawnSync('unshare', ['-n', process.execPath, ...process.argv.slice(1)],
        { stdio: 'inherit', env: { ...process.env, FLEET_NAMESPACE: '1' } });
    process.exitCode = status ?? 1;
    return true;
}

/* Rules for some packets count only when they are asked before the table of local addresses. */
function prepareNamespace() {
    for (const words of ['link set lo up', 'rule add pref 100 lookup local', 'rule del pref 0 lookup local']) {
        execFileSync('ip', words.split(' '));
    }
}

/* What this user connects to sees this address, so that what goes back to it can be told from what goes to others. */
function giveAddress(uid, address) {
    execFileSync('ip', ['rule', 'add', 'pref', '60', 'uidrange', `${uid}-${uid}`, 'lookup', String(uid)]);
    execFileSync('ip', ['route', 'add', 'local', '127.0.0.1', 'dev', 'lo', 'src', address, 'table', String(uid)]);
}

class World {
    constructor(kind, seed) {
        this.kind = kind;
        this.random = new Random(seed).branch(`fleet ${kind}`);
        this.happened = new Map();
        this.beginMs = Date.now();
        this.canCut = process.env.FLEET_NAMESPACE !== undefined;
        this.parts = []; /* the processes of readers and publishers */
        this.asked = 0;
        this.faults = []; /* sentences: what backends must never hear */
        this.blocked = [];
    }

    note(text) {
        console.log(`     ${((Date.now() - this.beginMs) / 1000).toFixed(1).padStart(6)} s  ${text}`);
    }

    start(scope, script, options) {
        const child = fork(path.join(__dirname, 'fleet', script), [JSON.stringify(options)]);
        scope.cleanup(() => child.kill('SIGKILL'));
        this.parts.push({ script, child });
    }

    /* The answers of all processes of a kind. */
    ask(script, message, timeoutMs = 60000) {
        this.asked += 1;
        const asked = this.asked;
        return Promise.all(this.parts.filter((part) => part.script === script).map(({ child }) => within(new Promise((resolve) => {
            const take = (answer) => {
                if (answer.asked === asked) {
                    child.off('message', take);
                    resolve(answer);
                }
            };
            child.on('message', take);
            child.send({ ...message, asked });
        }), timeoutMs, `an answer of ${script} to ${message.what}`)));
    }
}

async function startStore(scope, kind) {
    const settings = { ...SETTINGS, maxclients: '10000', 'protected-mode': 'no' }; /* it lets 127.0.0.1 in alone */
    if (kind === 'cluster') {
        return startCluster(scope, { replicas: 1, settings });
    }
    if (kind === 'sentinel') {
        return startSentinels(scope, settings);
    }
    const node = await (await redisNode(scope, settings)).start();
    return { url: `redis://127.0.0.1:${node.port}`, nodes: [node], primaries: async () => [node] };
}

/* A node that ends without having been told to is a fault. */
function watchNode(world, node) {
    node.isMeantToRun = true;
    const launch = node.launch.bind(node);
    node.watchChild = () => {
        const { child } = node;
        child.exited.then(() => {
            world.nEnded += node.child === child && node.isMeantToRun && !world.isOver ? 1 : 0;
        });
    };
    node.launch = () => {
        launch();
        node.watchChild();
    };
    node.watchChild();
}

/* The clock of one node is ahead; each tells how much memory it has in use. A sanitizer takes no library before it. */
function environmentOf(scope, isAhead) {
    if (isSanitized(scope.binary)) {
        return {};
    }
    const env = isAhead ? clockAhead(scope, 5000) : {};
    if (isAhead) {
        fs.chmodSync(path.dirname(env.LD_PRELOAD), 0o755);
    }
    return tellingHeap(scope, env);
}

/* Speakers and backends, which ask any node (events/); not where the program has no events. */
async function prepareHearing(world, scope) {
    world.forNodes = { args: [], files: {} };
    if (hasEvents(scope.binary)) {
        const { random, faults } = world;
        const target = () => random.pick(world.nodes);
        world.hearing = new Hearing({ random: random.branch('hearing'), note: (text) => world.note(text), isOver: false, target,
            follow: (_, promise) => promise }, (sentence) => faults.push(sentence));
        world.forNodes = await world.hearing.prepare(scope);
    }
}

/* The crowd gives eleven readers in a row to ten users: the first two have the same one. */
const usersOf = (readers) => Math.floor(readers / 11) * 10 + Math.max(Math.min(readers % 11, 1), readers % 11 - 1);

/* When every reader is back but those who are blocked. */
async function judgeHearing(world) {
    const users = range(world.users).map((n) => `u${n}`);
    const online = new Set(users.filter((userId) => !world.blocked.includes(userId)));
    world.hearing.world.isOver = true;
    await world.hearing.finishSpeaking();
    return world.hearing.judge(online, world.blocked);
}

async function startNodes(world, scope, options) {
    world.nEnded = 0;
    world.nNoticed = 0; /* sessions that ended because their node was replaced in place */
    world.nodes = [];
    for (const n of range(options.nodes)) {
        const uid = FIRST_UID + n;
        const user = world.canCut ? { user: { uid, gid: uid } } : {};
        const address = `127.0.1.${n + 1}`;
        if (world.canCut) {
            giveAddress(uid, address);
        }
        const env = environmentOf(scope, n === options.nodes - 1);
        const cwd = scope.tempDir();
        const owner = world.canCut ? uid : process.getuid();
        for (const [name, text] of Object.entries(world.forNodes.files)) {
            fs.writeFileSync(path.join(cwd, name), text, { mode: 0o600 });
            fs.chownSync(path.join(cwd, name), owner, process.getgid());
        }
        fs.chownSync(cwd, owner, process.getgid());
        const node = await startNode(scope, n, { store: world.store.url, cwd, env, ...user,
            args: ['--drain-time', '2s', ...world.forNodes.args, ...(options.store === 'standalone' ? [] : ['--redis-wait-replicas', options.wait])] });
        Object.assign(node, { uid, address });
        watchNode(world, node);
        world.nodes.push(node);
    }
}

/* Descriptors beside the connections, and memory, of all nodes. */
async function measureNodes(world) {
    let [fds, resident, inUse, connections] = [0, 0, 0, 0];
    for (const node of world.nodes) {
        fds += fs.readdirSync(`/proc/${node.child.process.pid}/fd`).length;
        resident += node.residentBytes();
        inUse += isSanitized(node.binary) ? 0 : bytesInUse(node);
        connections += await node.metric('herald_connections');
    }
    return { fds: fds - connections, resident, inUse, connections };
}

const sumOf = (answers, name) => answers.reduce((sum, each) => sum + each[name], 0);

async function subscriptionsInRedis(world) {
    let count = 0;
    for (const primary of await world.store.primaries()) {
        const channels = await primary.call('PUBSUB', 'SHARDCHANNELS', 'herald:{*');
        count += channels.filter((channel) => !channel.startsWith('herald:{%')).length;
    }
    return count;
}

/* The readers and publishers, with what there is before anything goes wrong. */
async function startLoad(world, scope, options) {
    const total = options.nodes * options.connections;
    const folder = scope.tempDir();
    const ports = world.nodes.map(({ port }) => port);
    const crowds = Math.ceil(total / CROWD_MAX);
    for (const n of range(crowds)) {
        /* No user's readers are in two processes. */
        const [first, last] = [n, n + 1].map((each) => (each === crowds ? total : Math.floor(total * each / crowds / 11) * 11));
        world.start(scope, 'crowd.js', { ports, first, count: last - first, folder, number: n });
    }
    await waitUntil(`${total} readers`, async () =>
        sumOf(await world.ask('crowd.js', { what: 'status' }), 'open') === total, 180000);
    world.total = total;
    world.users = usersOf(total);
    const { fds, resident } = await measureNodes(world); /* the publishers' connections are not counted */
    for (const n of range(PRESSES)) {
        world.start(scope, 'press.js', { ports: world.nodes.map(({ adminPort }) => adminPort), users: world.users,
            rate: options.rate / PRESSES, folder, number: n });
    }
    await sleep(options.seconds < SHORT_S ? WARM_MS / 4 : WARM_MS);
    world.before = { ...await measureNodes(world), fds, resident };
}

/* A few users are blocked at one node while all goes on; a minute later they may have no session anywhere. */
async function blockSome(world) {
    world.blocked = range(BLOCKED).map((n) => `u${n * 10 + 3}`);
    for (const userId of world.blocked) {
        await waitUntil(`${userId} is blocked`, async () => {
            const { status } = await world.nodes[0].post('/deleteClient', { userId, blockFor: 86400 }, {}, { timeoutMs: 3000 });
            return status === 200 || status === 404;
        }, 60000);
    }
    world.blockedMs = Date.now();
}

function startStatus(world) {
    const timer = setInterval(async () => {
        try {
            const readers = await world.ask('crowd.js', { what: 'status' });
            const presses = await world.ask('press.js', { what: 'status' });
            world.note(`${sumOf(readers, 'open')} readers are open, ${sumOf(presses, 'accepted')} pushes accepted, ${
                sumOf(presses, 'repeated')} of them repeated`);
        } catch (error) {
            world.note(error.message);
        }
    }, 15000);
    return () => clearInterval(timer);
}

/* After the last fault: everybody is back, and all that was accepted has arrived. */
async function settle(world) {
    const presses = await world.ask('press.js', { what: 'stop' }, 120000);
    const expected = world.total - world.blocked.length;
    await waitUntil('every reader is back', async () =>
        sumOf(await world.ask('crowd.js', { what: 'status' }), 'open') >= expected, 90000)
        .catch((error) => world.note(error.message));
    let judged;
    await waitUntil('all that was accepted arrives', async () => {
        judged = await world.ask('crowd.js', { what: 'judge', blocked: world.blocked, blockedMs: world.blockedMs }, 120000);
        return sumOf(judged, 'nMissing') === 0;
    }, 90000).catch((error) => world.note(error.message));
    const heard = world.hearing && await judgeHearing(world);
    await sleep(Math.max(SETTLE_MS, (world.blockedMs ?? 0) + 60000 - Date.now()));
    return { presses, judged, heard };
}

async function lookAtAll(world) {
    const status = await world.ask('crowd.js', { what: 'status' });
    return {
        ...await measureNodes(world), open: sumOf(status, 'open'), users: sumOf(status, 'users'),
        blockedOpen: sumOf(await world.ask('crowd.js', { what: 'blocked', users: world.blocked }), 'open'),
        subscribed: await subscriptionsInRedis(world),
    };
}

const mostInUse = ({ before, nodes }) => Math.max(before.inUse * 1.1, before.inUse + nodes.length * KEPT_BYTES);

const mostDescriptors = ({ before, hearing }) => before.fds * 1.1 + 5 + (hearing === undefined ? 0 : ENDPOINT_FDS);

const isAsBefore = (world, { connections, open, subscribed, users, fds, inUse }) =>
    connections === open && subscribed === users && fds <= mostDescriptors(world) && inUse <= mostInUse(world);

/* [holds, the invariant, what was counted] */
async function checkInvariants(world, { presses, judged, heard }) {
    const { before } = world;
    let after;
    await waitUntil('all is as it was', async () => {
        after = await lookAtAll(world);
        return isAsBefore(world, after);
    }, BACK_MS).catch((error) => world.note(error.message));
    const of = (kind) => judged.flatMap(({ faults }) => faults).filter((text) => text.startsWith(kind)).length;
    const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    return [
        [sumOf(judged, 'nMissing') === 0, 'accepted and not told as a gap = received, by every reader',
            `${sumOf(judged, 'accepted')} due, ${sumOf(judged, 'nMissing')} lost, ${sumOf(judged, 'gaps')} told as gaps`],
        [of('foreign') === 0, 'no foreign message', `${sumOf(judged, 'arrived')} arrivals`],
        [sumOf(judged, 'nFaults') === 0, 'numbers rise within a session', `${sumOf(judged, 'nFaults')} faults`],
        [sumOf(presses, 'contradicted') === 0, 'no push answered twice with different ids',
            `${sumOf(presses, 'confirmed')} asked again, ${sumOf(presses, 'contradicted')} contradicted`],
        ...(world.blocked.length === 0 ? [] : [[after.blockedOpen === 0 && sumOf(judged, 'nLate') === 0,
            'a blocked user has no session 60 s later', `${world.blocked.length} blocked, ${after.blockedOpen} sessions, ${
                sumOf(judged, 'nLate')} arrivals of what was pushed later`]]),
        [after.connections === after.open, 'the sum of herald_connections = the readers open', `${after.connections}, ${after.open}`],
        [after.subscribed === after.users, 'subscriptions in Redis = users online', `${after.subscribed}, ${after.users}`],
        [world.nEnded === 0, 'no node ends by itself', `${world.nEnded} did`],
        [world.nNoticed === 0, 'no session ends because its node is replaced in place', `${world.nNoticed} did`],
        [after.fds <= mostDescriptors(world), 'every descriptor is back', `${before.fds} before, ${after.fds} after`],
        [after.inUse <= mostInUse(world), 'memory in use is within 10 % of the start, or 2 MiB a node', `${mib(before.inUse)} before, ${
            mib(after.inUse)} after; resident ${mib(before.resident)}, ${mib(after.resident)}`],
        ...(heard === undefined ? [] : [[world.faults.length === 0, 'every backend has read what was accepted, and knows who is there',
            Object.entries(heard).map(([name, what]) => `${name} ${what}`).join(', ')]]),
    ];
}

function printFigures(world, { presses, judged }) {
    const list = (entries) => [...entries].map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
    const sum = (answers, name) => {
        const total = new Map();
        answers.flatMap((each) => Object.entries(each[name])).forEach(([key, n]) => total.set(key, (total.get(key) ?? 0) + n));
        return total;
    };
    console.log(`faults: ${list(world.happened)}`);
    console.log(`pushes: begun ${sumOf(presses, 'begun')}, accepted ${sumOf(presses, 'accepted')}, repeated ${
        sumOf(presses, 'repeated')}, slowest ${Math.max(...presses.map(({ slowestMs }) => slowestMs))} ms; refused: ${
        list(sum(presses, 'refusals'))}`);
    console.log(`sessions: ${sumOf(judged, 'opened')}; closed with: ${list(sum(judged, 'closes'))}`);
    [...presses, ...judged].flatMap(({ faults, missing = [] }) => [...faults, ...missing.map((text) => `lost: ${text}`)])
        .concat(world.faults).slice(0, 20).forEach((text) => console.log(`     ${text}`));
}

async function run(world, scope, options) {
    world.store = await startStore(scope, options.store);
    await prepareHearing(world, scope);
    await startNodes(world, scope, options);
    world.hearing?.start();
    await startLoad(world, scope, options);
    world.note(`${world.total} readers of ${world.users} users are open at ${options.nodes} nodes${
        world.canCut ? '' : '; no node can be cut off here'}`);
    const stopStatus = startStatus(world);
    const end = Date.now() + options.seconds * 1000;
    const faults = { everyMs: options.every * 1000, only: options.only };
    if (options.seconds >= SHORT_S) {
        await runFaults(world, { ...faults, endMs: end - options.seconds * 500 });
        await blockSome(world);
    }
    await runFaults(world, { ...faults, endMs: end, needsEach: options.seconds < SHORT_S && options.only !== '' });
    stopStatus();
    world.note('everything is up again');
    const found = await settle(world);
    const invariants = await checkInvariants(world, found);
    world.isOver = true;
    printFigures(world, found);
    invariants.forEach(([holds, text, counted]) => console.log(`${holds ? 'ok  ' : 'FAIL'} ${text}: ${counted}`));
    return invariants.every(([holds]) => holds);
}

async function main() {
    const options = parseArguments(process.argv.slice(2));
    if (enterNamespace()) {
        return;
    }
    const world = new World(options.store, options.seed);
    const scope = new Scope(options.herald);
    if (world.canCut) {
        prepareNamespace();
    }
    console.log(`seed ${options.seed}, store ${options.store}`);
    let isGood = false;
    try {
        isGood = await run(world, scope, options);
    } catch (error) {
        console.log(`FAIL the run: ${error.stack}`);
    }
    world.isOver = true;
    world.parts.forEach(({ child }) => child.kill('SIGKILL'));
    if (options.keep !== '') {
        fs.mkdirSync(options.keep, { recursive: true });
        world.nodes?.forEach(({ name, log }) => fs.writeFileSync(path.join(options.keep, `${name}.log`), log));
    }
    await scope.end().catch((error) => {
        console.log(`FAIL the end: ${error.message}`);
        isGood = false;
    });
    process.exit(isGood ? 0 : 1);
}

main();
