-- The first schema. Every table that belongs to an account leads its key with account_id
-- (ARCHITECTURE.md, "The store"). Instants are whole seconds since 1970; sizes are octets.

CREATE TABLE domain (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT NOT NULL UNIQUE,
  forwards    INTEGER NOT NULL DEFAULT 0,      -- the table forward may have rows of it
  created_at  INTEGER NOT NULL
);

CREATE TABLE account (
  id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: sessions and shared bodies name it
  login         TEXT NOT NULL UNIQUE,          -- its first address, folded (Address.key)
  password_hash TEXT NOT NULL,                 -- Argon2id PHC string
  scram_sha256  TEXT NOT NULL,                 -- iterations:salt:stored_key:server_key, base64
  scram_sha1    TEXT NOT NULL DEFAULT '',      -- likewise; '' unless login.scram_sha1 was on at the time
  is_admin      INTEGER NOT NULL DEFAULT 0,    -- may set quotas and the server's annotations by IMAP
  save_sent     INTEGER NOT NULL DEFAULT 0,    -- what it submits is filed in its \Sent mailbox by the server
  undo_seconds  INTEGER NOT NULL DEFAULT 0,    -- what it submits waits this long, to be taken back
  daily_messages   INTEGER NOT NULL DEFAULT -1, -- it may submit a day; -1: as the settings say, 0 without limit
  daily_recipients INTEGER NOT NULL DEFAULT -1, -- people it never wrote to before, a day; likewise
  forwards      INTEGER NOT NULL DEFAULT 0,    -- whether its own address has rows in forward
  forward_keeps INTEGER NOT NULL DEFAULT 1,    -- whether what is forwarded is delivered here too
  script_version INTEGER NOT NULL DEFAULT 0,   -- given anew with each change of its Sieve scripts; 0: it has none
  quota_octets  INTEGER NOT NULL,              -- 0 = without limit, as the next two
  quota_messages  INTEGER NOT NULL DEFAULT 0,
  quota_mailboxes INTEGER NOT NULL DEFAULT 0,
  used_octets   INTEGER NOT NULL DEFAULT 0,
  used_messages INTEGER NOT NULL DEFAULT 0,
  mod_seq       INTEGER NOT NULL DEFAULT 1,    -- the account's one counter: MODSEQ, content and mailbox ids
  created_at    INTEGER NOT NULL
);

-- One row for each (address, account) pair: an alias to three accounts is three rows.
-- local_part '' is the domain's catch-all. kind: 0 the account's own address, 1 alias.
CREATE TABLE address (
  domain_id   INTEGER NOT NULL REFERENCES domain(id),
  local_part  TEXT NOT NULL,
  account_id  INTEGER NOT NULL REFERENCES account(id),
  kind        INTEGER NOT NULL,
  PRIMARY KEY (domain_id, local_part, account_id)
) WITHOUT ROWID;
CREATE INDEX address_of_account ON address (account_id);

-- Addresses an account may send as, beside those whose mail it receives. local_part '' is every one of the domain.
CREATE TABLE identity (
  account_id  INTEGER NOT NULL REFERENCES account(id),
  local_part  TEXT NOT NULL,
  domain      TEXT NOT NULL,                   -- need not be one of ours
  PRIMARY KEY (account_id, local_part, domain)
) WITHOUT ROWID;

-- Where mail for an address goes beyond this server: members of an alias elsewhere, and an account's own
-- address that is forwarded.
CREATE TABLE forward (
  domain_id   INTEGER NOT NULL REFERENCES domain(id),
  local_part  TEXT NOT NULL,
  target      TEXT NOT NULL,                   -- an address elsewhere
  PRIMARY KEY (domain_id, local_part, target)
) WITHOUT ROWID;

-- Reverse-paths of forwarded mail that are too long to be written into one of ours (mailauth/srs.py).
CREATE TABLE long_path (
  token       TEXT PRIMARY KEY,
  path        TEXT NOT NULL,
  day         INTEGER NOT NULL                 -- since 1970, UTC: when it was last used
) WITHOUT ROWID;

