// What ImapFlow sees of a server: read, search, flag, move, delete, idle, QRESYNC. Prints one line of JSON.
//   node session.mjs PORT LOGIN PASSWORD CAFILE
import { readFileSync } from "node:fs";
import { ImapFlow } from "imapflow";

const [port, user, pass, cafile] = process.argv.slice(2);
const options = {
  host: "localhost",
  port: Number(port),
  secure: true,
  auth: { user, pass },
  tls: { ca: readFileSync(cafile) },
  logger: false,
};
const seen = {};

const client = new ImapFlow({ ...options, qresync: true });
await client.connect();
seen.enabled = [...client.enabled].sort();
seen.compressed = Boolean(client.isCompressed ?? client._inflate ?? false);
seen.folders = (await client.list()).map((folder) => [folder.path, folder.specialUse ?? null]);
seen.status = await client.status("INBOX", { messages: true, unseen: true, uidNext: true });
seen.quota = await client.getQuota("INBOX");

let lock = await client.getMailboxLock("INBOX");
try {
  seen.exists = client.mailbox.exists;
  seen.subjects = [];
  for await (const message of client.fetch("1:*", { envelope: true, bodyStructure: true, flags: true })) {
    seen.subjects.push(message.envelope.subject);
  }
  seen.found = await client.search({ subject: "Nummer 2" }, { uid: true });
  seen.body = await client.search({ body: "sample 3" }, { uid: true });
  const { content } = await client.download("1", "1");
  const pieces = [];
  for await (const piece of content) pieces.push(piece);
  seen.text = Buffer.concat(pieces).toString();
  seen.flagged = await client.messageFlagsAdd("1", ["\\Seen", "\\Flagged"]);
  await client.mailboxCreate(["Arbeit", "Grüße"]);
  const moved = await client.messageMove("2", ["Arbeit", "Grüße"].join("/"));
  seen.moved = moved.uidMap.size;
  seen.deleted = await client.messageDelete("1");
  seen.left = client.mailbox.exists;
  seen.appended = (await client.append("INBOX", "Subject: from node\r\n\r\nhello\r\n", ["\\Seen"])).uid > 0;
} finally {
  lock.release();
}
await client.logout();
console.log(JSON.stringify(seen));
