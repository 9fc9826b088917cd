'use strict';
/* A WebSocket client that sends given bytes and records every frame that comes back. It shares no code
 * with Herald; frames are judged as strictly as a client may (RFC 6455, 5.1-5.5). */

const net = require('node:net');
const zlib = require('node:zlib');

const OP = { CONTINUATION: 0, TEXT: 1, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };
const RSV1 = 4;
const CASE_TIMEOUT_MS = 15000;
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
const SYNC = { finishFlush: zlib.constants.Z_SYNC_FLUSH };

/* Numbers that look random and are the same in every run. */
function numbers(seed) {
    let state = seed >>> 0 || 1;
    return (below) => {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        return (state >>> 0) % below;
    };
}

const drawMask = numbers(6455);

/* One frame of a client. `code` makes a close; `rsv` as the three bits of it. */
function encodeFrame({ fin = true, rsv = 0, opcode = OP.TEXT, payload = '' }) {
    const bytes = Buffer.from(payload);
    const lengthSize = bytes.length < 126 ? 0 : bytes.length < 65536 ? 2 : 8;
    const frame = Buffer.allocUnsafe(2 + lengthSize + 4 + bytes.length);
    frame[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
    frame[1] = 0x80 | { 0: bytes.length, 2: 126, 8: 127 }[lengthSize];
    if (lengthSize === 2) {
        frame.writeUInt16BE(bytes.length, 2);
    } else if (lengthSize === 8) {
        frame.writeBigUInt64BE(BigInt(bytes.length), 2);
    }
    const at = 2 + lengthSize;
    const mask = [drawMask(256), drawMask(256), drawMask(256), drawMask(256)];
    mask.forEach((byte, i) => { frame[at + i] = byte; });
    for (let i = 0; i < bytes.length; i += 1) {
        frame[at + 4 + i] = bytes[i] ^ mask[i & 3];
    }
    return frame;
}

/* One frame of a server at `at`: {opcode, rsv, payload, end}; a number: the bytes that are needed to continue. */
function decodeFrame(bytes, at) {
    const there = bytes.length - at;
    if (there < 2) {
        return 2;
    }
    const opcode = bytes[at] & 15;
    let length = bytes[at + 1];
    if ((bytes[at] & 0x80) === 0 || (bytes[at] & 0x30) !== 0 || length > 127) {
        throw new Error(`not a frame of a server that does not fragment: ${bytes.subarray(at, at + 2).toString('hex')}`);
    }
    let head = 2;
    if (length >= 126) {
        head = length === 126 ? 4 : 10;
        if (there < head) {
            return head;
        }
        const isShort = length === 126;
        length = isShort ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
        if (length < (isShort ? 126 : 65536) || opcode >= 8) {
            throw new Error(`a length of ${length} in ${head - 2} bytes, opcode ${opcode}`);
        }
    }
    if (there < head + length) {
        return head + length;
    }
    const end = at + head + length;
    return { opcode, rsv: (bytes[at] >> 4) & 7, payload: bytes.subarray(at + head, end), end };
}

class Client {
    /* windowBits: of what the server compresses; 0: nothing may be compressed. */
    constructor(socket) {
        this.socket = socket;
        this.windowBits = 0;
        this.events = []; /* ['text', payload], ['pong', payload], ['close', code] */
        this.chunks = [];
        this.size = 0;
        this.needed = 1;
        this.isOver = false;
        this.wakers = [];
        this.compressed = 0;
        socket.on('data', (chunk) => this.take(chunk));
        socket.on('error', (error) => this.fail(error));
        socket.on('close', () => {
            this.isOver = true;
            this.wake();
        });
    }

    wake() {
        this.wakers.splice(0).forEach((waker) => waker());
    }

    fail(error) {
        this.error ??= error;
        this.socket.destroy();
        this.wake();
    }

    take(chunk) {
        this.chunks.push(chunk);
        this.size += chunk.length;
        if (this.size >= this.needed && this.error === undefined) {
            const bytes = Buffer.concat(this.chunks);
            try {
                const end = this.head === undefined ? this.readHead(bytes) : this.readFrames(bytes);
                this.chunks = [bytes.subarray(end)];
                this.size = bytes.length - end;
            } catch (error) {
                this.fail(error);
            }
        }
        this.wake();
    }

    readHead(bytes) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) {
            return 0;
        }
        this.head = bytes.subarray(0, end).toString('latin1');
        return end + 4 + this.readFrames(bytes.subarray(end + 4));
    }

    readFrames(bytes) {
        let at = 0;
        for (;;) {
            const frame = decodeFrame(bytes, at);
            if (typeof frame === 'number') {
                this.needed = frame;
                return at;
            }
            this.note(frame);
            at = frame.end;
        }
    }

    note({ opcode, rsv, payload }) {
        const isData = opcode === OP.TEXT || opcode === OP.BINARY;
        if (rsv !== 0 && !(rsv === RSV1 && isData && this.windowBits !== 0)) {
            throw new Error(`reserved bits ${rsv} on opcode ${opcode}`);
        }
        if (isData) {
            const text = rsv ? inflate(payload, this.windowBits) : payload;
            this.compressed += rsv ? 1 : 0;
            this.events.push([opcode === OP.TEXT ? 'text' : 'binary', text]);
        } else if (opcode === OP.PING || opcode === OP.PONG) {
            this.events.push([opcode === OP.PING ? 'ping' : 'pong', payload]);
        } else if (opcode === OP.CLOSE) {
            this.events.push(['close', payload.length === 0 ? 1005 : payload.readUInt16BE(0)]);
        } else {
            throw new Error(`opcode ${opcode}`);
        }
    }

    /* Until is() answers true, or the connection is over, or milliseconds have passed: false. */
    async until(is, timeoutMs = CASE_TIMEOUT_MS) {
        const end = Date.now() + timeoutMs;
        while (!is() && !this.isOver && this.error === undefined && Date.now() < end) {
            await new Promise((resolve) => {
                const timer = setTimeout(resolve, end - Date.now());
                this.wakers.push(() => {
                    clearTimeout(timer);
                    resolve();
                });
            });
        }
        if (this.error !== undefined) {
            throw this.error;
        }
        return is();
    }

    /* Resolves when the kernel has taken it. */
    write(bytes) {
        return new Promise((resolve) => {
            if (this.socket.writable) {
                this.socket.write(bytes, () => resolve());
            } else {
                resolve();
            }
        });
    }

    async writeChopped(bytes, size) {
        for (let at = 0; at < bytes.length; at += size) {
            await this.write(bytes.subarray(at, at + size));
        }
    }

    async waitEnd() {
        if (!await this.until(() => this.isOver)) {
            throw new Error('the server does not close the connection');
        }
    }
}