-- What an account has submitted on a day (UTC), for its limits.
CREATE TABLE sending (
  account_id  INTEGER NOT NULL,
  day         INTEGER NOT NULL,                -- since 1970
  messages    INTEGER NOT NULL DEFAULT 0,
  recipients  INTEGER NOT NULL DEFAULT 0,      -- new ones
  minute      INTEGER NOT NULL DEFAULT 0,      -- since 1970, of the last message
  burst       INTEGER NOT NULL DEFAULT 0,      -- messages within that minute
  told        INTEGER NOT NULL DEFAULT 0,      -- the operator was told that a limit was reached
  scripted    INTEGER NOT NULL DEFAULT 0,      -- recipients that scripts of the account sent to
  PRIMARY KEY (account_id, day)
) WITHOUT ROWID;

-- People an account has written to: they are not new.
CREATE TABLE correspondent (
  account_id  INTEGER NOT NULL,
  id_hash     INTEGER NOT NULL,                -- of Address.key
  last_day    INTEGER NOT NULL,
  PRIMARY KEY (account_id, id_hash)
) WITHOUT ROWID;

-- Keys that sign a domain's mail (DKIM). Instants move each through waiting, in use, retired and removable.
CREATE TABLE dkim_key (
  domain_id   INTEGER NOT NULL REFERENCES domain(id),
  selector    TEXT NOT NULL,
  algorithm   TEXT NOT NULL,                   -- 'rsa' or 'ed25519'
  private_key BLOB NOT NULL,                   -- PKCS #8, DER
  created_at  INTEGER NOT NULL,
  seen_at     INTEGER NOT NULL DEFAULT 0,      -- when its record was first found in the DNS; 0: not yet
  use_at      INTEGER NOT NULL DEFAULT 0,      -- signs from then on; 0: not decided
  retire_at   INTEGER NOT NULL DEFAULT 0,      -- signs no longer from then on; 0: not planned
  remove_at   INTEGER NOT NULL DEFAULT 0,      -- its record may go from then on
  told_at     INTEGER NOT NULL DEFAULT 0,      -- when the operator was told what to do about its record now
  PRIMARY KEY (domain_id, selector)
) WITHOUT ROWID;

-- MTA-STS policies of other domains (RFC 8461 5.1).
CREATE TABLE sts_policy (
  domain      TEXT PRIMARY KEY,
  policy_id   TEXT NOT NULL,                   -- of the TXT record
  policy      TEXT NOT NULL,                   -- the file as it was fetched
  fetched_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  used_day    INTEGER NOT NULL                 -- since 1970: the last on which mail went there
) WITHOUT ROWID;

-- How connections to other domains' servers fared, counted for TLS reports (RFC 8460).
CREATE TABLE tls_result (
  day         INTEGER NOT NULL,                -- since 1970, UTC
  domain      TEXT NOT NULL,
  policy      TEXT NOT NULL,                   -- JSON: type, strings, mx patterns
  failure     TEXT NOT NULL,                   -- JSON: what went wrong and where; '' for successes
  sessions    INTEGER NOT NULL,
  PRIMARY KEY (day, domain, policy, failure)
) WITHOUT ROWID;

-- Sieve scripts of accounts (RFC 5804), and with account_id 0 of domains and of the server.
CREATE TABLE sieve_script (
  account_id  INTEGER NOT NULL,                -- 0: one of `domain`'s, or the server's
  domain      TEXT NOT NULL DEFAULT '',        -- '' unless a domain's; never with an account
  name        TEXT NOT NULL,                   -- NFC; of an account, 'outgoing' runs on what it submits
  place       TEXT NOT NULL DEFAULT '',        -- of an account: 'active' or ''; else 'before', 'after',
                                               -- 'before-outgoing', 'after-outgoing', 'imap' or 'global' (include)
  source      BLOB NOT NULL,                   -- as it was put
  compiled    BLOB NOT NULL,                   -- its tree (sieve/compiled form), so that it is parsed once
  changed_at  INTEGER NOT NULL,
  PRIMARY KEY (account_id, domain, name)
) WITHOUT ROWID;

