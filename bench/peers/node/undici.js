// A proxy on undici's Pool: the fastest HTTP client of Node, streaming both ways.
'use strict';
const fs = require('fs');
const http = require('http');
const { Pool } = require('undici');

const [port, target, bearer, authority, logFile] = process.argv.slice(2);
const HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer',
  'transfer-encoding', 'upgrade', 'authorization', 'host', 'expect']);
const pool = new Pool(target, {
  connections: 128, pipelining: 1, keepAliveTimeout: 60000,
  connect: { ca: fs.readFileSync(authority) },
});
const log = fs.createWriteStream(logFile, { flags: 'a' });

function passed(raw) {
  const kept = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toString();
    if (!HOP.has(name.toLowerCase())) kept.push(name, raw[i + 1].toString('latin1'));
  }
  return kept;
}

http.createServer((request, response) => {
  const start = process.hrtime.bigint();
  const headers = passed(request.rawHeaders);
  headers.push('Authorization', bearer);
  const hasBody = 'content-length' in request.headers || 'transfer-encoding' in request.headers;
  response.on('finish', () => log.write(
    `${new Date().toISOString()} ${request.method} ${request.url} ${response.statusCode} ` +
    `${Number(process.hrtime.bigint() - start) / 1e6}\n`));
  pool.dispatch({
    path: request.url, method: request.method, headers, body: hasBody ? request : null,
  }, {
    onConnect(abort) { response.on('close', () => { if (!response.writableEnded) abort(); }); },
    onHeaders(status, raw, resume) {
      if (status < 200) return true;
      response.on('drain', resume);
      response.writeHead(status, passed(raw));
      return true;
    },
    onData(chunk) { return response.write(chunk); },
    onComplete() { response.end(); },
    onError() { if (!response.headersSent) response.writeHead(502); response.end(); },
  });
}).listen(Number(port), '127.0.0.1');
