'use strict';
/* A process that pushes, started by ../rolling.js: to all users in turn, through all nodes in turn, at a fixed rate, and
 * each push with a key with which it is repeated at the next node until one has accepted it. What was accepted goes into
 * the file, [user, push] a line. A node that is told to leave is used until it has ended: what fails there is counted
 * apart from what fails at nodes that stay. */

const fs = require('node:fs');
const http = require('node:http');
const { answerAll, optionsOfPart } = require('./talk');
const { range, sleep } = require('./tools');

const { users, rate, file } = optionsOfPart();
const LANES = 32;
const TRY_MS = 10000;
const REPEAT_MS = 50;

const out = fs.createWriteStream(file);
const agent = new http.Agent({ keepAlive: true, maxSockets: LANES });
const counts = { accepted: 0, slowestMs: 0, failed: { staying: {}, leaving: {} } };
let nodes = []; /* {name, port, isLeaving} */
let next = 0;
let isOver = false;
let lanes;

/* The status, or what broke. */
function post(port, body) {
    const text = JSON.stringify(body);
    return new Promise((resolve) => {
        const request = http.request({ host: '127.0.0.1', port, path: '/push', method: 'POST', agent, timeout: TRY_MS,
            headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) } }, (response) => {
            response.resume();
            response.on('error', (error) => resolve(error.code));
            response.on('end', () => resolve(response.statusCode));
        });
        request.on('timeout', () => request.destroy(Object.assign(new Error('no answer'), { code: 'no answer' })));
        request.on('error', (error) => resolve(request.reusedSocket ? `${error.code} on a kept connection` : error.code));
        request.end(text);
    });
}

async function push(number) {
    const user = number % users;
    const body = { userId: `u${user}`, data: number, idempotencyKey: `rolling-${number}` };
    const beginMs = Date.now();
    for (let tries = 0; ; tries++) {
        const node = nodes[(number + tries) % nodes.length];
        const wasLeaving = node.isLeaving;
        const status = await post(node.port, body);
        if (status === 202) {
            out.write(`[${user},${number}]\n`);
            counts.accepted += 1;
            counts.slowestMs = Math.max(counts.slowestMs, Date.now() - beginMs);
            return;
        }
        const failed = counts.failed[wasLeaving || node.isLeaving ? 'leaving' : 'staying'];
        failed[status] = (failed[status] ?? 0) + 1;
        await sleep(REPEAT_MS);
    }
}

/* Its share of the rate, in step with the clock. */
async function runLane() {
    let due = Date.now() + Math.random() * 1000 * LANES / rate;
    while (!isOver) {
        await sleep(Math.max(0, due - Date.now()));
        due += 1000 * LANES / rate;
        await push(next++);
    }
}

answerAll({
    /* An object stays the same for as long as the node does, so that a push under way sees that its node leaves. */
    nodes: (more) => {
        nodes = more.nodes.map((node) => Object.assign(nodes.find(({ name }) => name === node.name) ?? {}, node));
    },
    begin: () => { lanes = Promise.all(range(LANES).map(runLane)); },
    counts: () => counts,
    stop: async () => {
        isOver = true;
        await lanes;
        await new Promise((resolve) => out.end(resolve));
        agent.destroy();
        return counts;
    },
});