-- Who was answered by vacation, so that nobody is twice within its time (RFC 5230 4.2).
CREATE TABLE vacation_reply (
  account_id  INTEGER NOT NULL,
  handle      BLOB NOT NULL,                   -- hash of the handle and of whom was answered
  until       INTEGER NOT NULL,
  PRIMARY KEY (account_id, handle)
) WITHOUT ROWID;

-- Ids a script has seen (RFC 7352).
CREATE TABLE sieve_seen (
  account_id  INTEGER NOT NULL,
  id_hash     BLOB NOT NULL,                   -- of handle and id
  until       INTEGER NOT NULL,
  PRIMARY KEY (account_id, id_hash)
) WITHOUT ROWID;

-- Why a message is where it is: one row a message that a script decided about, kept for some weeks.
CREATE TABLE trace_event (
  account_id  INTEGER NOT NULL,
  message_id  TEXT NOT NULL,                   -- our name for it, as in Received and the log
  number      INTEGER NOT NULL,                -- from 0
  at          INTEGER NOT NULL,
  script      TEXT NOT NULL,
  line        INTEGER NOT NULL,
  words       TEXT NOT NULL,                   -- 'filed in Boss', 'sent on to ...'
  PRIMARY KEY (account_id, message_id, number)
) WITHOUT ROWID;

-- What the last script did that was applied to messages already there, so that it can be undone for some weeks.
CREATE TABLE applied_change (
  account_id  INTEGER NOT NULL,
  number      INTEGER NOT NULL,                -- from 0, in the order in which it was done
  at          INTEGER NOT NULL,
  mailbox_id  INTEGER NOT NULL,                -- where the message is since
  uid         INTEGER NOT NULL,
  was_in      INTEGER NOT NULL,                -- its mailbox before; 0: it is a copy that was made
  added       TEXT NOT NULL,                   -- flags and keywords it did not have before
  removed     TEXT NOT NULL,                   -- those it had
  PRIMARY KEY (account_id, number)
) WITHOUT ROWID;

CREATE TABLE mailbox (
  account_id       INTEGER NOT NULL REFERENCES account(id),
  id               INTEGER NOT NULL,
  name             TEXT NOT NULL,              -- UTF-8, NFC, levels joined by "/"; INBOX in upper case
  uid_validity     INTEGER NOT NULL,
  uid_next         INTEGER NOT NULL DEFAULT 1,
  highest_mod_seq  INTEGER NOT NULL,
  changed_mod_seq  INTEGER NOT NULL DEFAULT 0, -- the last of a change that was not only a new message
  flag_log_start   INTEGER NOT NULL DEFAULT 0, -- flag_change has every STORE after this mod-sequence
  forgotten_mod_seq INTEGER NOT NULL DEFAULT 0, -- expunged has every EXPUNGE after this mod-sequence
  special_use      TEXT NOT NULL DEFAULT '',   -- '\Sent', ... or ''
  subscribed       INTEGER NOT NULL DEFAULT 1,
  messages         INTEGER NOT NULL DEFAULT 0,
  unseen           INTEGER NOT NULL DEFAULT 0,
  deleted          INTEGER NOT NULL DEFAULT 0,
  octets           INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (account_id, id),
  UNIQUE (account_id, name)
) WITHOUT ROWID;

-- Subscriptions to names without a mailbox (RFC 9051 6.3.7: a deleted mailbox stays subscribed).
CREATE TABLE lone_subscription (
  account_id INTEGER NOT NULL REFERENCES account(id),
  name       TEXT NOT NULL,
  PRIMARY KEY (account_id, name)
) WITHOUT ROWID;

-- Small on purpose: STORE and FETCH FLAGS live here.
CREATE TABLE message (
  account_id     INTEGER NOT NULL,
  mailbox_id     INTEGER NOT NULL,
  uid            INTEGER NOT NULL,
  content_id     INTEGER NOT NULL,
  flags          INTEGER NOT NULL,             -- core.flags.Flag bits
  keywords       TEXT NOT NULL,                -- joined by spaces, '' for none
  mod_seq        INTEGER NOT NULL,
  internal_date  INTEGER NOT NULL,
  save_date      INTEGER NOT NULL,
  size           INTEGER NOT NULL,
  PRIMARY KEY (account_id, mailbox_id, uid)
) WITHOUT ROWID;

