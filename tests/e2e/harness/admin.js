'use strict';
/* The client of the admin API. */

const assert = require('node:assert/strict');
const http = require('node:http');
const https = require('node:https');
const { collect } = require('./answer');
const { PATIENCE_MS, waitUntil } = require('./waiting');

class Admin {
    /* adminTls: options of node:tls, where the port speaks TLS */
    constructor(adminPort, adminTls) {
        this.adminPort = adminPort;
        this.adminTls = adminTls;
        this.adminHttp = adminTls ? https : http;
    }

    openAgent() {
        this.agent = new this.adminHttp.Agent({ keepAlive: true, maxSockets: 64 });
    }

    /* A request to the admin port ({port} for the other): {status, headers, text, json}. */
    request(method, target, options = {}) {
        const { body, port = this.adminPort, timeoutMs = PATIENCE_MS } = options;
        const key = this.adminKey === undefined || port !== this.adminPort ? {}
            : { Authorization: `Bearer ${this.adminKey}` };
        const headers = { ...key, ...options.headers };
        return new Promise((resolve, reject) => {
            const request = this.adminHttp.request({
                ...this.adminTls, host: '127.0.0.1', port, method, path: target, headers, agent: this.agent,
            }, (response) => collect(response, resolve, reject));
            request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer to ${method} ${target}`)));
            request.on('error', reject);
            request.end(body);
        });
    }

    /* body: an object, or the text itself where its bytes matter. */
    post(target, body, headers = {}, options = {}) {
        const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
        return this.request('POST', target, {
            body: text,
            headers: {
                'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text), ...headers,
            },
            ...options,
        });
    }

    async push(userId, data, extra = {}) {
        return this.post('/push', { userId, data, ...extra });
    }

    /* Pushes and insists on the 202 (200 with ttl 0). */
    async mustPush(userId, data, extra = {}) {
        const answer = await this.push(userId, data, extra);
        assert.equal(answer.status, extra.ttl === 0 ? 200 : 202, `push to ${userId}: ${answer.text}`);
        return answer.json;
    }

    /* A push a line, as NDJSON; `lines` are objects, or texts where their bytes matter. */
    ndjson(lines, options = {}) {
        const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
        return this.post('/push', `${texts.join('\n')}\n`, { 'Content-Type': 'application/x-ndjson' }, options);
    }

    /* One page of what waits for a user. */
    async inbox(userId, query = '') {
        const answer = await this.request('GET', `/users/${encodeURIComponent(userId)}/inbox${query}`);
        assert.equal(answer.status, 200, answer.text);
        return answer.json;
    }

    purge(userId) {
        return this.request('DELETE', `/users/${encodeURIComponent(userId)}/inbox`);
    }

    /* GET or DELETE of one notification. */
    message(userId, id, method = 'GET') {
        return this.request(method, `/users/${encodeURIComponent(userId)}/messages/${encodeURIComponent(id)}`);
    }

    cancel(userId, id) {
        return this.message(userId, id, 'DELETE');
    }

    async user(userId) {
        const answer = await this.request('GET', `/users/${encodeURIComponent(userId)}`);
        assert.equal(answer.status, 200, answer.text);
        return answer.json;
    }

    waitPending(userId, count, timeoutMs) {
        return waitUntil(`${count} pending for ${userId}`,
            async () => (await this.user(userId)).pending === count, timeoutMs);
    }

    /* Waits until the user has no session. */
    waitOffline(userId) {
        return waitUntil(`${userId} is offline`, async () => !(await this.user(userId)).online);
    }

    /* A metric summed over its labels; 0 when it is not there. */
    async metric(name) {
        const { text } = await this.request('GET', '/metrics');
        return text.split('\n')
            .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
            .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
    }
}

module.exports = { Admin };
