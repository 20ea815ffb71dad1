CREATE TABLE allocations (
  application_uid BLOB NOT NULL,
  epoch INTEGER NOT NULL,
  node_uid BLOB NOT NULL,
  token TEXT NOT NULL,
  meta_token TEXT NOT NULL,
  label_uid BLOB NOT NULL,
  definition_index INTEGER NOT NULL,
  definition TEXT NOT NULL,
  metadata TEXT NOT NULL,
  label_metadata TEXT NOT NULL,
  identifier TEXT NOT NULL,
  failure TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  released_at INTEGER,
  PRIMARY KEY (application_uid, epoch)
);
CREATE TABLE application_states (
  id INTEGER PRIMARY KEY,
  uid BLOB NOT NULL,
  application_uid BLOB NOT NULL,
  status TEXT NOT NULL,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  node_uid BLOB NOT NULL,
  decision TEXT
);
CREATE TABLE application_tasks (
  uid BLOB NOT NULL PRIMARY KEY,
  application_uid BLOB NOT NULL,
  task TEXT NOT NULL,
  "when" TEXT NOT NULL,
  options TEXT NOT NULL,
  result TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL
);
CREATE TABLE applications (
  uid BLOB NOT NULL PRIMARY KEY,
  label_uid BLOB NOT NULL,
  owner_name TEXT NOT NULL,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL,
  arbiter BLOB NOT NULL,
  closed_at INTEGER
);
CREATE TABLE labels (
  uid BLOB NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  definitions TEXT NOT NULL,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL
);
CREATE TABLE locations (
  name TEXT NOT NULL PRIMARY KEY,
  description TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL
);
CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE `migrations` (`id` text,PRIMARY KEY (`id`));
CREATE TABLE nodes (
  uid BLOB NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  address TEXT NOT NULL,
  location_name TEXT NOT NULL,
  pubkey BLOB,
  definition TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL
);
CREATE TABLE resources (
  uid BLOB NOT NULL PRIMARY KEY,
  application_uid BLOB NOT NULL,
  label_uid BLOB NOT NULL,
  node_uid BLOB NOT NULL,
  definition_index INTEGER NOT NULL,
  identifier TEXT NOT NULL,
  ip_addr TEXT NOT NULL,
  hw_addr TEXT NOT NULL,
  authentication TEXT,
  metadata TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL
);
CREATE TABLE service_mappings (
  uid BLOB NOT NULL PRIMARY KEY,
  application_uid BLOB NOT NULL,
  location_name TEXT NOT NULL,
  service TEXT NOT NULL,
  redirect TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL
);
CREATE TABLE sync_origins (
  id INTEGER PRIMARY KEY,
  node_uid BLOB NOT NULL,
  incarnation INTEGER NOT NULL,
  seq INTEGER NOT NULL
);
CREATE TABLE sync_rows (
  id INTEGER PRIMARY KEY,
  kind INTEGER,
  key BLOB,
  hlc INTEGER,
  body BLOB,
  parent BLOB,
  since INTEGER
);
CREATE TABLE users (
  name TEXT NOT NULL PRIMARY KEY,
  algo TEXT NOT NULL,
  prop_memory INTEGER NOT NULL,
  prop_iterations INTEGER NOT NULL,
  prop_threads INTEGER NOT NULL,
  salt BLOB,
  hash BLOB,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  hlc INTEGER NOT NULL
);
CREATE UNIQUE INDEX application_states_application ON application_states (application_uid, uid);
CREATE INDEX application_tasks_application ON application_tasks (application_uid, hlc, uid);
CREATE INDEX applications_closed ON applications (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX applications_open ON applications (hlc, uid) WHERE closed_at IS NULL;
CREATE INDEX applications_order ON applications (hlc, uid);
CREATE INDEX applications_owner ON applications (owner_name, hlc, uid);
CREATE INDEX resources_application ON resources (application_uid);
CREATE INDEX service_mappings_application ON service_mappings (application_uid);
CREATE INDEX sync_rows_deleted ON sync_rows (hlc) WHERE body IS NULL;
CREATE UNIQUE INDEX sync_rows_key ON sync_rows (kind, key);
CREATE INDEX sync_rows_parent ON sync_rows (parent) WHERE parent IS NOT NULL;
CREATE INDEX sync_rows_waiting ON sync_rows (since) WHERE since IS NOT NULL;