-- The contents that ever had more than one message: all others go with theirs. An index from contents to
-- messages would tell as much, and cost each MOVE and EXPUNGE a third of its time.
CREATE TABLE copied_content (
  account_id  INTEGER NOT NULL,
  content_id  INTEGER NOT NULL,
  PRIMARY KEY (account_id, content_id)
) WITHOUT ROWID;

-- A few rows for each STORE: changes since a mod-sequence are looked for among these UIDs only. Rows up to
-- mailbox.flag_log_start are pruned; for changes of before it the whole mailbox is looked through.
CREATE TABLE flag_change (
  account_id  INTEGER NOT NULL,
  mailbox_id  INTEGER NOT NULL,
  mod_seq     INTEGER NOT NULL,
  first_uid   INTEGER NOT NULL,
  last_uid    INTEGER NOT NULL,
  PRIMARY KEY (account_id, mailbox_id, mod_seq, first_uid)
) WITHOUT ROWID;

-- Tables with large rows are plain ones: a WITHOUT ROWID tree keeps a quarter of a page of a row at most
-- and wastes the rest of its last overflow page (docs/adr/0003-sqlite-engine.md has the figures).

-- Written once, shared by copies; never changed. Everything FETCH of a list needs, ready made.
CREATE TABLE content (
  account_id     INTEGER NOT NULL,
  id             INTEGER NOT NULL,
  size           INTEGER NOT NULL,
  header_octets  INTEGER NOT NULL,
  thread_id      INTEGER NOT NULL,             -- the content id of the first message of its thread that came
  is_reply       INTEGER NOT NULL,             -- the subject shows a reply or forward (RFC 5256 2.1)
  base_subject   TEXT NOT NULL,                -- RFC 5256 2.1, case folded
  from_sort      TEXT NOT NULL,                -- the first address's local part, folded (RFC 5256 3), ...
  to_sort        TEXT NOT NULL,
  cc_sort        TEXT NOT NULL,
  from_display   TEXT NOT NULL,                -- ... and its display name, else its address, folded (RFC 5957)
  to_display     TEXT NOT NULL,
  refs           TEXT NOT NULL,                -- the ids of References, else the first of In-Reply-To; spaces between
  preview        TEXT NOT NULL,                -- RFC 8970: the start of the text, at most 200 characters
  envelope       BLOB NOT NULL,                -- RFC 9051 ENVELOPE value, ready bytes
  bodystructure  BLOB NOT NULL,                -- BODYSTRUCTURE value, ready bytes
  fields         BLOB NOT NULL,                -- the header fields mail programs list, as received
  parts          BLOB NOT NULL,                -- mime index, packed (mime.index)
  sent_at        INTEGER NOT NULL,             -- Date field as an instant; internal date when unusable
  sent_day       INTEGER NOT NULL,             -- Date field's own day since 1970, zone disregarded
  subject_text   TEXT NOT NULL,                -- decoded, case folded
  from_text      TEXT NOT NULL,
  to_text        TEXT NOT NULL,
  cc_text        TEXT NOT NULL,
  bcc_text       TEXT NOT NULL,
  message_id     TEXT NOT NULL,                -- without <>, '' if none
  PRIMARY KEY (account_id, id)
);

-- Which thread a Message-ID was seen in, as a message's own or in References. Ids are hashed: two with one
-- hash share a thread at worst.
CREATE TABLE thread_of_id (
  account_id  INTEGER NOT NULL,
  id_hash     INTEGER NOT NULL,
  thread_id   INTEGER NOT NULL,
  PRIMARY KEY (account_id, id_hash)
) WITHOUT ROWID;

