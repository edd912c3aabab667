// A real OpenID provider on a free port of loopback: `node provider.mjs <its package> <keys.json> <world.json>`.
// It prints its issuer when it listens. The world is read anew for each request: `people` are claims by subject, and
// `faults` are answers by path, given instead of its own.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const [program, keys, world] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(program));
const read = (file) => JSON.parse(readFileSync(file, "utf8"));

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "larder",
        client_secret: "a secret of larder and its provider",
        redirect_uris: ["http://registry.test/-/web/openid/callback"],
      },
    ],
    jwks: read(keys),
    pkce: { required: () => true },
    claims: { email: ["email", "email_verified"], profile: ["preferred_username", "groups"] },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub, ...read(world).people[sub] }) }),
  });
  const answer = provider.callback();
  server.on("request", (request, response) => {
    const fault = read(world).faults[new URL(request.url, issuer).pathname];
    if (!fault) return answer(request, response);
    response.writeHead(fault.status, { "content-type": "application/json", ...fault.headers });
    response.end(JSON.stringify(fault.body ?? {}));
  });
  console.log(issuer);
});
