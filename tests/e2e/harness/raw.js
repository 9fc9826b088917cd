'use strict';
/* Sockets whose bytes the test writes itself: HTTP heads and WebSocket frames by hand. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { answerOf } = require('./answer');
const { PATIENCE_MS, sleep, waitUntil } = require('./waiting');

/* A socket that sends exactly the given bytes. */
class Raw {
    constructor(socket) {
        this.socket = socket;
        this.bytes = Buffer.alloc(0);
        this.isEnded = false;
        socket.on('data', (chunk) => { this.bytes = Buffer.concat([this.bytes, chunk]); });
        socket.on('error', () => { this.isEnded = true; });
        socket.on('close', () => { this.isEnded = true; });
        socket.on('end', () => { this.isEnded = true; });
    }

    send(bytes) {
        if (!this.socket.destroyed) {
            this.socket.write(bytes);
        }
        return this;
    }

    destroy() {
        this.socket.destroy();
    }

    waitEnd(timeoutMs = PATIENCE_MS) {
        return waitUntil('the end of the connection', () => this.isEnded, timeoutMs);
    }

    /* One HTTP answer: {status, headers, text, json, isOpen}. What follows stays in bytes. */
    async answer(timeoutMs = PATIENCE_MS) {
        const take = () => {
            const split = this.bytes.indexOf('\r\n\r\n');
            if (split < 0) {
                if (this.isEnded) {
                    throw new Closed(`closed without an answer: ${JSON.stringify(this.bytes.toString())}`);
                }
                return null;
            }
            const { status, headers } = parseHead(this.bytes.subarray(0, split).toString('latin1'));
            const length = status === 101 || status === 204 ? 0 : Number(headers['content-length'] ?? NaN);
            const rest = this.bytes.subarray(split + 4);
            const isWhole = Number.isNaN(length) ? this.isEnded : rest.length >= length;
            if (!isWhole && !this.isEnded) {
                return null;
            }
            const size = Number.isNaN(length) ? rest.length : length;
            this.bytes = rest.subarray(size);
            return answerOf(status, headers, rest.subarray(0, size).toString());
        };
        const end = Date.now() + timeoutMs;
        for (;;) {
            const answer = take();
            if (answer) {
                return answer;
            }
            if (Date.now() > end) {
                throw new Error(`no answer within ${timeoutMs} ms: ${JSON.stringify(this.bytes.toString())}`);
            }
            await sleep(5);
        }
    }

    sendFrame(frame) {
        return this.send(encodeFrame(frame));
    }

    /* The next frame from the server: {fin, rsv, opcode, isMasked, payload}; null at the end. */
    async frame(timeoutMs = PATIENCE_MS) {
        const end = Date.now() + timeoutMs;
        for (;;) {
            const found = decodeFrame(this.bytes);
            if (found) {
                this.bytes = this.bytes.subarray(found.size);
                return found;
            }
            if (this.isEnded) {
                return null;
            }
            if (Date.now() > end) {
                throw new Error(`no frame within ${timeoutMs} ms`);
            }
            await sleep(5);
        }
    }

    /* The next frame that is not one of the server's own pings. */
    async frameButPings(timeoutMs) {
        for (;;) {
            const frame = await this.frame(timeoutMs);
            if (!frame || frame.opcode !== OP.PING) {
                return frame;
            }
        }
    }

    /* Waits for the close frame and the end of the connection; answers the code. */
    async closeCode(timeoutMs) {
        const frame = await this.frameButPings(timeoutMs);
        assert.ok(frame, 'the connection ended without a close frame');
        assert.equal(frame.opcode, OP.CLOSE, `a close frame, not opcode ${frame.opcode}`);
        return frame.payload.length >= 2 ? frame.payload.readUInt16BE(0) : 1005;
    }
}

class Closed extends Error {}

async function rawConnect(port) {
    const socket = net.connect({ host: '127.0.0.1', port });
    socket.setNoDelay(true);
    await new Promise((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
    });
    return new Raw(socket);
}

