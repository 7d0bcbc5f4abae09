// The npm package http-proxy, with keep-alive to the upstream and one access log line a request.
'use strict';
const fs = require('fs');
const http = require('http');
const https = require('https');
const httpProxy = require('http-proxy');

const [port, target, bearer, authority, logFile] = process.argv.slice(2);
const secure = target.startsWith('https:');
const agent = new (secure ? https : http).Agent({
  keepAlive: true, maxSockets: 128, maxFreeSockets: 128, ca: fs.readFileSync(authority),
});
const log = fs.createWriteStream(logFile, { flags: 'a' });
const proxy = httpProxy.createProxyServer({
  target, agent, changeOrigin: true, headers: { authorization: bearer },
});
proxy.on('error', (error, request, response) => {
  if (response.writeHead && !response.headersSent) response.writeHead(502);
  response.end();
});
http.createServer((request, response) => {
  const start = process.hrtime.bigint();
  response.on('finish', () => log.write(
    `${new Date().toISOString()} ${request.method} ${request.url} ${response.statusCode} ` +
    `${Number(process.hrtime.bigint() - start) / 1e6}\n`));
  proxy.web(request, response);
}).listen(Number(port), '127.0.0.1');
