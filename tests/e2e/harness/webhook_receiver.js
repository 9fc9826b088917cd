'use strict';
/* The other end of a webhook: an HTTP server that checks each signature by itself, keeps what it is sent, and answers as
 * the test says. */

const crypto = require('node:crypto');
const http = require('node:http');
const https = require('node:https');
const { EventRecord, parseEventId } = require('./event_ids');
const { freePort } = require('./processes');
const { secret } = require('./secrets');
const { PATIENCE_MS, waitUntil } = require('./waiting');

/* No log may contain what is made here. */
function makeWebhookSecret(bytes = 32) {
    return secret(`whsec_${crypto.randomBytes(bytes).toString('base64')}`);
}

/* One entry of webhook-signature, as the Standard Webhooks specification says. */
function webhookSignature(key, { id, timestamp, body }) {
    const hmac = crypto.createHmac('sha256', Buffer.from(key.replace(/^whsec_/, ''), 'base64'));
    return `v1,${hmac.update(`${id}.${timestamp}.`).update(body).digest('base64')}`;
}

/* What is wrong with a request, or null. key: whsec_...; the clocks may differ by five minutes, as its users allow. */
function faultOfWebhook(key, headers, body) {
    const id = headers['webhook-id'];
    const timestamp = headers['webhook-timestamp'];
    if (id === undefined || !/^[A-Za-z0-9_-]+$/.test(id)) {
        return `webhook-id ${id}`;
    }
    if (!/^\d+$/.test(timestamp ?? '') || Math.abs(Number(timestamp) - Date.now() / 1000) > 300) {
        return `webhook-timestamp ${timestamp}`;
    }
    const wanted = webhookSignature(key, { id, timestamp, body });
    if (!(headers['webhook-signature'] ?? '').split(' ').includes(wanted)) {
        return `webhook-signature of ${id}`;
    }
    return headers['content-type'] === 'application/json' ? null : `content-type ${headers['content-type']}`;
}

/* Partition, epoch, first and last of a webhook-id must be those of the batch. */
function faultOfBatch(id, events) {
    const match = /^evt_(\d+)_([^_]+)_(\d+)_(\d+)$/.exec(id);
    const ids = events.map((event) => parseEventId(event.id));
    const isIts = match !== null && ids.length > 0 && ids.at(-1).number <= Number(match[4])
        && ids.every(({ partition, epoch }) => partition === Number(match[1]) && epoch === match[2])
        && ids.every(({ number }, i) => i === 0 || number > ids[i - 1].number);
    return isIts ? null : `${id} with ${events.map((event) => event.id).join(' ')}`;
}

class WebhookReceiver {
    /* answer(request, receiver) -> what is answered: a status, {status, headers, body, delayMs}, or one of the words
     * 'reset' (the connection is cut at once), 'half' (in the middle of a head of 200), 'hang' (never answered).
     * tls: {key, cert} of node:tls. types: those that the endpoint asks for. */
    constructor({ name = 'hook', key = makeWebhookSecret(), path = '/hook', answer = () => 200, types, tls } = {}) {
        Object.assign(this, { name, key, path, answer, types, tls });
        this.requests = []; /* {id, timestamp, headers, text, events, fault, status, atMs} in the order in which they came */
        this.record = new EventRecord({ isWhole: types === undefined }); /* of what was answered with 2xx */
        this.faults = [];
        this.isUp = false;
    }

    get url() {
        return `${this.tls ? 'https' : 'http'}://127.0.0.1:${this.port}${this.path}`;
    }

    /* Its line of a --webhooks file; options as 'batch=10'. */
    line(...options) {
        const types = this.types === undefined ? [] : [`types=${this.types}`];
        return `${[this.name, this.url, this.key, ...types, ...options].join(' ')}\n`;
    }

