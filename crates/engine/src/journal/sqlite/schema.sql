-- Format 2. Every table carries migration_id; types are those that PostgreSQL has, too. Times are milliseconds since 1970 UTC.
-- The content of a block or batch ends with a CRC-32 of it and of where it belongs (coding.rs).

CREATE TABLE migration (
  migration_id INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  target TEXT NOT NULL,
  created BIGINT NOT NULL
);
CREATE TABLE lease (
  migration_id INTEGER PRIMARY KEY,
  -- Grows with every holder; each write compares it.
  token BIGINT NOT NULL,
  holder TEXT NOT NULL,
  acquired BIGINT NOT NULL,
  -- NULL while it is held, and after a holder that was killed.
  released BIGINT
);
CREATE TABLE setting (
  migration_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (migration_id, name)
);
CREATE TABLE run (
  migration_id INTEGER NOT NULL,
  run_id BIGINT NOT NULL,
  verb TEXT NOT NULL,
  started BIGINT NOT NULL,
  ended BIGINT,
  outcome TEXT,
  PRIMARY KEY (migration_id, run_id)
);
CREATE TABLE mailbox (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  source_wire BLOB NOT NULL,
  source_text TEXT NOT NULL,
  source_delimiter TEXT,
  role TEXT,
  subscribed BOOLEAN NOT NULL,
  messages BIGINT,
  octets BIGINT,
  decision TEXT NOT NULL CHECK (decision IN ('move', 'exclude', 'refuse')),
  reason TEXT,
  target_wire BLOB,
  target_text TEXT,
  target_delimiter TEXT,
  PRIMARY KEY (migration_id, mailbox_id),
  UNIQUE (migration_id, source_wire)
);
CREATE TABLE epoch (
  migration_id INTEGER NOT NULL,
  epoch_id BIGINT NOT NULL,
  mailbox_id BIGINT NOT NULL,
  side TEXT NOT NULL,
  uid_validity BIGINT NOT NULL,
  uid_next BIGINT,
  messages BIGINT NOT NULL,
  highest_mod_seq BIGINT,
  object_id TEXT,
  -- Grows each time an epoch becomes the current one of its side.
  opened BIGINT NOT NULL,
  PRIMARY KEY (migration_id, epoch_id),
  UNIQUE (migration_id, mailbox_id, side, uid_validity)
);
CREATE INDEX epoch_by_opened ON epoch (migration_id, opened);
CREATE TABLE baseline (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  epoch_id BIGINT NOT NULL,
  uid_next BIGINT NOT NULL,
  existing TEXT NOT NULL,
  matched BOOLEAN NOT NULL,
  PRIMARY KEY (migration_id, mailbox_id)
);
-- Messages whose keys differ in the last six bits alone are one row: a batch then writes a few rows, not one for each
-- message and state. What is in them: record.rs.
CREATE TABLE item_block (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  epoch_id BIGINT NOT NULL,
  -- key / 64, rounded down
  block BIGINT NOT NULL,
  -- A bit for each state that occurs in it, and one for "stored, and the target did not say under which UID".
  states BIGINT NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (migration_id, mailbox_id, epoch_id, block)
);
CREATE INDEX item_block_states ON item_block (migration_id, mailbox_id, epoch_id, block, states);
-- How many items are where, kept by every verb that moves one: counting a million items reads a few rows.
-- '' stands for no grade and no kind.
CREATE TABLE tally (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  state TEXT NOT NULL,
  grade TEXT NOT NULL,
  kind TEXT NOT NULL,
  items BIGINT NOT NULL,
  octets BIGINT NOT NULL,
  PRIMARY KEY (migration_id, mailbox_id, state, grade, kind)
);
-- Native identifiers of sources that do not number their messages (POP3 UIDL, JMAP): `key` is then our own number.
CREATE TABLE native_id (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  epoch_id BIGINT NOT NULL,
  native TEXT NOT NULL,
  key BIGINT NOT NULL,
  PRIMARY KEY (migration_id, mailbox_id, epoch_id, native)
);
-- One target UID belongs to one source message. UIDs that differ in the last seven bits alone are one row: claims.rs.
CREATE TABLE claim_block (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  epoch_id BIGINT NOT NULL,
  -- UID / 128, rounded down
  block BIGINT NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (migration_id, mailbox_id, epoch_id, block)
);
CREATE TABLE batch (
  migration_id INTEGER NOT NULL,
  batch_id BIGINT NOT NULL,
  mailbox_id BIGINT NOT NULL,
  epoch_id BIGINT NOT NULL,
  uid_next BIGINT NOT NULL,
  form TEXT NOT NULL,
  committed_at BIGINT NOT NULL,
  -- 'open', 'lost', 'answered', 'void', 'resolved'
  state TEXT NOT NULL,
  -- Its messages, each with the digests of what was sent: batches.rs. Of a closed batch only what it sent and did not store is
  -- kept: a late commit (a ghost) is recognised by these digests. NULL for nothing.
  content BLOB,
  PRIMARY KEY (migration_id, batch_id)
);
CREATE INDEX batch_unstored ON batch (migration_id, mailbox_id, batch_id) WHERE state IN ('answered', 'resolved') AND content IS NOT NULL;
CREATE INDEX batch_open ON batch (migration_id, mailbox_id) WHERE state IN ('open', 'lost');
CREATE TABLE note (
  migration_id INTEGER NOT NULL,
  note_id BIGINT NOT NULL,
  run_id BIGINT,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  mailbox_id BIGINT,
  key BIGINT,
  text TEXT NOT NULL,
  PRIMARY KEY (migration_id, note_id)
);
CREATE TABLE sighting (
  migration_id INTEGER NOT NULL,
  run_id BIGINT NOT NULL,
  mailbox_id BIGINT NOT NULL,
  side TEXT NOT NULL,
  epoch_id BIGINT NOT NULL,
  uid_validity BIGINT NOT NULL,
  uid_next BIGINT,
  messages BIGINT NOT NULL,
  highest_mod_seq BIGINT,
  object_id TEXT,
  uids TEXT NOT NULL,
  PRIMARY KEY (migration_id, mailbox_id, side, run_id)
);