function parseHead(text) {
    const [first, ...lines] = text.split('\r\n');
    const headers = {};
    for (const line of lines) {
        const colon = line.indexOf(':');
        headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    return { status: Number(first.split(' ')[1]), headers };
}

/* The bytes of an opening handshake. `headers` replaces (null takes away); `lines` adds as they are. */
function handshake(target, { method = 'GET', host, headers = {}, lines = [] } = {}) {
    const all = {
        Host: host ?? '127.0.0.1',
        Upgrade: 'websocket',
        Connection: 'Upgrade',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
    };
    const kept = Object.entries(all).filter(([, value]) => value !== null)
        .map(([name, value]) => `${name}: ${value}`);
    return `${[`${method} ${target} HTTP/1.1`, ...kept, ...lines].join('\r\n')}\r\n\r\n`;
}

/* Sends bytes on a connection of their own and reads one answer. */
async function exchange(port, bytes, timeoutMs) {
    const raw = await rawConnect(port);
    try {
        return await raw.send(bytes).answer(timeoutMs);
    } finally {
        raw.destroy();
    }
}

/* What the kernel holds of an answer that is not read: at the sender's socket and at the receiver's. */
function kernelBytes(adminPort, clientPort) {
    const hex = (port) => port.toString(16).toUpperCase().padStart(4, '0');
    return fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((line) => line.trim().split(/\s+/))
        .filter((row) => row.length > 4 && [row[1], row[2]].every((end) => [hex(adminPort), hex(clientPort)].includes(end.split(':')[1])))
        .flatMap((row) => row[4].split(':')).reduce((sum, bytes) => sum + parseInt(bytes, 16), 0);
}

/* An open WebSocket whose frames the test writes itself. */
async function rawWebSocket(herald, userId, more = '') {
    const raw = await herald.raw();
    raw.send(Buffer.concat([
        Buffer.from(handshake(`/ws?userId=${encodeURIComponent(userId)}`)), Buffer.from(more),
    ]));
    const answer = await raw.answer();
    assert.equal(answer.status, 101, answer.text);
    return raw;
}

const OP = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };

/* lengthBits: 7, 16 or 64 forces the form of the length; `length` lies about it. */
function encodeFrame({ fin = true, rsv = 0, opcode = OP.TEXT, mask = true, payload = '', lengthBits, length }) {
    const bytes = Buffer.from(payload);
    const size = length ?? bytes.length;
    const bits = lengthBits ?? (size < 126 ? 7 : size < 65536 ? 16 : 64);
    const head = Buffer.alloc({ 7: 2, 16: 4, 64: 10 }[bits]);
    head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
    head[1] = (mask ? 0x80 : 0) | { 7: size, 16: 126, 64: 127 }[bits];
    if (bits === 16) {
        head.writeUInt16BE(size, 2);
    } else if (bits === 64) {
        head.writeBigUInt64BE(BigInt(size), 2);
    }
    if (!mask) {
        return Buffer.concat([head, bytes]);
    }
    const key = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
    return Buffer.concat([head, key, bytes.map((byte, i) => byte ^ key[i % 4])]);
}

function decodeFrame(bytes) {
    if (bytes.length < 2) {
        return null;
    }
    let length = bytes[1] & 0x7f;
    let at = 2;
    if (length === 126) {
        if (bytes.length < 4) {
            return null;
        }
        length = bytes.readUInt16BE(2);
        at = 4;
    } else if (length === 127) {
        if (bytes.length < 10) {
            return null;
        }
        length = Number(bytes.readBigUInt64BE(2));
        at = 10;
    }
    if (bytes.length < at + length) {
        return null;
    }
    return {
        fin: (bytes[0] & 0x80) !== 0, rsv: (bytes[0] >> 4) & 7, opcode: bytes[0] & 15,
        isMasked: (bytes[1] & 0x80) !== 0, payload: Buffer.from(bytes.subarray(at, at + length)),
        size: at + length,
    };
}

module.exports = { Closed, OP, Raw, decodeFrame, encodeFrame, exchange, handshake, kernelBytes, rawConnect, rawWebSocket };
