'use strict';
/* A client of text/event-stream that is independent of Herald's own writer: the parser of the HTML standard, 9.2.6. */

const http = require('node:http');
const https = require('node:https');
const { StringDecoder } = require('node:string_decoder');
const { PATIENCE_MS, waitUntil, within } = require('./waiting');

class EventStream {
    /* options: lastEventId, headers, method; tls: options of node:tls; localAddress: where it connects from */
    constructor(port, target, { lastEventId, headers = {}, method = 'GET', tls, localAddress } = {}) {
        this.events = [];
        this.comments = [];
        this.lines = [];
        this.retry = undefined;
        this.lastEventId = lastEventId;
        this.decoder = new StringDecoder('utf8');
        this.rest = '';
        this.clear();
        this.request = (tls ? https : http).request({
            ...tls, host: '127.0.0.1', port, localAddress, path: target, method, agent: false,
            headers: {
                Accept: 'text/event-stream', ...(lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId }),
                ...headers,
            },
        });
        this.opened = new Promise((resolve, reject) => {
            this.request.once('error', reject);
            this.request.once('response', (response) => this.listen(response, resolve));
        });
        this.opened.catch(() => {});
        this.ended = new Promise((resolve) => {
            this.finish = resolve;
            this.request.once('close', resolve);
        });
        this.request.end();
    }

    listen(response, resolve) {
        this.response = response;
        this.status = response.statusCode;
        this.headers = response.headers;
        response.on('data', (bytes) => this.take(this.decoder.write(bytes)));
        response.on('error', this.finish);
        response.once('end', this.finish);
        resolve(this);
    }

    /* The one line break that this parser knows is the line feed: Herald writes no other. */
    take(text) {
        const lines = (this.rest + text).split('\n');
        this.rest = lines.pop();
        lines.forEach((line) => this.line(line));
    }

    line(line) {
        this.lines.push(line);
        if (line === '') {
            this.dispatch();
        } else if (line.startsWith(':')) {
            this.comments.push(line.slice(1));
        } else {
            const colon = line.indexOf(':');
            const name = colon < 0 ? line : line.slice(0, colon);
            const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
            this.field(name, value);
        }
    }

    field(name, value) {
        if (name === 'data') {
            this.data.push(value);
        } else if (name === 'event') {
            this.event = value;
        } else if (name === 'id' && !value.includes('\0')) {
            this.id = value;
            this.lastEventId = value;
        } else if (name === 'retry' && /^[0-9]+$/.test(value)) {
            this.retry = Number(value);
        }
    }

    /* `hello` brings a position and nothing to show; it is kept apart. */
    dispatch() {
        if (this.event === 'hello') {
            this.hello = { id: this.id, data: this.data.join('\n') };
        } else if (this.data.length > 0) {
            this.events.push({ event: this.event || 'message', id: this.id, data: this.data.join('\n') });
        }
        this.clear();
    }

    clear() {
        this.data = [];
        this.event = '';
        this.id = undefined;
    }

    messages() {
        return this.events.filter(({ event }) => event === 'message');
    }

    values() {
        return this.messages().map(({ data }) => JSON.parse(data));
    }

    gaps() {
        return this.events.filter(({ event }) => event === 'gap').map(({ data }) => JSON.parse(data));
    }

    waitCount(count, timeoutMs = PATIENCE_MS) {
        return waitUntil(`${count} events of notifications`, () => this.messages().length >= count, timeoutMs)
            .catch((error) => {
                throw new Error(`${error.message}; the last lines: ${JSON.stringify(this.lines.slice(-8))}`);
            });
    }

    waitEnd(timeoutMs = PATIENCE_MS) {
        return within(this.ended, timeoutMs, 'the end of the event stream');
    }

    terminate() {
        this.request.on('error', () => {});
        this.request.destroy();
    }
}

module.exports = { EventStream };
