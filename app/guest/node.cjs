// Visitors' code in a Node that waits for it, as `node main.js` would run it.
'use strict';

const { Console } = require('console');
const fs = require('fs');
const { runMain } = require('module');
const { Socket } = require('net');
const { Writable } = require('stream');

const [job, ready] = process.argv.slice(2).map(Number);

function run() {
  const [main, ...args] = fs.readFileSync(job, 'utf8').split('\0');
  fs.closeSync(job);
  process.argv.splice(1, Infinity, main, ...args);
  delete require.cache[__filename];
  // From the queue, so that no frame of ours is in a stack trace.
  process.nextTick(runMain, main);
}

// What the first line of output, or the first stream, would load and compile. The standard streams themselves are left
// alone: to open one makes it non-blocking, which code that uses the descriptor would notice.
for (const name of ['assert', 'buffer', 'events', 'path', 'readline', 'timers', 'tty', 'url', 'util']) {
  require(name);
}
const nowhere = new Writable({ write: (chunk, encoding, done) => done() });
new Console(nowhere, nowhere).log('%s', 'ahead', 1, [{ text: 'text' }]);
new Socket({ fd: ready, readable: false, writable: true }).on('close', run).end('R');
