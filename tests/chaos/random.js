'use strict';
/* Numbers that a seed repeats. Each actor takes a branch of its own, so that how fast another one runs does not change
 * what this one draws. */

/* FNV-1a, to make a seed of a seed and a name. */
function hash(text) {
    let sum = 0x811c9dc5;
    for (const byte of Buffer.from(text)) {
        sum = Math.imul(sum ^ byte, 0x01000193) >>> 0;
    }
    return sum;
}

class Random {
    constructor(seed) {
        this.seed = seed >>> 0;
        this.state = this.seed;
    }

    branch(name) {
        return new Random(hash(`${this.seed}/${name}`));
    }

    /* 0 <= x < 1 (mulberry32). */
    next() {
        this.state = (this.state + 0x6d2b79f5) >>> 0;
        let x = this.state;
        x = Math.imul(x ^ (x >>> 15), x | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
    }

    /* A whole number, both ends included. */
    between(low, high) {
        return low + Math.floor(this.next() * (high - low + 1));
    }

    isTrue(probability) {
        return this.next() < probability;
    }

    pick(list) {
        return list[this.between(0, list.length - 1)];
    }

    /* Mostly short, sometimes long: exponential around `mean`, at most ten times as much. */
    around(mean) {
        return Math.min(10 * mean, -mean * Math.log(1 - this.next()));
    }
}

module.exports = { Random };
