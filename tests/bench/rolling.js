'use strict';
/* node tests/bench/rolling.js [--herald PATH] [--how replace|restart|upgrade|both] [--balancer chooser|proxy] [--clients 3000]
 *     [--nodes 3] [--rate 300] [--drain-time 30s] [--drain-delay 5s] [--keep DIR]
 *
 * A deploy of a fleet, and what its clients and publishers notice of it. NODES Heralds share a Redis; a balancer that
 * looks at /readyz each second gives each connection to the node with the fewest. CLIENTS are connected, a quarter each
 * plain, herald.v1, event streams, and herald.v1 that moves when it hears goaway; each comes back as it is told to. RATE
 * pushes a second go to all of them in turn. Meanwhile
 *
 * replace  for each node a new one joins, and then the old one is stopped
 * restart  one node after the other is stopped, and started again in its place
 * upgrade  one node after the other is replaced by a process that takes its connections over (SIGUSR2).
 *
 * chooser: the clients ask the balancer where to connect; proxy: all bytes go through it, and a connection that a node does
 * not take goes to the next one. Prints what was counted, with the goals; the exit is 0 when nothing was lost and no push
 * failed at a node that stays: the other figures fail nothing. Needs redis-server, and `npm ci` in tests/. */

const fs = require('node:fs');
const path = require('node:path');
const { readArguments } = require('./arguments');
const { startPart } = require('./rolling/talk');
const { SETTINGS, Scope, hasOption, range, redisNode, sleep, startNode, waitUntil } = require('./rolling/tools');

const STOP_MS = 120000;
const SETTLE_MS = 2000; /* between two nodes of a deploy, and before the first: nothing is under way then */
const MOST = { clients: 16000, nodes: 10, rate: 5000 }; /* a process has 20 000 descriptors */
const GOALS = { replace: 1.05, restart: 1.4, upgrade: 0 };

const DEFAULTS = {
    how: 'both', balancer: 'chooser', clients: '3000', nodes: '3', rate: '300', 'drain-time': '30s', 'drain-delay': '5s', keep: '',
};

class Deploy {
    constructor(scope, options) {
        this.scope = scope;
        this.options = options;
        this.nodes = [];
        this.all = []; /* those that are over, too */
        this.beginMs = Date.now();
    }

    note(text) {
        console.log(`     ${((Date.now() - this.beginMs) / 1000).toFixed(1).padStart(6)} s  ${text}`);
    }

    async startNode(number) {
        const { herald } = this.options;
        const delay = await hasOption(this.scope, herald, '--drain-delay') ? ['--drain-delay', this.options['drain-delay']] : [];
        const node = await startNode(this.scope, number, { store: this.redis.url,
            args: ['--drain-time', this.options['drain-time'], ...delay] });
        this.nodes.push(node);
        this.all.push(node);
        return node;
    }

    /* The balancer and the publisher hear of the nodes; the balancer has looked at a new one when this returns. */
    async tell(leaving) {
        const forClients = this.nodes.map(({ name, port }) => ({ name, port }));
        await this.balancer.ask('nodes', { nodes: forClients });
        await this.publisher.ask('nodes', { nodes: this.nodes.map((node) => ({
            name: node.name, port: node.adminPort, isLeaving: node === leaving })) });
    }

    async start() {
        const { clients, nodes, rate, balancer } = this.options;
        this.redis = await (await redisNode(this.scope, { ...SETTINGS, maxclients: 10000 })).start();
        await Promise.all(range(nodes).map((n) => this.startNode(n)));
        this.file = path.join(this.scope.tempDir(), 'accepted');
        this.publisher = startPart(this.scope, 'publisher.js', { users: clients, rate, file: this.file });
        const proxy = balancer === 'proxy' ? startPart(this.scope, 'proxy.js') : undefined;
        this.guests = startPart(this.scope, 'guests.js', { count: clients, port: await proxy?.ask('listen') });
        this.balancer = proxy ?? this.guests;
        await this.tell();
        await this.guests.ask('connect');
        await this.publisher.ask('begin');
        await sleep(SETTLE_MS);
        this.note(`${clients} clients are connected: ${JSON.stringify(await this.balancer.ask('counts'))}`);
    }

    async stopNode(node) {
        await this.tell(node);
        const begin = Date.now();
        await node.stop(STOP_MS);
        this.note(`${node.name} has ended after ${((Date.now() - begin) / 1000).toFixed(1)} s`);
    }

    async replaceAll() {
        for (const node of [...this.nodes]) {
            await this.startNode(this.all.length);
            await this.tell();
            await this.stopNode(node);
            this.nodes = this.nodes.filter((each) => each !== node);
            await this.settle();
        }
    }

