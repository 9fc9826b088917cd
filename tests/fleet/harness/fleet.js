'use strict';
/* Several Heralds on one store. */

const fs = require('node:fs');
const { Child, PATIENCE_MS, Skip, range, waitUntil, within } = require('../../e2e/harness');

/* The program ended, because it does not serve this kind of store. */
const isNotServed = (herald) => !herald.child.isRunning()
    && /this version serves one Redis|is not served yet/.test(herald.log + herald.child.stdout);

/* Whether this program has an option; asked once a program. */
const helps = new Map();
async function hasOption(t, binary, option) {
    if (!helps.has(binary)) {
        const child = new Child(binary, ['--help']);
        t.cleanup(() => child.stop('SIGKILL'));
        helps.set(binary, child.exited.then(() => child.stdout));
    }
    return (await helps.get(binary)).includes(option);
}

/* Not started yet. Its name is n0, n1, ... where nodes have names; `binary`: another program than the one that is tested. */
async function prepareNode(t, number, { binary = t.binary, args = [], ...options }) {
    const name = `n${number}`;
    const names = await hasOption(t, binary, '--node-name') ? ['--node-name', name] : [];
    const herald = await t.prepare({ ...options, args: [...names, ...args] });
    herald.binary = binary;
    herald.name = name;
    return herald;
}

/* Skips the test where the program says that it does not serve this kind of store. */
async function startNode(t, number, options) {
    const herald = await prepareNode(t, number, options);
    herald.launch();
    await Promise.race([herald.child.exited, herald.waitReady()]).catch((error) => {
        if (herald.child.isRunning()) {
            throw error;
        }
    });
    if (!herald.child.isRunning()) {
        await herald.child.exited;
        herald.wasKilled = true; /* it ended by itself: there is nothing to stop */
        if (isNotServed(herald)) {
            throw new Skip(`the program does not serve ${options.store.split('://')[0]}:// yet`);
        }
        throw new Error(`it ended (${JSON.stringify(herald.child.end)}): ${herald.log}${herald.child.stdout}`);
    }
    return herald;
}

/* options: store, args, env ... of each of them; nodes n0, n1, ... that are ready. */
async function startFleet(t, count, options) {
    const nodes = [await startNode(t, 0, options)];
    nodes.push(...await Promise.all(range(count - 1, 1).map((n) => startNode(t, n, options))));
    return nodes;
}

/* As a deploy does it: this node's clients are told to go, it ends, and another program takes its place. */
async function replaceProgram(herald, binary) {
    await herald.stop();
    herald.binary = binary;
    await herald.restart();
}

/* It does nothing from here on, until SIGCONT. */
async function freeze(node) {
    node.child.signal('SIGSTOP');
    const { pid } = node.child.process;
    await waitUntil('each thread has stopped', () => fs.readdirSync(`/proc/${pid}/task`)
        .every((task) => /\) T /.test(fs.readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1'))));
}

/* All that a node counts, summed over the nodes that run. */
async function sumMetric(nodes, name) {
    const values = await Promise.all(nodes.map((node) => node.metric(name)));
    return values.reduce((sum, value) => sum + value, 0);
}

/* The nodes agree that the store takes what they push. */
async function waitAccepted(nodes, userId = 'somebody', timeoutMs = PATIENCE_MS) {
    await Promise.all(nodes.map((node) => waitUntil('a push is accepted', async () =>
        (await node.push(userId, 'is it there?')).status === 202, timeoutMs)));
}

/* Fails when it takes longer than `ms` on a machine that may be busy: three times that are allowed. */
function soon(promise, ms, what) {
    return within(promise, 3 * ms, what);
}

module.exports = { freeze, hasOption, isNotServed, prepareNode, replaceProgram, soon, startFleet, startNode, sumMetric, waitAccepted };
