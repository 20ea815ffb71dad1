package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql" //nolint:depguard // makes what another version left, which the store knows only to adopt
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
	_ "modernc.org/sqlite" //nolint:depguard // as above

	"github.com/aquarium-fish/aquarium-fish/lib/crypt"
	"github.com/aquarium-fish/aquarium-fish/tests/fish"
)

// oldTables is the schema of v0.7 (contract 31).
const oldTables = `
CREATE TABLE users (created_at datetime, algo text, prop_memory integer, prop_iterations integer, prop_threads integer, salt blob, hash blob, name text, updated_at datetime, PRIMARY KEY (name));
CREATE TABLE nodes (uid text, address text, created_at datetime, definition blob, location_name text, name text UNIQUE, pubkey blob UNIQUE, updated_at datetime, PRIMARY KEY (uid));
CREATE TABLE labels (uid text, created_at datetime, definitions blob, metadata text, name text, version integer, PRIMARY KEY (uid));
CREATE UNIQUE INDEX idx_label_uniq ON labels (name, version);
CREATE TABLE applications (uid text, created_at datetime, label_uid text, metadata text, owner_name text, PRIMARY KEY (uid));
CREATE TABLE application_states (uid text, application_uid text, created_at datetime, description text, status text, PRIMARY KEY (uid));
CREATE TABLE application_tasks (uid text, application_uid text, created_at datetime, options text, result text, task text, updated_at datetime, "when" text, PRIMARY KEY (uid));
CREATE TABLE resources (uid text, application_uid text, authentication blob, created_at datetime, definition_index integer, hw_addr text, identifier text, ip_addr text, label_uid text, metadata text, node_uid text, updated_at datetime, PRIMARY KEY (uid));
CREATE TABLE resource_accesses (uid text, address text, created_at datetime, key text, password text, resource_uid text, username text, PRIMARY KEY (uid));
CREATE TABLE votes (uid text, application_uid text, available integer, created_at datetime, node_uid text, rand integer, round integer, PRIMARY KEY (uid));
CREATE UNIQUE INDEX idx_vote_uniq ON votes (application_uid, node_uid, round);
CREATE TABLE locations (created_at datetime, description text, name text, PRIMARY KEY (name));
CREATE TABLE service_mappings (uid text, application_uid text, created_at datetime, location_name text, redirect text, service text, PRIMARY KEY (uid));
CREATE UNIQUE INDEX idx_mapping_uniq ON service_mappings (application_uid, location_name, service);
`

// installation is what a v0.7 node left in a folder when it was killed.
type installation struct {
	t    *testing.T
	dir  string // the working directory
	kept string // the database as it was, beside
	node string // its UID, which follows from its key (contract 20)
	db   *sql.DB
	rows int // counts what was inserted, for UIDs and times
}

// newInstallation makes the folder with keys, certificates and an empty
// database.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	i := &installation{t: t, dir: t.TempDir(), kept: t.TempDir()}
	data := filepath.Join(i.dir, "fish_data")
	i.check(os.MkdirAll(filepath.Join(data, "127.0.0.1:8001"), 0o750))
	public := i.identity(data)
	i.node = crypt.NodeUID(public).String()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(i.kept, "sqlite.db")+"?_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)")
	i.check(err)
	db.SetMaxOpenConns(1)
	i.db = db
	t.Cleanup(func() { _ = db.Close() })
	i.exec(oldTables)
	i.exec(`INSERT INTO nodes VALUES (?,'127.0.0.1:8001',?,?,'lab',?,?,?)`, i.node, i.at(), []byte(`{"cpu":[],"disks":{},"host":{},"memory":{},"nets":[]}`), fish.NodeName, public, i.at())
	i.exec(`INSERT INTO locations VALUES (?,'the old room','lab')`, i.at())
	return i
}

