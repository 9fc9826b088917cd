'use strict';
/* The protocol of Redis (RESP2), independent of Herald's own reader. Texts are latin1, so that every byte survives. */

const net = require('node:net');
const { within } = require('../../e2e/harness');

class RedisError extends Error {}

/* Takes bytes as they come, gives whole values: {value, bytes}. */
class RespReader {
    constructor() {
        this.rest = Buffer.alloc(0);
    }

    feed(chunk) {
        this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    }

    /* undefined: there is no whole one yet. */
    next() {
        const found = this.parse(0);
        if (found === undefined) {
            return undefined;
        }
        const bytes = this.rest.subarray(0, found.end);
        this.rest = this.rest.subarray(found.end);
        return { value: found.value, bytes };
    }

    parse(at) {
        const lineEnd = this.rest.indexOf('\r\n', at);
        if (lineEnd < 0) {
            return undefined;
        }
        const line = this.rest.toString('latin1', at + 1, lineEnd);
        const end = lineEnd + 2;
        switch (String.fromCharCode(this.rest[at])) {
        case '+': return { value: line, end };
        case '-': return { value: new RedisError(line), end };
        case ':': return { value: Number(line), end };
        case '$': return this.parseText(Number(line), end);
        case '*': return this.parseList(Number(line), end);
        default: throw new Error(`no RESP: ${JSON.stringify(this.rest.toString('latin1', at, at + 40))}`);
        }
    }

    parseText(length, at) {
        if (length < 0) {
            return { value: null, end: at };
        }
        const end = at + length + 2;
        return end > this.rest.length ? undefined : { value: this.rest.toString('latin1', at, end - 2), end };
    }

    parseList(count, at) {
        if (count < 0) {
            return { value: null, end: at };
        }
        const value = [];
        let end = at;
        for (let i = 0; i < count; i++) {
            const item = this.parse(end);
            if (item === undefined) {
                return undefined;
            }
            value.push(item.value);
            end = item.end;
        }
        return { value, end };
    }
}

/* A value as the bytes of an answer. */
function encodeAnswer(value) {
    if (value === null || value === undefined) {
        return '$-1\r\n';
    }
    if (Array.isArray(value)) {
        return `*${value.length}\r\n${value.map(encodeAnswer).join('')}`;
    }
    if (value instanceof Error) {
        return `-${value.message}\r\n`;
    }
    return typeof value === 'number' ? `:${value}\r\n` : `$${value.length}\r\n${value}\r\n`;
}

function encodeCommand(words) {
    const texts = words.map((word) => Buffer.from(String(word)));
    return Buffer.concat([Buffer.from(`*${texts.length}\r\n`),
        ...texts.flatMap((text) => [Buffer.from(`$${text.length}\r\n`), text, Buffer.from('\r\n')])]);
}

/* One command on a connection of its own; an error of Redis is thrown. */
async function callRedis(port, words, timeoutMs = 5000) {
    const socket = net.connect({ host: '127.0.0.1', port });
    const reader = new RespReader();
    try {
        const answer = new Promise((resolve, reject) => {
            socket.on('error', reject);
            socket.on('close', () => reject(new Error(`closed without an answer to ${words[0]}`)));
            socket.on('data', (chunk) => {
                reader.feed(chunk);
                const found = reader.next();
                if (found !== undefined) {
                    resolve(found.value);
                }
            });
        });
        socket.write(encodeCommand(words));
        const value = await within(answer, timeoutMs, `the answer to ${words.slice(0, 3).join(' ')}`);
        if (value instanceof RedisError) {
            throw value;
        }
        return value;
    } finally {
        socket.destroy();
    }
}

module.exports = { RedisError, RespReader, callRedis, encodeAnswer, encodeCommand };
