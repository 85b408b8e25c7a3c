"""Thunderbird makes an account, reads, flags, moves and deletes: everything over TLS and IMAP."""

import imaplib
from pathlib import Path

from tests.live.mail_programs import ANN, PASSWORD, client_tls, deliver, require_program, running_server
from tests.live.thunderbird import Thunderbird

_ACCOUNT = """
const [login, password, port] = args;
const incoming = MailServices.accounts.createIncomingServer(login, "localhost", "imap");
incoming.port = port;
incoming.socketType = Ci.nsMsgSocketType.SSL;
incoming.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
incoming.password = password;
const account = MailServices.accounts.createAccount();
const identity = MailServices.accounts.createIdentity();
identity.email = login;
account.addIdentity(identity);
account.incomingServer = incoming;
incoming.performExpand(null);
"""
_FOLDERS = """
await until("the folders", () => folder("INBOX") && folder("Trash") && folder("Archive"));
return server().rootFolder.subFolders.map(one => one.name).sort();
"""
_READ = """
await update("INBOX");
await until("the messages", () => messages("INBOX").length == 3);
const found = [];
for (const header of messages("INBOX")) {
  const uri = folder("INBOX").getUriForMsg(header);
  const text = await new Promise((resolve, reject) => {
    const service = MailServices.messageServiceFromURI(uri);
    const sink = Cc["@mozilla.org/network/sync-stream-listener;1"].createInstance(Ci.nsISyncStreamListener);
    const stream = sink.inputStream;
    service.streamMessage(uri, sink, null, null, false, "", false);
    const scriptable = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
    scriptable.init(stream);
    let text = "";
    while (scriptable.available()) text += scriptable.read(scriptable.available());
    resolve(text);
  });
  found.push([header.mime2DecodedSubject, header.messageId, text.includes("this is sample")]);
}
return found;
"""
_FLAG = """
folder("INBOX").markMessagesRead([messages("INBOX")[0]], true);
folder("INBOX").markMessagesFlagged([messages("INBOX")[1]], true);
await update("INBOX");
"""
_MOVE = """
MailServices.copy.copyMessages(folder("INBOX"), [messages("INBOX")[2]], folder("Archive"), true, null, null, false);
await until("the moved message", async () => {
  await update("Archive");
  return messages("Archive").length == 1 && messages("INBOX").length == 2;
});
"""
_DELETE = """
folder("INBOX").deleteMessages([messages("INBOX")[0]], null, false, false, null, false);
await until("the message in the trash", async () => {
  await update("Trash");
  return messages("Trash").length == 1 && messages("INBOX").length == 1;
});
"""


def test_thunderbird_makes_an_account_reads_flags_moves_and_deletes(tmp_path: Path) -> None:
    program = require_program("thunderbird")
    with running_server(tmp_path) as server:
        deliver(server, 3)
        with Thunderbird(program, tmp_path) as thunderbird:
            thunderbird.trust(server.cafile, server.ports["imaps"])
            thunderbird.run(_ACCOUNT, ANN, PASSWORD, server.ports["imaps"])
            folders = thunderbird.run(_FOLDERS)
            assert {"Archive", "Drafts", "Junk", "Sent", "Trash"} <= set(folders)
            assert thunderbird.run(_READ) == [
                [f"Grüße Nummer {number}", f"sample-{number}@example.org", True] for number in (1, 2, 3)
            ]
            thunderbird.run(_FLAG)
            thunderbird.run(_MOVE)
            thunderbird.run(_DELETE)
        with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=client_tls(server)) as imap:
            imap.login(ANN, PASSWORD)
            for mailbox, subject in (("INBOX", "2"), ("Archive", "3"), ("Trash", "1")):
                imap.select(mailbox, readonly=True)
                assert (
                    len(imap.search(None, "SUBJECT", f'"Nummer {subject}"', "UNDELETED")[1][0].split()) == 1
                )
            imap.select("INBOX", readonly=True)
            assert len(imap.search(None, "FLAGGED", "UNDELETED")[1][0].split()) == 1