-- Who else may do what in a mailbox (RFC 4314); the account itself may do all and has no row.
CREATE TABLE acl (
  account_id  INTEGER NOT NULL,                -- whose mailbox
  mailbox_id  INTEGER NOT NULL,
  identifier  TEXT NOT NULL,                   -- a login, 'anyone', or '-' before one: rights taken away
  rights      TEXT NOT NULL,                   -- letters, in the order of core.rights
  PRIMARY KEY (account_id, mailbox_id, identifier)
) WITHOUT ROWID;
CREATE INDEX acl_of_identifier ON acl (identifier);

-- RFC 5464. account_id 0: the server's own; mailbox_id 0: the account's, not a mailbox's.
-- viewer_id 0: /shared; else /private to that account.
CREATE TABLE annotation (
  account_id  INTEGER NOT NULL,
  mailbox_id  INTEGER NOT NULL,
  viewer_id   INTEGER NOT NULL,
  entry       TEXT NOT NULL,                   -- in lower case
  mod_seq     INTEGER NOT NULL,                -- of its last change, from the account's counter
  value       BLOB,                            -- NULL: removed, and kept a while for sessions to be told
  PRIMARY KEY (account_id, mailbox_id, viewer_id, entry)
) WITHOUT ROWID;
CREATE INDEX annotation_of_guest ON annotation (viewer_id) WHERE viewer_id<>0 AND viewer_id<>account_id;

-- The octets. header + body are exactly what FETCH BODY[] gives.
CREATE TABLE octets (
  account_id  INTEGER NOT NULL,
  content_id  INTEGER NOT NULL,
  header      BLOB NOT NULL,                   -- up to and with the empty line
  codec       INTEGER NOT NULL,                -- of body: 0 as is, 1 zstd, 2 shared_body, 3 blob
  body        BLOB,
  blob_id     TEXT,                            -- codec 2: shared_body.id; 3: the BlobStore's name
  blob_offset INTEGER NOT NULL DEFAULT 0,      -- codec 3: where the body begins in the blob
  PRIMARY KEY (account_id, content_id)
);
CREATE INDEX octets_blob ON octets (blob_id) WHERE blob_id IS NOT NULL;

-- One body for a message that went to several accounts or into the queue too; belongs to no account.
CREATE TABLE shared_body (
  id     TEXT NOT NULL PRIMARY KEY,
  codec  INTEGER NOT NULL,                     -- 0 as is, 1 zstd
  body   BLOB NOT NULL
);

-- What was expunged: VANISHED for QRESYNC, and content kept for undelete until the sweep. Its key is the
-- order in which it is written and asked for, so it needs no index for either.
CREATE TABLE expunged (
  account_id   INTEGER NOT NULL,
  mailbox_id   INTEGER NOT NULL,
  mod_seq      INTEGER NOT NULL,
  uid          INTEGER NOT NULL,
  content_id   INTEGER NOT NULL,               -- 0 once the content was swept
  PRIMARY KEY (account_id, mailbox_id, mod_seq, uid)
) WITHOUT ROWID;

-- One row for each EXPUNGE whose content is not swept yet: when it was, and how far the sweep has come.
CREATE TABLE expunge (
  account_id   INTEGER NOT NULL,
  mailbox_id   INTEGER NOT NULL,
  mod_seq      INTEGER NOT NULL,
  expunged_at  INTEGER NOT NULL,
  swept_uid    INTEGER NOT NULL DEFAULT 0,     -- UIDs up to this one are swept
  PRIMARY KEY (account_id, mailbox_id, mod_seq)
) WITHOUT ROWID;
CREATE INDEX expunge_at ON expunge (expunged_at);

-- Mail that waits to go elsewhere; docs/states/queue.md has the states. Belongs to no account's range:
-- it is looked for by time and by destination.
CREATE TABLE queue_message (
  id           INTEGER PRIMARY KEY AUTOINCREMENT, -- shown to people, so never given twice
  kind         INTEGER NOT NULL,               -- store.queue.values.QueueKind
  account_id   INTEGER NOT NULL,               -- who submitted it or whose address forwards it; 0 nobody
  reverse_path TEXT NOT NULL,                  -- '' for <>
  message_id   TEXT NOT NULL,                  -- our name for it (Received, log), not the Message-ID field
  options      BLOB NOT NULL,                  -- MailOptions, msgpack; '' for none
  size         INTEGER NOT NULL,
  recipients   INTEGER NOT NULL,               -- how many it had when it was accepted
  created_at   INTEGER NOT NULL,
  release_at   INTEGER NOT NULL,               -- not before this, and what is late is so from then on
  expires_at   INTEGER NOT NULL
);
-- PERF: small messages cost nothing here; how much may wait goes by the large ones (store/queue/room.py).
CREATE INDEX queue_message_large ON queue_message (account_id, size) WHERE size>65536;