/* An open WebSocket. offers: values of Sec-WebSocket-Extensions header lines. */
async function connect(port, offers = []) {
    const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
    const client = new Client(socket);
    await new Promise((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
    });
    const lines = ['GET / HTTP/1.1', 'Host: 127.0.0.1', 'Upgrade: websocket', 'Connection: Upgrade',
        'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        ...offers.map((offer) => `Sec-WebSocket-Extensions: ${offer}`)];
    await client.write(`${lines.join('\r\n')}\r\n\r\n`);
    await client.until(() => client.head !== undefined);
    const isOpen = client.head?.startsWith('HTTP/1.1 101 ')
        && client.head.includes('\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    if (!isOpen) {
        throw new Error(`no WebSocket: ${JSON.stringify(client.head)}`);
    }
    const [, extensions] = /\r\nSec-WebSocket-Extensions: (.*)/.exec(client.head) ?? [];
    client.extensions = extensions;
    if (extensions !== undefined) {
        client.windowBits = Number(/server_max_window_bits=(\d+)/.exec(extensions)?.[1] ?? 15);
    }
    return client;
}

const closeFrame = (code, reason = '') => {
    const head = Buffer.alloc(2);
    head.writeUInt16BE(code);
    return { opcode: OP.CLOSE, payload: Buffer.concat([head, Buffer.from(reason)]) };
};

const deflate = (bytes, windowBits = 15) => zlib.deflateRawSync(bytes, { ...SYNC, windowBits }).subarray(0, -4);
const inflate = (bytes, windowBits) => zlib.inflateRawSync(Buffer.concat([bytes, TAIL]), { ...SYNC, windowBits });

/* A message cut into fragments of at most `size` bytes. */
function fragments(message, size, { opcode = OP.TEXT, rsv = 0 } = {}) {
    const bytes = Buffer.from(message);
    const frames = [];
    for (let at = 0; at === 0 || at < bytes.length; at += size) {
        frames.push({
            fin: at + size >= bytes.length, rsv: at === 0 ? rsv : 0,
            opcode: at === 0 ? opcode : OP.CONTINUATION, payload: bytes.subarray(at, at + size),
        });
    }
    return frames;
}

module.exports = { OP, RSV1, closeFrame, connect, deflate, encodeFrame, fragments, numbers };