    /* Again on the same port, after it was closed. */
    async start() {
        this.port ??= await freePort();
        const serve = (request, response) => this.serve(request, response);
        this.server = this.tls ? https.createServer(this.tls, serve) : http.createServer(serve);
        this.server.keepAliveTimeout = 60000;
        await new Promise((resolve, reject) => {
            this.server.once('error', reject).listen(this.port, '127.0.0.1', resolve);
        });
        this.isUp = true;
        return this;
    }

    /* Connections that are open are cut: nothing listens when this returns. */
    async stop() {
        if (this.isUp) {
            this.isUp = false;
            const closed = new Promise((resolve) => this.server.close(resolve));
            this.server.closeAllConnections();
            await closed;
        }
    }

    async serve(request, response) {
        const chunks = [];
        request.on('error', () => {});
        response.on('error', () => {});
        for await (const chunk of request) {
            chunks.push(chunk);
        }
        const kept = this.keep(request, Buffer.concat(chunks));
        const told = await this.answer(kept, this);
        kept.status = told.status ?? told;
        if (kept.status >= 200 && kept.status < 300) {
            this.accept(kept);
        }
        await this.say(response, kept.status, typeof told === 'object' ? told : {});
    }

    keep({ method, url, headers, httpVersion, socket }, body) {
        const kept = { method, url, headers, httpVersion, socket, text: body.toString(), events: [], atMs: Date.now(),
            id: headers['webhook-id'], timestamp: headers['webhook-timestamp'] };
        this.requests.push(kept);
        try {
            kept.events = JSON.parse(kept.text).events;
            kept.isTest = kept.events.length === 1 && kept.events[0].type === 'test';
            kept.fault = faultOfWebhook(this.key, headers, body) ?? (kept.isTest ? null : faultOfBatch(kept.id, kept.events));
        } catch (error) {
            kept.fault = error.message;
        }
        if (kept.fault !== null) {
            this.faults.push(kept.fault);
        }
        return kept;
    }

    accept({ events, isTest }) {
        if (!isTest) {
            events.forEach((event) => this.record.take(event));
        }
    }

    async say(response, status, { headers = {}, body = '', delayMs = 0 }) {
        if (delayMs > 0) {
            await new Promise((resolve) => setTimeout(resolve, delayMs));
        }
        if (status === 'reset') {
            response.socket?.resetAndDestroy?.() ?? response.destroy();
        } else if (status === 'half') {
            response.socket.end('HTTP/1.1 200 OK\r\nContent-Le');
        } else if (status !== 'hang') {
            response.writeHead(status, headers).end(body);
        }
    }

    /* What it accepted, each once, gaps among it. */
    get events() {
        return this.record.events;
    }

    async waitFor(what, isEnough, timeoutMs = PATIENCE_MS) {
        await waitUntil(what, () => isEnough(this), timeoutMs).catch((error) => {
            const seen = this.requests.slice(-6).map(({ id, status, fault }) => `${id} ${status} ${fault ?? ''}`);
            throw new Error(`${error.message}; ${this.requests.length} requests, the last ones: ${seen.join(', ')}`);
        });
        return this;
    }

    /* The first `count` events of a type, and of a user if one is named. */
    async waitCount(type, count, userId) {
        const found = () => this.record.ofType(type).filter((event) => userId === undefined || event.userId === userId);
        await this.waitFor(`${count} of ${type}`, () => found().length >= count);
        return found().slice(0, count);
    }

    waitRequests(count) {
        return this.waitFor(`${count} requests`, () => this.requests.length >= count);
    }

    /* Every request was signed and whole, and no event was passed over in silence. */
    check() {
        if (this.faults.length > 0) {
            throw new Error(`${this.name}: ${this.faults.slice(0, 5).join('; ')}`);
        }
        this.record.check();
    }
}

/* A receiver that listens until its test ends; its line goes into the text of a --webhooks file. */
async function startReceiver(t, options = {}) {
    const receiver = await new WebhookReceiver(options).start();
    t.cleanup(() => receiver.stop());
    return receiver;
}

module.exports = { WebhookReceiver, faultOfWebhook, makeWebhookSecret, startReceiver, webhookSignature };