func (i *installation) check(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

func (i *installation) exec(query string, args ...any) {
	i.t.Helper()
	_, err := i.db.Exec(query, args...)
	i.check(err)
}

// at is the next second, as v0.7 wrote times.
func (i *installation) at() string {
	i.rows++
	return time.Date(2026, 11, 20, 10, 0, i.rows, 935066403, time.UTC).Format("2006-01-02 15:04:05.999999999-07:00")
}

// uid is the next one; they count down, so that their order is not that of
// insertion.
func (i *installation) uid() string {
	i.rows++
	return fmt.Sprintf("%08x-0506-4bcd-8000-0123456789ab", 0xffffffff-i.rows)
}

// identity makes CA, node pair and SSH key as v0.7 did (contract 3), and
// returns the node's public key.
func (i *installation) identity(data string) []byte {
	ca, node, ssh := i.key(), i.key(), i.key()
	caTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Example Co CA"}, CommonName: "ClusterCA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, caTemplate, caTemplate, ca.Public(), ca)
	i.check(err)
	nodeDER, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{Organization: []string{"Example Co Crt"}, CommonName: fish.NodeName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, DNSNames: []string{fish.NodeName},
		IPAddresses: localhost(),
	}, caTemplate, node.Public(), ca)
	i.check(err)
	caKey, err := x509.MarshalPKCS8PrivateKey(ca)
	i.check(err)
	nodeKey, err := x509.MarshalPKCS8PrivateKey(node)
	i.check(err)
	sshKey, err := x509.MarshalECPrivateKey(ssh)
	i.check(err)
	for name, blocks := range map[string][]*pem.Block{
		"ca.crt": {{Type: "CERTIFICATE", Bytes: caDER}}, "ca.key": {{Type: "PRIVATE KEY", Bytes: caKey}},
		fish.NodeName + ".crt":      {{Type: "CERTIFICATE", Bytes: nodeDER}, {Type: "CA CERTIFICATE", Bytes: caDER}},
		fish.NodeName + ".key":      {{Type: "PRIVATE KEY", Bytes: nodeKey}},
		fish.NodeName + "_id_ecdsa": {{Type: "EC PRIVATE KEY", Bytes: sshKey}},
	} {
		var text []byte
		for _, b := range blocks {
			text = append(text, pem.EncodeToMemory(b)...)
		}
		i.check(os.WriteFile(filepath.Join(data, name), text, 0o600))
	}
	public, err := x509.MarshalPKIXPublicKey(node.Public())
	i.check(err)
	return public
}

func (i *installation) key() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.check(err)
	return key
}

// user has today's hash, or the one of the first versions.
func (i *installation) user(name, password string, legacy bool) {
	algo, memory, threads := "Argon2id", uint32(64<<10), uint8(8)
	if legacy {
		algo, memory, threads = "Argon2", 512<<10, 1
	}
	salt := []byte("salt" + name)[:8]
	hash := argon2.IDKey([]byte(password), salt, 1, memory, threads, 32)
	i.exec(`INSERT INTO users VALUES (?,?,?,1,?,?,?,?,?)`, i.at(), algo, memory, threads, salt, hash, name, i.at())
}

// label returns its UID.
func (i *installation) label(name string, version int, definitions, metadata string) string {
	uid := i.uid()
	i.exec(`INSERT INTO labels VALUES (?,?,?,?,?,?)`, uid, i.at(), []byte(definitions), metadata, name, version)
	return uid
}

// life is an application with its states, the oldest first, and with a
// resource if identifier is not empty.
func (i *installation) life(label, owner, states, identifier string) string {
	app := i.uid()
	i.exec(`INSERT INTO applications VALUES (?,?,?,'{"A":"1"}',?)`, app, i.at(), label, owner)
	for _, status := range strings.Fields(states) {
		i.exec(`INSERT INTO application_states VALUES (?,?,?,'from v0.7',?)`, i.uid(), app, i.at(), status)
	}
	i.exec(`INSERT INTO votes VALUES (?,?,0,?,?,1,0)`, i.uid(), app, i.at(), i.node)
	if identifier == "" {
		return app
	}
	resource := i.uid()
	i.exec(`INSERT INTO resources VALUES (?,?,?,?,0,'',?,'127.0.0.1',?,'{"A":"1"}',?,?)`, resource, app,
		[]byte(`{"username":"u","password":"p","port":22,"key":""}`), i.at(), identifier, label, i.node, i.at())
	i.exec(`INSERT INTO resource_accesses VALUES (?,'a',?,'k','p',?,'u')`, i.uid(), i.at(), resource)
	return app
}

// file makes the environment of the old test driver.
func (i *installation) file(identifier string) string {
	workspace := filepath.Join(i.dir, "fish_test_workspace")
	i.check(os.MkdirAll(workspace, 0o750))
	path := filepath.Join(workspace, identifier)
	i.check(os.WriteFile(path, nil, 0o640))
	return path
}

// die leaves the database as a killed node does: everything is in the -wal.
func (i *installation) die() {
	folder := filepath.Join(i.dir, "fish_data", "127.0.0.1:8001")
	for _, name := range []string{"sqlite.db", "sqlite.db-wal"} {
		b, err := os.ReadFile(filepath.Join(i.kept, name))
		i.check(err)
		if name == "sqlite.db" && len(b) > 4096 {
			i.t.Fatalf("the database has %d bytes beside its -wal", len(b))
		}
		i.check(os.WriteFile(filepath.Join(folder, name), b, 0o640))
	}
}

// dump is every row of every table of v0.7, in order.
func dump(t *testing.T, db *sql.DB) string {
	t.Helper()
	var b strings.Builder
	for _, statement := range strings.Split(oldTables, ";") {
		_, rest, ok := strings.Cut(statement, "CREATE TABLE ")
		if !ok {
			continue
		}
		table, _, _ := strings.Cut(rest, " ")
		dumpTable(t, db, table, &b)
	}
	return b.String()
}

func dumpTable(t *testing.T, db *sql.DB, table string, b *strings.Builder) {
	t.Helper()
	rows, err := db.Query("SELECT * FROM " + table + " ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }() // read to their end
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(b, "%s %q\n", table, fmt.Sprint(values...))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
