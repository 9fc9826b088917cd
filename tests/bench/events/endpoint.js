'use strict';
/* The other end of a webhook: counts what comes, and how long it was on its way. Started by ../events.js. */

const http = require('node:http');
const { answerAll } = require('../rolling/talk');
const { freePort, nowMs, quantile } = require('./tools');

const state = { events: 0, repeats: 0, requests: 0, times: [] };
const seen = new Set();

function take(text) {
    const now = nowMs();
    state.requests += 1;
    for (const { id, data } of JSON.parse(text).events) {
        state.repeats += seen.has(id) ? 1 : 0;
        seen.add(id);
        state.events += 1;
        if (data?.t !== undefined) {
            state.times.push(now - data.t);
        }
    }
}

async function listen() {
    const port = await freePort();
    const server = http.createServer((request, response) => {
        const chunks = [];
        request.on('data', (chunk) => chunks.push(chunk));
        request.on('end', () => {
            take(Buffer.concat(chunks).toString());
            response.writeHead(200).end();
        });
    });
    server.keepAliveTimeout = 120000;
    await new Promise((resolve) => { server.listen(port, '127.0.0.1', resolve); });
    return port;
}

function reset() {
    Object.assign(state, { events: 0, repeats: 0, requests: 0, times: [] });
}

answerAll({ listen, reset, count: () => state.events, counts: () => ({ ...state, times: undefined, p50: quantile(state.times, 0.5), p99: quantile(state.times, 0.99) }) });
