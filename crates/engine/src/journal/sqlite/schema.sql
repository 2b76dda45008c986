-- Format 1. Every table carries migration_id; types are those that PostgreSQL has, too. Times are milliseconds since 1970 UTC.
-- A fingerprint is 72 octets: length (8, big endian), SHA-256 of the octets (32), SHA-256 of n(octets) (32).

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
CREATE TABLE item (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  epoch_id BIGINT NOT NULL,
  key BIGINT NOT NULL,
  state TEXT NOT NULL,
  -- RFC822.SIZE as listed; what was fetched counts its own octets.
  octets BIGINT NOT NULL,
  flags BLOB NOT NULL,
  internal_date BLOB,
  mod_seq BIGINT,
  lineage TEXT,
  fetched BLOB,
  -- NULL when the octets went out as fetched.
  sent BLOB,
  sent_flags BLOB,
  sent_date BLOB,
  ladder INTEGER,
  place_epoch BIGINT,
  place_uid BIGINT,
  origin TEXT,
  -- Empty when the octets read back are those fetched.
  read_fingerprint BLOB,
  read_octets BIGINT,
  read_flags BLOB,
  read_date BLOB,
  read_mod_seq BIGINT,
  grade TEXT,
  kind TEXT,
  reason TEXT,
  PRIMARY KEY (migration_id, mailbox_id, epoch_id, key)
) WITHOUT ROWID;
CREATE INDEX item_by_state ON item (migration_id, mailbox_id, state, epoch_id, key);
-- Stored, and the target did not say under which UID.
CREATE INDEX item_unplaced ON item (migration_id, mailbox_id, epoch_id, key) WHERE state = 'stored' AND place_uid IS NULL;
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
-- One target UID belongs to one source message.
CREATE TABLE claim (
  migration_id INTEGER NOT NULL,
  mailbox_id BIGINT NOT NULL,
  epoch_id BIGINT NOT NULL,
  uid BIGINT NOT NULL,
  item_epoch BIGINT NOT NULL,
  item_key BIGINT NOT NULL,
  PRIMARY KEY (migration_id, mailbox_id, epoch_id, uid)
) WITHOUT ROWID;
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
  PRIMARY KEY (migration_id, batch_id)
);
CREATE INDEX batch_open ON batch (migration_id, mailbox_id) WHERE state IN ('open', 'lost');
-- Of a closed batch only what it sent and did not store is kept: a late commit (a ghost) is recognised by these digests.
CREATE TABLE batch_item (
  migration_id INTEGER NOT NULL,
  batch_id BIGINT NOT NULL,
  position INTEGER NOT NULL,
  item_epoch BIGINT NOT NULL,
  item_key BIGINT NOT NULL,
  sent BLOB NOT NULL,
  PRIMARY KEY (migration_id, batch_id, position)
) WITHOUT ROWID;
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
