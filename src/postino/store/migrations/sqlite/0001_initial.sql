-- The first schema. Every table that belongs to an account leads its key with account_id
-- (ARCHITECTURE.md, "The store"). Instants are whole seconds since 1970; sizes are octets.

CREATE TABLE domain (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT NOT NULL UNIQUE,
  created_at  INTEGER NOT NULL
);

CREATE TABLE account (
  id            INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: sessions and shared bodies name it
  login         TEXT NOT NULL UNIQUE,          -- its first address, folded (Address.key)
  password_hash TEXT NOT NULL,                 -- Argon2id PHC string
  scram_sha256  TEXT NOT NULL,                 -- iterations:salt:stored_key:server_key, base64
  scram_sha1    TEXT NOT NULL DEFAULT '',      -- likewise; '' unless login.scram_sha1 was on at the time
  is_admin      INTEGER NOT NULL DEFAULT 0,    -- may set quotas and the server's annotations by IMAP
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

-- One body for a message that went to several accounts; belongs to no account.
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

-- Small facts about the database itself: clean_shutdown, next_uid_validity, annotation_mod_seq.
CREATE TABLE setting (
  name   TEXT PRIMARY KEY,
  value  TEXT NOT NULL
) WITHOUT ROWID;