-- One row for each recipient that is not settled yet; the message goes with its last.
CREATE TABLE queue_recipient (
  queue_id     INTEGER NOT NULL,
  number       INTEGER NOT NULL,
  address      TEXT NOT NULL,
  domain       TEXT NOT NULL,                  -- lower case; what destinations are paused by
  notify       INTEGER NOT NULL DEFAULT 0,     -- smtp.envelope.Notify
  original     TEXT NOT NULL DEFAULT '',       -- ORCPT
  state        INTEGER NOT NULL DEFAULT 0,     -- store.queue.values.RecipientState
  urgency      INTEGER NOT NULL DEFAULT 0,     -- 0 - MT-PRIORITY: lower goes first
  next_at      INTEGER NOT NULL,               -- due; while leased, when the lease ends
  lease        TEXT NOT NULL DEFAULT '',       -- LeaseToken, '' for none
  attempts     INTEGER NOT NULL DEFAULT 0,
  first_failed_at INTEGER NOT NULL DEFAULT 0,
  delay_told_at   INTEGER NOT NULL DEFAULT 0,
  notice_at    INTEGER NOT NULL DEFAULT 0,     -- somebody must be told something then, attempts or not; 0: no
  last_at      INTEGER NOT NULL DEFAULT 0,
  last_status  TEXT NOT NULL DEFAULT '',
  last_reply   TEXT NOT NULL DEFAULT '',
  last_remote  TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (queue_id, number)
) WITHOUT ROWID;
-- With the domain, so that those of destinations that are busy are passed over within the index. There is none
-- by domain: it would cost each message half as much again, for what an operator asks now and then.
CREATE INDEX queue_due ON queue_recipient (urgency, next_at, domain) WHERE state=0;
CREATE INDEX queue_notice ON queue_recipient (notice_at) WHERE notice_at<>0 AND state<>1;

-- The octets to send, as in `octets`.
CREATE TABLE queue_octets (
  queue_id    INTEGER PRIMARY KEY,
  header      BLOB NOT NULL,
  codec       INTEGER NOT NULL,
  body        BLOB,
  blob_id     TEXT,
  blob_offset INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX queue_octets_blob ON queue_octets (blob_id) WHERE blob_id IS NOT NULL;

-- Destinations for which the operator decided something; a row goes with its last decision.
CREATE TABLE queue_destination (
  domain      TEXT PRIMARY KEY,
  paused_at   INTEGER NOT NULL DEFAULT 0,      -- 0: not paused
  reason      TEXT NOT NULL DEFAULT '',
  route       TEXT NOT NULL DEFAULT '',        -- HOST:PORT its mail goes to instead; '' for none
  routed_at   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Addresses nothing is sent to: by the operator, or after failures that will not end by themselves.
CREATE TABLE suppression (
  address     TEXT PRIMARY KEY,                -- Address.key
  reason      TEXT NOT NULL,
  failures    INTEGER NOT NULL DEFAULT 0,      -- in a row; refused from queue.suppress_after on
  by_operator INTEGER NOT NULL DEFAULT 0,
  changed_at  INTEGER NOT NULL
) WITHOUT ROWID;

-- Small facts about the database itself: clean_shutdown, next_uid_validity, annotation_mod_seq, sieve_version (of
-- the last change of any script), sieve_site_version (of the last of a domain's or the server's).
CREATE TABLE setting (
  name   TEXT PRIMARY KEY,
  value  TEXT NOT NULL
) WITHOUT ROWID;