    async restartAll() {
        for (const node of this.nodes) {
            await this.stopNode(node);
            await node.restart();
            await this.settle();
        }
    }

    async upgradeAll() {
        for (const node of this.nodes) {
            const begin = Date.now();
            await node.upgrade();
            const { json } = await node.request('GET', '/stats');
            this.note(`${node.name} has a new process after ${Date.now() - begin} ms: ${JSON.stringify(json.upgrade)}`);
            await this.settle();
        }
    }

    /* As one does who deploys: the next node's turn comes when everybody is back. */
    async settle() {
        await this.tell();
        await waitUntil('every client is back', async () => await this.guests.ask('open') === this.options.clients, 30000);
        await sleep(SETTLE_MS);
        this.note(`all are back: ${JSON.stringify(await this.balancer.ask('counts'))}`);
    }

    /* What was accepted has until a while after the last push to arrive. */
    async end() {
        const pushes = await this.publisher.ask('stop');
        let judged;
        await waitUntil('all arrives', async () => {
            judged = await this.guests.ask('judge', { file: this.file });
            return judged.lost === 0;
        }, 20000).catch((error) => this.note(error.message));
        const proxy = this.balancer === this.guests ? undefined : await this.balancer.ask('figures');
        return { pushes, judged, proxy, ...await this.guests.ask('figures') };
    }
}

const listed = (counts) => Object.entries(counts).map(([name, n]) => `${name} ${n}`).join(', ') || 'none';
const summed = (counts) => Object.values(counts).reduce((sum, n) => sum + n, 0);

function printFigures(how, { pushes, judged, proxy, all, kinds }) {
    const perClient = (each) => (each.nClosed / each.guests).toFixed(3);
    const spread = ({ n, p50, p99, most }) => (n === 0 ? 'never' : `p50 ${p50}, p99 ${p99}, at most ${most} ms`);
    const rows = [
        ['closes a client', `${perClient(all)} (at most ${all.most}); ${listed(all.closes)}`, GOALS[how]],
        ['away', spread(all.away), 'p50 500 ms'],
        ...Object.entries(kinds).map(([kind, each]) => [`  ${kind}`, `${perClient(each)} closes; away ${spread(each.away)}; ${
            each.repeated} repeated, ${each.gaps} gaps`, '']),
        ['told to wait', spread(all.told), ''],
        ['refused handshakes', `${summed(all.refusals)}; ${listed(all.refusals)}`, 0],
        ...(proxy === undefined ? [] : [['  that went to another node', proxy.failedOver, '']]),
        ['pushes', `${pushes.accepted} accepted, slowest ${pushes.slowestMs} ms`, ''],
        ['  failed at nodes that stay', `${summed(pushes.failed.staying)}; ${listed(pushes.failed.staying)}`, 0],
        ['  failed at nodes that leave', `${summed(pushes.failed.leaving)}; ${listed(pushes.failed.leaving)}`, ''],
        ['lost', `${judged.lost} of ${judged.due}`, 0],
        ['repeated', all.repeated, ''],
    ];
    console.log(`\n${how}`);
    rows.forEach(([name, value, goal]) => console.log(`${name.padEnd(30)} ${String(value)}${goal === '' ? '' : `   [goal ${goal}]`}`));
    judged.missing.forEach((text) => console.log(`     lost: ${text}`));
    return judged.lost === 0 && summed(pushes.failed.staying) === 0;
}

async function run(how, options) {
    const scope = new Scope(options.herald);
    const deploy = new Deploy(scope, options);
    let isGood = false;
    try {
        await deploy.start();
        await deploy[`${how}All`]();
        isGood = printFigures(how, await deploy.end());
    } catch (error) {
        console.log(`FAIL ${how}: ${error.stack}`);
    }
    if (options.keep !== '') {
        fs.mkdirSync(options.keep, { recursive: true });
        deploy.all.forEach(({ name, log }) => fs.writeFileSync(path.join(options.keep, `${how}-${name}.log`), log));
    }
    await Promise.all([deploy.guests, deploy.publisher].map((part) => part?.stop())); /* no node waits for its clients */
    await scope.end().catch((error) => {
        console.log(`FAIL the end: ${error.message}`);
        isGood = false;
    });
    return isGood;
}

async function main() {
    const options = readArguments(process.argv.slice(2), DEFAULTS, MOST);
    let isGood = true;
    if (!(options.how in GOALS) && options.how !== 'both') {
        throw new Error(`--how is ${Object.keys(GOALS).join(', ')} or both, which are the first two`);
    }
    for (const how of options.how === 'both' ? ['replace', 'restart'] : [options.how]) {
        isGood = await run(how, options) && isGood;
    }
    process.exit(isGood ? 0 : 1);
}

main().catch((error) => {
    console.error(error.message);
    process.exit(2);
});
